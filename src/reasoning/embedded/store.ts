/** The bank's file: episodes as they came, their structured features in JSON, and skills with their evidence. */
import { LorakeetError } from '../../errors.js';
import { inTransaction, openSqlite, type SqliteDatabase } from '../../sqlite.js';
import type { ReasoningBankPattern } from '../contract.js';
import { type Episode, episodeOf } from './episode.js';
import type { Skill, SkillEvidence } from './skills.js';

const SCHEMA_VERSION = 2;
const SCHEMA = `
  CREATE TABLE episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at INTEGER NOT NULL, skill INTEGER,
    session_id TEXT NOT NULL, task TEXT NOT NULL, input TEXT, output TEXT, critique TEXT,
    success INTEGER NOT NULL, reward REAL NOT NULL, latency_ms REAL
  );
  CREATE TABLE skills (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    bucket TEXT NOT NULL UNIQUE, description TEXT NOT NULL, learning_rate REAL NOT NULL, clip_threshold REAL NOT NULL,
    ewc_lambda REAL NOT NULL, uses INTEGER NOT NULL, success_rate REAL NOT NULL, evidence TEXT NOT NULL
  );
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

const COLUMNS = ['created_at', 'session_id', 'task', 'input', 'output', 'critique', 'success', 'reward', 'latency_ms'];
const MARKS = `(${COLUMNS.map(() => '?')})`;

/** A statement costs more than a row; beyond so many rows that is no longer seen. */
const ROWS_PER_INSERT = 16;

/** What is read again when the bank is opened; other texts stay in the file. */
export interface StoredEpisode {
  id: number;
  createdAt: number;
  task: string;
  success: boolean;
  reward: number;
  episode: Episode | undefined;
  /** The skill that its outcome has gone into */
  skill: number | null;
}

type Value = string | number | null;
type Row = Record<string, Value>;

export class BankStore {
  readonly #path: string;
  readonly #database: SqliteDatabase;

  /** Throws ERR_SQLITE_UNAVAILABLE, or ERR_STORE_UNAVAILABLE for a file that cannot be used or that another has open. */
  constructor(path: string) {
    this.#path = path;
    this.#database = openSqlite(path);
    this.#guard(() => {
      // one process at a time: what is learnt is held in memory, and two would not see each other's episodes
      this.#database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;');
      inTransaction(this.#database, () => this.#requireSchema());
    });
  }

  /** Writes all of them, or none, and returns their ids. */
  insert(patterns: readonly ReasoningBankPattern[], createdAt: number): number[] {
    return this.#guard(() =>
      inTransaction(this.#database, () => {
        const ids: number[] = [];
        for (let first = 0; first < patterns.length; first += ROWS_PER_INSERT) {
          const some = patterns.slice(first, first + ROWS_PER_INSERT);
          const insert = this.#prepare(`INSERT INTO episodes (${COLUMNS}) VALUES ${some.map(() => MARKS)}`);
          const last = Number(insert.run(...some.flatMap((one) => valuesOf(one, createdAt))).lastInsertRowid);
          // nobody else writes, so the ids of one statement follow each other
          for (let i = some.length - 1; i >= 0; i--) ids.push(last - i);
        }
        return ids;
      }),
    );
  }

  /** The patterns with these ids, in that order. */
  patterns(ids: readonly number[]): ReasoningBankPattern[] {
    return this.#guard(() => {
      const select = this.#prepare('SELECT * FROM episodes WHERE id = ?');
      return ids.map((id) => patternOf(select.get(id) as Row));
    });
  }

  /** All episodes, oldest first. */
  *episodes(): Generator<StoredEpisode> {
    const columns = 'id, created_at, skill, task, input, output, success, reward';
    const rows = this.#database.prepare(`SELECT ${columns} FROM episodes ORDER BY id`).iterate();
    for (const row of rows as Iterable<Row>) {
      yield {
        id: row.id as number,
        createdAt: row.created_at as number,
        task: row.task as string,
        success: row.success === 1,
        reward: row.reward as number,
        episode: episodeOf({ input: row.input as string, output: row.output as string }),
        skill: row.skill as number | null,
      };
    }
  }

  /** The ids of the oldest `count` episodes, and of all that are older than `createdAt`. */
  oldest(count: number, createdAt: number): number[] {
    return this.#guard(() => {
      const ids =
        'SELECT id FROM episodes WHERE created_at < ? UNION SELECT * FROM (SELECT id FROM episodes ORDER BY id LIMIT ?)';
      const rows = this.#prepare(ids).all(createdAt, Math.max(0, count)) as { id: number }[];
      return rows.map(({ id }) => id);
    });
  }

  remove(ids: readonly number[]): void {
    this.#guard(() => {
      const remove = this.#prepare('DELETE FROM episodes WHERE id = ?');
      inTransaction(this.#database, () => {
        for (const id of ids) remove.run(id);
      });
    });
  }

  skills(): { skill: Skill; evidence: SkillEvidence }[] {
    return this.#guard(() => {
      const rows = this.#prepare('SELECT * FROM skills ORDER BY id').all() as Row[];
      return rows.map((row) => ({
        skill: {
          id: row.id as number,
          description: row.description as string,
          learningRate: row.learning_rate as number,
          clipThreshold: row.clip_threshold as number,
          ewcLambda: row.ewc_lambda as number,
          uses: row.uses as number,
          successRate: row.success_rate as number,
        },
        evidence: {
          bucket: row.bucket as string,
          ...(JSON.parse(row.evidence as string) as Omit<SkillEvidence, 'bucket'>),
        },
      }));
    });
  }

  /** Writes the skill of a bucket, new or again, and marks the episodes whose outcomes it holds; returns its id. */
  saveSkill(skill: Omit<Skill, 'id'>, evidence: SkillEvidence, episodes: readonly number[], now: number): number {
    return this.#guard(() => {
      const save = this.#prepare(`
        INSERT INTO skills
          (created_at, updated_at, bucket, description, learning_rate, clip_threshold, ewc_lambda, uses, success_rate, evidence)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (bucket) DO UPDATE SET
          updated_at = excluded.updated_at, description = excluded.description, learning_rate = excluded.learning_rate,
          clip_threshold = excluded.clip_threshold, ewc_lambda = excluded.ewc_lambda, uses = excluded.uses,
          success_rate = excluded.success_rate, evidence = excluded.evidence
        RETURNING id`);
      const mark = this.#prepare('UPDATE episodes SET skill = ? WHERE id = ?');
      const { description, learningRate, clipThreshold, ewcLambda, uses, successRate } = skill;
      const settings = [learningRate, finite(clipThreshold), ewcLambda];
      const { bucket, ...taken } = evidence;
      return inTransaction(this.#database, () => {
        const row = save.get(
          ...[now, now, bucket, description, ...settings, uses, successRate, JSON.stringify(taken)],
        ) as { id: number };
        for (const id of episodes) mark.run(row.id, id);
        return row.id;
      });
    });
  }

  close(): void {
    this.#guard(() => {
      // the package's close() leaves the connection open until its statements are collected: give the lock back first,
      // which SQLite does on the next read, and in WAL mode not at all
      this.#database.exec('PRAGMA journal_mode = DELETE; PRAGMA locking_mode = NORMAL; SELECT count(*) FROM skills;');
      this.#database.close();
    });
  }

  readonly #statements = new Map<string, ReturnType<SqliteDatabase['prepare']>>();

  #prepare(sql: string): ReturnType<SqliteDatabase['prepare']> {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #requireSchema(): void {
    const { user_version: version } = this.#database.prepare('PRAGMA user_version').get() as { user_version: number };
    if (version === SCHEMA_VERSION) return;
    if (version !== 0) throw new Error(`it has format ${version}, this version of lorakeet reads ${SCHEMA_VERSION}`);
    const { tables } = this.#database.prepare('SELECT count(*) AS tables FROM sqlite_schema').get() as {
      tables: number;
    };
    if (tables > 0) throw new Error('it is some other database');
    this.#database.exec(SCHEMA);
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (cause) {
      if (cause instanceof LorakeetError) throw cause;
      const { message } = cause as Error;
      const reason = /locked|busy/i.test(message)
        ? 'another process, or another bank in this one, has it open'
        : message;
      throw new LorakeetError('ERR_STORE_UNAVAILABLE', `ReasoningBank ${this.#path}: ${reason}`, { cause });
    }
  }
}

function valuesOf(pattern: ReasoningBankPattern, createdAt: number): Value[] {
  const { sessionId, task, input, output, critique, success, reward, latencyMs } = pattern;
  const texts = [sessionId, task, input ?? null, output ?? null, critique ?? null];
  return [createdAt, ...texts, success ? 1 : 0, reward, latencyMs ?? null];
}

function patternOf(row: Row): ReasoningBankPattern {
  const pattern: ReasoningBankPattern = {
    sessionId: row.session_id as string,
    task: row.task as string,
    success: row.success === 1,
    reward: row.reward as number,
  };
  if (row.input !== null) pattern.input = row.input as string;
  if (row.output !== null) pattern.output = row.output as string;
  if (row.critique !== null) pattern.critique = row.critique as string;
  if (row.latency_ms !== null) pattern.latencyMs = row.latency_ms as number;
  return pattern;
}

/** JSON and SQL know no infinity. */
function finite(value: number): number {
  return Number.isFinite(value) ? value : Number.MAX_VALUE;
}
