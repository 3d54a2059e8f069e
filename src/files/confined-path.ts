/** Paths made from names that somebody else chose: they stay in the folder they are meant for. */
import { readlink, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';

/** What every common file system takes. */
const MAX_SEGMENT_BYTES = 255;
const MAX_NAME_BYTES = 1024;
const MAX_SEGMENTS = 32;

/** A name that Windows takes for a device, whatever its ending. */
const DEVICE = /^(con|prn|aux|nul|com\d|lpt\d)(\..*)?$/i;

/**
 * Checks the form of a relative path with forward slashes, such as `team/adapter-1`: segments of 1 to 255 bytes, none of
 * them `.` or `..` or ending in a dot or a space, no NUL or other control character, no backslash or colon, no name of a
 * Windows device; at most 32 segments and 1024 bytes. Throws ERR_PATH_NOT_ALLOWED.
 */
export function requireRelativeName(name: string, value: unknown): string {
  const expected = 'a relative path of plain names, like team/adapter-1';
  if (typeof value !== 'string' || value === '') fail('ERR_PATH_NOT_ALLOWED', name, value, expected);
  const segments = value.split('/');
  const plain = segments.every(
    (segment) =>
      segment !== '' &&
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
      !/[\u0000-\u001f\u007f\\:]/.test(segment) &&
      !/[. ]$/.test(segment) &&
      !DEVICE.test(segment) &&
      !/\p{Surrogate}/u.test(segment) &&
      Buffer.byteLength(segment) <= MAX_SEGMENT_BYTES,
  );
  if (!plain || segments.length > MAX_SEGMENTS || Buffer.byteLength(value) > MAX_NAME_BYTES) {
    fail('ERR_PATH_NOT_ALLOWED', name, value, expected);
  }
  return value;
}

/**
 * The absolute path of `name` below the existing folder `root`. What exists of it may use symbolic links, but only such
 * as stay below root. Throws ERR_PATH_NOT_ALLOWED for a name that requireRelativeName refuses or that leads out of root,
 * ERR_FILE_ACCESS where root does not exist.
 */
export async function confinePath(root: string, name: string): Promise<string> {
  requireRelativeName('name', name);
  const top = await realpath(resolve(root)).catch((cause) => {
    throw new LorakeetError('ERR_FILE_ACCESS', `root: cannot open ${root} (${cause.code ?? cause})`, { cause });
  });
  const path = join(top, name);
  if (!isBelow(top, await realpathOfExisting(path))) {
    fail('ERR_PATH_NOT_ALLOWED', 'name', name, 'a path without symbolic links that leave its root');
  }
  return path;
}

/** The real path of the longest part of `path` that exists, with the rest appended. */
async function realpathOfExisting(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    // a dangling link is no missing file: writing to it would create what it points to
    if (code !== 'ENOENT' || (await isLink(path))) {
      throw new LorakeetError('ERR_PATH_NOT_ALLOWED', `name: ${path} cannot be resolved (${code})`, { cause });
    }
    return join(await realpathOfExisting(dirname(path)), relative(dirname(path), path));
  }
}

async function isLink(path: string): Promise<boolean> {
  return readlink(path).then(
    () => true,
    () => false,
  );
}

function isBelow(top: string, path: string): boolean {
  const way = relative(top, path);
  return way !== '' && way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}
