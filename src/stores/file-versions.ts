/**
 * Versions in a folder, the default: blobs are files named by their SHA-256, heads are rows of a SQLite file. For one machine
 * and any number of its processes.
 *
 *   versions.db           the heads
 *   blobs/ab/abcdef…      a file each; what is there is whole
 *   incoming/             files being written
 */
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, statSync, utimesSync } from 'node:fs';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { LorakeetError } from '../errors.js';
import { writeSynced } from '../files/atomic-write.js';
import { confinePath } from '../files/confined-path.js';
import { readSmallFile } from '../files/random-access.js';
import { inTransaction, openSqliteFile, type SqliteDatabase } from '../sqlite.js';
import {
  hashBlob,
  isSha256,
  MAX_BLOB_BYTES,
  requireBlob,
  requireDate,
  requireHeadName,
  requireSha256,
  type StoredBlob,
  type StoredHead,
  type VersionStore,
} from '../versions/version-store.js';

const SCHEMA_VERSION = 1;
const SCHEMA = 'CREATE TABLE heads (name BLOB PRIMARY KEY, revision INTEGER NOT NULL, bytes BLOB NOT NULL);';

/** A file that has been incoming for so long was left by a process that died. */
const ABANDONED_MS = 3_600_000;

/**
 * A store in a folder. What has resolved survives the process and the power. The database's write lock also orders the
 * moments at which blobs appear and disappear.
 */
export class FileVersionStore implements VersionStore {
  readonly #folder: string;
  readonly #database: SqliteDatabase;

  private constructor(folder: string, database: SqliteDatabase) {
    this.#folder = folder;
    this.#database = database;
  }

  /**
   * Opens the store in this folder, made when missing. Rejects with ERR_SQLITE_UNAVAILABLE where there is no SQLite (Node
   * before 22.13 without the package @photostructure/sqlite), ERR_STORE_UNAVAILABLE or ERR_FILE_ACCESS for a folder that
   * cannot be used, ERR_PATH_NOT_ALLOWED where links lead out of it.
   */
  static async open(folder: string): Promise<FileVersionStore> {
    const root = resolve(folder);
    await attempt(root, () => mkdir(root, { recursive: true }));
    const path = await confinePath(root, 'versions.db');
    for (const name of ['blobs', 'incoming']) {
      const inner = await confinePath(root, name);
      await attempt(inner, () => mkdir(inner, { recursive: true }));
    }
    const store = new FileVersionStore(root, openSqliteFile(path, 'a version store', SCHEMA, SCHEMA_VERSION));
    await store.#removeAbandoned();
    return store;
  }

