/** Files that are there whole or not at all, also after a crash. */
import { randomUUID } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { LorakeetError } from '../errors.js';

/** One write call takes less than 2 GiB. */
const WRITE_CHUNK_BYTES = 2 ** 28;

/** Appends all of `bytes` to the file being written. */
export type Append = (bytes: Uint8Array) => Promise<void>;

/**
 * Lets `produce` write a new file and puts it at `path`, in place of whatever is there: written under a temporary name in
 * the same folder, synced, renamed, and the folder synced. If anything fails, `path` is as it was and the temporary file
 * is gone. Throws ERR_FILE_ACCESS with the cause, and what `produce` throws.
 */
export async function writeAtomically(path: string, produce: (append: Append) => Promise<void>): Promise<void> {
  const folder = dirname(path);
  const temporary = join(folder, `.${basename(path).slice(0, 100)}.${randomUUID()}.tmp`);
  await writeSynced(temporary, produce, path);
  try {
    await attempt(path, () => rename(temporary, path));
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await attempt(path, () => syncFolder(folder));
}

/**
 * Lets `produce` write a new file at `path` and syncs it, but not its folder. If anything fails, the file is gone. Throws
 * ERR_FILE_ACCESS with the cause, naming `name`, and what `produce` throws.
 */
export async function writeSynced(
  path: string,
  produce: (append: Append) => Promise<void>,
  name = path,
): Promise<void> {
  const file = await attempt(name, () => open(path, 'wx'));
  try {
    try {
      await produce((bytes) => attempt(name, () => writeAll(file, bytes)));
      await attempt(name, () => file.sync());
    } finally {
      await file.close();
    }
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let position = 0;
  while (position < bytes.length) {
    const { bytesWritten } = await file.write(bytes, position, Math.min(WRITE_CHUNK_BYTES, bytes.length - position));
    position += bytesWritten;
  }
}

/** So that a new name survives a crash too; Windows has no such call and needs none. */
export async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be written (${cause})`, { cause });
  }
}
