/** The bank's file: episodes as they came, with their structured features as columns, and skills with their evidence. */
import { LorakeetError } from '../../errors.js';
import { inTransaction, openSqlite, type SqliteDatabase } from '../../sqlite.js';
import type { ReasoningBankPattern } from '../contract.js';
import type { Episode } from './episode.js';
import type { Skill, SkillEvidence } from './skills.js';

const SCHEMA_VERSION = 2;
const SCHEMA = `
  CREATE TABLE episodes (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at INTEGER NOT NULL, skill INTEGER,
    session_id TEXT NOT NULL, task TEXT NOT NULL, input TEXT, output TEXT, critique TEXT,
    success INTEGER NOT NULL, reward REAL NOT NULL, latency_ms REAL,
    user_id TEXT, optimizer TEXT, embedding_dim INTEGER, rank INTEGER, batch_size INTEGER, previous_version INTEGER,
    learning_rate REAL, clip_threshold REAL, ewc_lambda REAL,
    mean_reward REAL, target_share REAL, input_rms REAL, residual_rms REAL, coherence REAL,
    loss_before REAL, correction_rms REAL, loss_after REAL
  );
  CREATE TABLE skills (
    id INTEGER PRIMARY KEY AUTOINCREMENT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    bucket TEXT NOT NULL UNIQUE, description TEXT NOT NULL, learning_rate REAL NOT NULL, clip_threshold REAL NOT NULL,
    ewc_lambda REAL NOT NULL, uses INTEGER NOT NULL, success_rate REAL NOT NULL, evidence TEXT NOT NULL
  );
  PRAGMA user_version = ${SCHEMA_VERSION};
`;

const COLUMNS = [
  'created_at',
  'session_id',
  'task',
  'input',
  'output',
  'critique',
  'success',
  'reward',
  'latency_ms',
  'user_id',
  'optimizer',
  'embedding_dim',
  'rank',
  'batch_size',
  'previous_version',
  'learning_rate',
  'clip_threshold',
  'ewc_lambda',
  'mean_reward',
  'target_share',
  'input_rms',
  'residual_rms',
  'coherence',
  'loss_before',
  'correction_rms',
  'loss_after',
];

/** Only shown, never compared. */
const TEXTS = ['session_id', 'input', 'output', 'critique', 'latency_ms'];

export interface NewEpisode {
  createdAt: number;
  pattern: ReasoningBankPattern;
  episode: Episode | undefined;
}

/** What is read again when the bank is opened; the texts stay in the file. */
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
  insert(episodes: readonly NewEpisode[]): number[] {
    return this.#guard(() => {
      const marks = COLUMNS.map(() => '?').join();
      const insert = this.#prepare(`INSERT INTO episodes (${COLUMNS}) VALUES (${marks})`);
      return inTransaction(this.#database, () =>
        episodes.map((one) => Number(insert.run(...valuesOf(one)).lastInsertRowid)),
      );
    });
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
    const columns = ['id', 'skill', ...COLUMNS.filter((column) => !TEXTS.includes(column))];
    const rows = this.#database.prepare(`SELECT ${columns} FROM episodes ORDER BY id`).iterate();
    for (const row of rows as Iterable<Row>) {
      yield {
        id: row.id as number,
        createdAt: row.created_at as number,
        task: row.task as string,
        success: row.success === 1,
        reward: row.reward as number,
        episode: structuredPart(row),
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

function valuesOf({ createdAt, pattern, episode }: NewEpisode): Value[] {
  const { sessionId, task, input, output, critique, success, reward, latencyMs } = pattern;
  const texts = [sessionId, task, input ?? null, output ?? null, critique ?? null];
  const given = [createdAt, ...texts, success ? 1 : 0, reward, latencyMs ?? null];
  if (!episode) return [...given, ...Array<null>(COLUMNS.length - given.length).fill(null)];
  const { input: now, output: outcome } = episode;
  const { meanReward, targetShare, inputRms, residualRms, coherence } = now.feedback;
  return [
    ...given,
    now.userId,
    now.optimizer,
    now.embeddingDim,
    now.rank,
    now.batchSize,
    now.previousVersion,
    now.learningRate,
    finite(now.clipThreshold),
    now.ewcLambda,
    meanReward,
    targetShare,
    inputRms,
    residualRms,
    coherence,
    outcome.lossBefore,
    outcome.correctionRms,
    outcome.lossAfter,
  ];
}

function structuredPart(row: Row): Episode | undefined {
  if (row.user_id === null) return undefined;
  const number = (column: string) => row[column] as number;
  return {
    input: {
      userId: row.user_id as string,
      rank: number('rank'),
      embeddingDim: number('embedding_dim'),
      batchSize: number('batch_size'),
      previousVersion: number('previous_version'),
      learningRate: number('learning_rate'),
      clipThreshold: number('clip_threshold'),
      ewcLambda: number('ewc_lambda'),
      optimizer: row.optimizer as 'sgd' | 'adamw',
      feedback: {
        meanReward: number('mean_reward'),
        targetShare: number('target_share'),
        inputRms: number('input_rms'),
        residualRms: number('residual_rms'),
        coherence: number('coherence'),
      },
    },
    output: {
      lossBefore: number('loss_before'),
      correctionRms: number('correction_rms'),
      lossAfter: number('loss_after'),
    },
  };
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
