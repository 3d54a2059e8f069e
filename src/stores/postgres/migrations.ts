/**
 * Tables that come and change with versions of lorakeet. Each part of it has a list of steps of its own, which only ever
 * grows; a table remembers how far each part has got. Any number of processes may start at once.
 */
import { LorakeetError } from '../../errors.js';
import type { PostgresDatabase, Query } from './database.js';

export interface MigrationSet {
  /** Whose tables they are, e.g. versions. */
  part: string;
  /** The SQL of each step, for a schema's name in quotes. What has been published does not change any more. */
  steps: readonly ((schema: string) => string)[];
}

/** Rejects with ERR_STORE_UNAVAILABLE, also where a later version of lorakeet has been. */
export async function migrate(database: PostgresDatabase, set: MigrationSet): Promise<void> {
  const { schema } = database;
  // most find everything done, and may lack the right to do it
  if ((await database.run((query) => readVersion(query, schema, set))) === set.steps.length) return;
  await database.transaction(async (query) => {
    await query('SELECT pg_advisory_xact_lock(hashtextextended($1, 0))', [`lorakeet migrations of ${schema}`]);
    const done = await readVersion(query, schema, set);
    if (done === undefined) await query(baseOf(schema));
    for (let version = (done ?? 0) + 1; version <= set.steps.length; version++) {
      await query(set.steps[version - 1](schema));
      await query(`INSERT INTO ${schema}.lorakeet_migrations (part, version) VALUES ($1, $2)`, [set.part, version]);
    }
  });
}

/** undefined where there is nothing yet, not even the table. */
async function readVersion(query: Query, schema: string, { part, steps }: MigrationSet): Promise<number | undefined> {
  // not to_regclass(), which may still not know of a table made while this transaction waited for the lock
  const look = "SELECT FROM pg_catalog.pg_tables WHERE schemaname = $1 AND tablename = 'lorakeet_migrations'";
  if ((await query(look, [schema.slice(1, -1)])).length === 0) return undefined;
  const select = `SELECT coalesce(max(version), 0)::text AS version FROM ${schema}.lorakeet_migrations WHERE part = $1`;
  const [row] = await query<{ version: string }>(select, [part]);
  const version = Number(row.version);
  if (version > steps.length) {
    const what = `the tables of ${part} in schema ${schema} have version ${version}, expected at most ${steps.length}`;
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', `Postgres: ${what}: a later lorakeet has been here`);
  }
  return version;
}

/** Not IF NOT EXISTS for the schema: that asks for the right to make one even where it is there. */
function baseOf(schema: string): string {
  return `
    DO $$ BEGIN
      IF NOT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = '${schema.slice(1, -1)}') THEN
        CREATE SCHEMA ${schema};
      END IF;
    END $$;
    CREATE TABLE ${schema}.lorakeet_migrations (
      part text NOT NULL,
      version integer NOT NULL,
      applied_at timestamptz NOT NULL DEFAULT now(),
      PRIMARY KEY (part, version)
    );`;
}
