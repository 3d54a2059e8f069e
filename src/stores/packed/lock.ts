/** One process at a time: the write lock of a database file, which the system takes from whoever dies. */
import { LorakeetError } from '../../errors.js';
import { openSqlite } from '../../sqlite.js';

export interface FolderLock {
  release(): void;
}

/**
 * Takes the lock at once or not at all. Throws ERR_STORE_UNAVAILABLE where it is held, also within this process, and
 * ERR_SQLITE_UNAVAILABLE where there is no SQLite.
 */
export function lockFolder(path: string, what: string): FolderLock {
  const database = openSqlite(path);
  try {
    // nothing is ever written: the file stays empty
    database.exec('PRAGMA busy_timeout = 0; BEGIN EXCLUSIVE');
    return { release: () => database.close() };
  } catch (cause) {
    database.close();
    const { message } = cause as Error;
    const reason = message.includes('locked') ? 'it is open already, here or in another process' : message;
    const text = `cannot open ${what}: ${reason}`;
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause });
  }
}
