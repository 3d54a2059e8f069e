/** Files that a request names: only those below the folders that the configuration allows. */
import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { describe, fail } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import { confinePath } from '../../../files/confined-path.js';

/**
 * The real path of a file below one of the folders, symbolic links followed. Rejects with ERR_INVALID_ARGUMENT for what is no
 * path, ERR_PATH_NOT_ALLOWED for one that lies or leads elsewhere, ERR_FILE_ACCESS where there is no such file.
 */
export async function requireAllowedFile(folders: readonly string[], name: string, path: unknown): Promise<string> {
  if (typeof path !== 'string' || path === '') fail('ERR_INVALID_ARGUMENT', name, path, 'the path of a file');
  const wanted = resolve(path);
  for (const folder of folders) {
    for (const top of [resolve(folder), await realpath(folder).catch(() => resolve(folder))]) {
      const way = relative(top, wanted);
      if (way === '' || way === '..' || way.startsWith(`..${sep}`) || isAbsolute(way)) continue;
      const found = await confinePath(top, way.split(sep).join('/')).catch((cause) => refuse(name, path, cause));
      if (await isFile(found)) return found;
      throw new LorakeetError('ERR_FILE_ACCESS', `${name}: ${describe(path)} is no file that can be read`);
    }
  }
  return refuse(name, path);
}

function refuse(name: string, path: string, cause?: unknown): never {
  const expected = 'a path below one of service.allowedFolders';
  throw new LorakeetError('ERR_PATH_NOT_ALLOWED', `${name}: got ${describe(path)}, expected ${expected}`, { cause });
}

const isFile = (path: string) =>
  stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