  async putBlob(bytes: Uint8Array): Promise<string> {
    const sha256 = await hashBlob(requireBlob('bytes', bytes));
    const path = await this.#pathOf(sha256);
    // one that is damaged is replaced
    if ((await this.#hasIntact(path, sha256)) && this.#locked(() => touch(path))) return sha256;
    const incoming = await confinePath(this.#folder, `incoming/${randomUUID()}`);
    await writeSynced(incoming, (append) => append(bytes));
    this.#locked(() => {
      const folder = dirname(path);
      if (mkdirSync(folder, { recursive: true })) syncFolder(dirname(folder));
      renameSync(incoming, path);
      syncFolder(folder);
    });
    return sha256;
  }

  async getBlob(sha256: string): Promise<Uint8Array | undefined> {
    return this.#read(await this.#pathOf(requireSha256('sha256', sha256)));
  }

  async deleteBlob(sha256: string, putBefore: Date): Promise<boolean> {
    requireDate('putBefore', putBefore);
    const path = await this.#pathOf(requireSha256('sha256', sha256));
    return this.#locked(() => {
      const found = statSync(path, { throwIfNoEntry: false });
      if (!found || found.mtime >= putBefore) return false;
      rmSync(path);
      return true;
    });
  }

  async *listBlobs(): AsyncIterable<StoredBlob> {
    const blobs = await confinePath(this.#folder, 'blobs');
    for (const prefix of await namesIn(blobs)) {
      for (const sha256 of await namesIn(join(blobs, prefix))) {
        const found =
          isSha256(sha256) && sha256.startsWith(prefix) ? await statIn(join(blobs, prefix, sha256)) : undefined;
        if (found?.isFile()) yield { sha256, sizeBytes: found.size, putAt: found.mtime };
      }
    }
  }

  async getHead(name: string): Promise<StoredHead | undefined> {
    const key = keyOf(name);
    const row = this.#query(() => this.#database.prepare('SELECT revision, bytes FROM heads WHERE name = ?').get(key));
    const { revision, bytes } = (row ?? {}) as { revision?: number; bytes?: Uint8Array };
    return bytes && { bytes, revision: `${revision}` };
  }

  async setHead(name: string, bytes: Uint8Array, expected: string | undefined): Promise<string | undefined> {
    const key = keyOf(name);
    requireBlob('bytes', bytes);
    const revision = expected === undefined ? 1 : Number(expected) + 1;
    if (expected !== undefined && expected !== `${revision - 1}`) return undefined;
    const { changes } = this.#query(() =>
      expected === undefined
        ? this.#database.prepare('INSERT OR IGNORE INTO heads (name, revision, bytes) VALUES (?, 1, ?)').run(key, bytes)
        : this.#database
            .prepare('UPDATE heads SET revision = ?, bytes = ? WHERE name = ? AND revision = ?')
            .run(revision, bytes, key, revision - 1),
    );
    return Number(changes) === 1 ? `${revision}` : undefined;
  }

  async *listHeads(): AsyncIterable<string> {
    const rows = this.#query(() => this.#database.prepare('SELECT name FROM heads').all()) as { name: Uint8Array }[];
    for (const { name } of rows) yield Buffer.from(name).toString('utf8');
  }

  /** Closes the database; the store is of no use afterwards. */
  close(): void {
    this.#database.close();
  }

  async #pathOf(sha256: string): Promise<string> {
    return confinePath(this.#folder, `blobs/${sha256.slice(0, 2)}/${sha256}`);
  }

  async #read(path: string): Promise<Uint8Array | undefined> {
    try {
      return await readSmallFile(path, MAX_BLOB_BYTES);
    } catch (error) {
      if (((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT') return undefined;
      throw error;
    }
  }

  async #hasIntact(path: string, sha256: string): Promise<boolean> {
    const bytes = await this.#read(path);
    return bytes !== undefined && (await hashBlob(bytes)) === sha256;
  }

  async #removeAbandoned(): Promise<void> {
    const folder = join(this.#folder, 'incoming');
    for (const name of await namesIn(folder)) {
      const path = join(folder, name);
      const found = await statIn(path);
      if (found && found.mtimeMs < Date.now() - ABANDONED_MS) await attempt(path, () => rm(path, { force: true }));
    }
  }

  /** Runs `work` while no other process changes the store; synchronous, so that nothing holds the lock for long. */
  #locked<T>(work: () => T): T {
    return this.#query(() => inTransaction(this.#database, work));
  }

  #query<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      const text = `the version store in ${this.#folder}: ${(cause as Error).message}`;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause });
    }
  }
}

/** Sets the time of the last put; false if the file is gone. */
function touch(path: string): boolean {
  if (!statSync(path, { throwIfNoEntry: false })) return false;
  const now = new Date();
  utimesSync(path, now, now);
  return true;
}

/** So that the new name survives a crash too; Windows has no such call and needs none. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const handle = openSync(folder, 'r');
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

const namesIn = (folder: string) => attempt(folder, () => readdir(folder));

/** undefined for what somebody has removed meanwhile. */
async function statIn(path: string) {
  return attempt(path, () => stat(path)).catch((error) => {
    if (((error as Error).cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  });
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: ${(cause as Error).message}`, { cause });
  }
}

function keyOf(name: string): Uint8Array {
  return Buffer.from(requireHeadName(name), 'utf8');
}
