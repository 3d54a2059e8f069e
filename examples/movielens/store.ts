/**
 * The embedded store: one SQLite file that holds, for every combination of settings, how far the replay got, the adapters
 * at that point, and the errors of all events before it. A save is one transaction, so whatever kills the process, the
 * store is at some batch, complete.
 */
import { createHash } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSyncInstance, SqliteModule } from '@photostructure/sqlite';
import type { RunResult, UserErrors } from './results.js';
import { UserError } from './user-error.js';

/** Everything that a result depends on. Runs with different settings never mix. */
export interface RunSettings {
  /** Of the package. */
  version: string;
  /** SHA-256 of the ratings. */
  data: string;
  seed: number;
  /** Users replayed. */
  users: number;
  /** Results are bit-identical on one backend and device only. */
  backend: { name: string; device: string };
  adapter: object;
}

export interface StoredRun {
  id: number;
  /** Batches replayed and saved. */
  position: number;
  finished: boolean;
  /** The pool's snapshot after that many batches; undefined before the first save. */
  adapters?: Uint8Array;
}

/** One event's squared errors; `event` counts within the user and is the number of the batch. */
export interface EventErrors {
  event: number;
  user: number;
  bias: number;
  ridge: number;
  adapter: number;
}

/** What a save adds: the batches replayed since the last one. */
export interface Progress {
  position: number;
  finished: boolean;
  adapters: Uint8Array;
  batches: { batch: number; users: number; seconds: number }[];
  events: EventErrors[];
}

const SCHEMA_VERSION = 1;
const SCHEMA = `
  CREATE TABLE runs (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, settings TEXT NOT NULL,
    position INTEGER NOT NULL DEFAULT 0, finished INTEGER NOT NULL DEFAULT 0, adapters BLOB
  );
  CREATE TABLE batches (
    run INTEGER NOT NULL REFERENCES runs(id), batch INTEGER NOT NULL,
    users INTEGER NOT NULL, seconds REAL NOT NULL, PRIMARY KEY (run, batch)
  ) WITHOUT ROWID;
  CREATE TABLE events (
    run INTEGER NOT NULL REFERENCES runs(id), event INTEGER NOT NULL, user INTEGER NOT NULL,
    bias REAL NOT NULL, ridge REAL NOT NULL, adapter REAL NOT NULL, PRIMARY KEY (run, event, user)
  ) WITHOUT ROWID;
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

export class Store {
  readonly path: string;
  readonly #database: DatabaseSyncInstance;

  private constructor(path: string, database: DatabaseSyncInstance) {
    this.path = path;
    this.#database = database;
  }

  /** Opens FOLDER/movielens.db, made when missing, for this process alone. Throws a UserError where it cannot be used. */
  static async open(folder: string): Promise<Store> {
    const path = join(folder, 'movielens.db');
    try {
      mkdirSync(folder, { recursive: true });
      const database = new (await sqlite()).DatabaseSync(path);
      const store = new Store(path, database);
      // the lock of the first transaction is kept until the end: two replays of one run would save over each other
      database.exec('PRAGMA locking_mode = EXCLUSIVE;');
      store.#transaction(() => store.#requireSchema());
      return store;
    } catch (error) {
      if (error instanceof UserError) throw error;
      const message = (error as Error).message;
      const advice = /locked|busy/.test(message)
        ? 'another run is using it; wait for it, or give this one another folder with --store'
        : `${message}; move it away, or give another folder with --store`;
      throw new UserError(`cannot open the store ${path}: ${advice}`);
    }
  }

  #requireSchema(): void {
    const { user_version: version } = this.#database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version === SCHEMA_VERSION) return;
    if (version !== 0)
      throw new UserError(`the store ${this.path} has format ${version}, this program reads ${SCHEMA_VERSION}`);
    this.#database.exec(SCHEMA);
  }

  /** The run with these settings, made when missing. */
  run(settings: RunSettings): StoredRun {
    const text = JSON.stringify(settings);
    const key = createHash('sha256').update(text).digest('hex');
    this.#database.prepare('INSERT OR IGNORE INTO runs (key, settings) VALUES (?, ?)').run(key, text);
    const row = this.#database.prepare('SELECT id, position, finished, adapters FROM runs WHERE key = ?').get(key) as {
      id: number;
      position: number;
      finished: number;
      adapters: Uint8Array | null;
    };
    return { ...row, finished: row.finished === 1, adapters: row.adapters ?? undefined };
  }

  /** Forgets what the run has replayed. */
  reset(run: StoredRun): StoredRun {
    this.#transaction(() => {
      this.#database.prepare('DELETE FROM batches WHERE run = ?').run(run.id);
      this.#database.prepare('DELETE FROM events WHERE run = ?').run(run.id);
      this.#database.prepare('UPDATE runs SET position = 0, finished = 0, adapters = NULL WHERE id = ?').run(run.id);
    });
    return { id: run.id, position: 0, finished: false };
  }

  save(run: StoredRun, progress: Progress): void {
    const batch = this.#database.prepare('INSERT INTO batches VALUES (?, ?, ?, ?)');
    const event = this.#database.prepare('INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)');
    this.#transaction(() => {
      for (const b of progress.batches) batch.run(run.id, b.batch, b.users, b.seconds);
      for (const e of progress.events) event.run(run.id, e.event, e.user, e.bias, e.ridge, e.adapter);
      this.#database
        .prepare('UPDATE runs SET position = ?, finished = ?, adapters = ? WHERE id = ?')
        .run(progress.position, progress.finished ? 1 : 0, progress.adapters, run.id);
    });
  }

  /** All errors and timings of the run so far; users in rising order. */
  result(run: StoredRun): Pick<RunResult, 'users' | 'batches'> {
    const events = this.#database
      .prepare('SELECT event, user, bias, ridge, adapter FROM events WHERE run = ? ORDER BY user, event')
      .all(run.id) as unknown as EventErrors[];
    const ofUser = new Map<number, EventErrors[]>();
    for (const event of events) {
      const errors = ofUser.get(event.user);
      if (errors) errors.push(event);
      else ofUser.set(event.user, [event]);
    }
    return {
      users: [...ofUser].map(
        ([user, errors]): UserErrors => ({
          user,
          bias: Float64Array.from(errors, ({ bias }) => bias),
          ridge: Float64Array.from(errors, ({ ridge }) => ridge),
          adapter: Float64Array.from(errors, ({ adapter }) => adapter),
        }),
      ),
      batches: this.#database
        .prepare('SELECT users, seconds FROM batches WHERE run = ? ORDER BY batch')
        .all(run.id) as unknown as RunResult['batches'],
    };
  }

  close(): void {
    // the package's close() leaves the connection open until its statements are collected: give the lock back first
    this.#database.exec('PRAGMA locking_mode = NORMAL; SELECT count(*) FROM runs;');
    this.#database.close();
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN EXCLUSIVE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      this.#database.exec('ROLLBACK');
      throw error;
    }
  }
}

/** node:sqlite where this Node has it; otherwise the package with the same API. */
async function sqlite(): Promise<Pick<SqliteModule, 'DatabaseSync'>> {
  const builtin = (process.getBuiltinModule as (id: string) => unknown)('node:sqlite');
  return (builtin as SqliteModule | undefined) ?? import('@photostructure/sqlite');
}
