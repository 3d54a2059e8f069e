/** Metadata of the learning engine's adapters in a table of Postgres. */
import { createHash, randomUUID } from 'node:crypto';
import { rejectUnknownKeys } from '../../checks.js';
import {
  type MetadataRow,
  type MetadataTable,
  type NewMetadataRow,
  OutcomeUnknown,
  type Replacement,
  TextAdapterStorage,
} from '../../learning/text-storage.js';
import { POSTGRES_OPTIONS, PostgresDatabase, type PostgresOptions, type Work } from '../postgres/database.js';
import { isRefusal } from '../postgres/failures.js';
import type { MigrationSet } from '../postgres/migrations.js';
import { keyOf } from '../postgres/values.js';

const LEARNING_TABLES: MigrationSet = {
  part: 'learning',
  steps: [
    // metadata as bytes, for a task's name may have what a text of Postgres may not; its hash, so that an index takes any
    (schema) => `
      CREATE TABLE ${schema}.adapter_metadata (
        id text PRIMARY KEY,
        task_sha256 bytea NOT NULL,
        version bigint NOT NULL,
        revision uuid NOT NULL,
        metadata bytea NOT NULL
      );
      CREATE INDEX adapter_metadata_by_task ON ${schema}.adapter_metadata (task_sha256);`,
  ],
};

/** A storage for any number of machines. */
export class PostgresAdapterStorage extends TextAdapterStorage {
  readonly #database: PostgresDatabase;

  private constructor(database: PostgresDatabase) {
    super(new PostgresTable(database));
    this.#database = database;
  }

  /**
   * Connects, and makes the table when missing. Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package
   * pg is not installed, the server cannot be reached or refuses, or a later lorakeet has made the table.
   */
  static async open(options: PostgresOptions = {}): Promise<PostgresAdapterStorage> {
    rejectUnknownKeys('options', options, POSTGRES_OPTIONS);
    return new PostgresAdapterStorage(await PostgresDatabase.open(options, LEARNING_TABLES));
  }

  /** Closes the connections, unless the pool is the caller's; afterwards every call fails. */
  close(): Promise<void> {
    return this.#database.close();
  }
}

class PostgresTable implements MetadataTable {
  readonly #database: PostgresDatabase;
  readonly #name: string;

  constructor(database: PostgresDatabase) {
    this.#database = database;
    this.#name = `${database.schema}.adapter_metadata`;
  }

  async put(row: NewMetadataRow): Promise<void> {
    const sql = `
      INSERT INTO ${this.#name} AS present (id, task_sha256, version, revision, metadata) VALUES ($1, $2, $3, $4, $5)
      ON CONFLICT (id) DO UPDATE SET task_sha256 = excluded.task_sha256, version = excluded.version,
        revision = excluded.revision, metadata = excluded.metadata`;
    await this.#write((query) => query(sql, valuesOf(row, randomUUID())));
  }

  async get(id: string): Promise<string | undefined> {
    return (await this.#select('WHERE id = $1', [id])).at(0)?.text;
  }

  list(task: string | undefined): Promise<MetadataRow[]> {
    return task === undefined ? this.#select('', []) : this.#select('WHERE task_sha256 = $1', [sha256Of(task)]);
  }

  /** When its answer is lost it is sent again, with the same revision: then it has happened if the row has that one. */
  replace(row: NewMetadataRow, expected: number): Promise<Replacement> {
    const revision = randomUUID();
    const update = `
      UPDATE ${this.#name} SET task_sha256 = $2, version = $3, revision = $4, metadata = $5
      WHERE id = $1 AND version = $6 RETURNING 1 AS written`;
    return this.#write(async (query, uncertain) => {
      const written = await query(update, [...valuesOf(row, revision), expected]);
      if (written.length === 1) return 'replaced';
      const [present] = await query<{ revision: string }>(`SELECT revision::text FROM ${this.#name} WHERE id = $1`, [
        row.id,
      ]);
      if (uncertain && present?.revision === revision) return 'replaced';
      if (uncertain) throw new OutcomeUnknown('the connection was lost, and another write came next');
      return present ? 'changed' : 'missing';
    });
  }

  async remove(id: string): Promise<void> {
    await this.#database.query(`DELETE FROM ${this.#name} WHERE id = $1`, [id]);
  }

  async #select(where: string, values: unknown[]): Promise<MetadataRow[]> {
    const sql = `SELECT id, metadata FROM ${this.#name} ${where}`;
    const rows = await this.#database.query<{ id: string; metadata: Uint8Array }>(sql, values);
    return rows.map(({ id, metadata }) => ({ id, text: Buffer.from(metadata).toString('utf8') }));
  }

  /** Once a statement has been sent, only the server's own refusal says that it has changed nothing. */
  async #write<T>(work: Work<T>): Promise<T> {
    let sent = false;
    let lost = false;
    try {
      return await this.#database.run((query, uncertain) => {
        sent = true;
        lost ||= uncertain;
        return work(query, uncertain);
      });
    } catch (error) {
      const { message, cause } = error as Error;
      if (sent && (lost || !isRefusal(cause ?? error))) throw new OutcomeUnknown(message, { cause: error });
      throw error;
    }
  }
}

function valuesOf({ id, task, version, text }: NewMetadataRow, revision: string): unknown[] {
  return [id, sha256Of(task), version, revision, keyOf(text)];
}

function sha256Of(text: string): Uint8Array {
  return createHash('sha256').update(text).digest();
}
