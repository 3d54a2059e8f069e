/** The stores that a configuration asks for. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LorakeetError } from '../errors.js';
import type { PostgresSettings } from '../stores/postgres/driver.js';
import type { ServiceConfig } from './config/keys.js';
import type { FeedbackStore } from './feedback/feedback-store.js';
import { PostgresFeedbackStore } from './feedback/postgres-feedback.js';
import type { FeedbackColumns } from './feedback/postgres-table.js';
import { SqliteFeedbackStore } from './feedback/sqlite-feedback.js';

const FEEDBACK_FILE = 'feedback.db';

/**
 * The folder of a SQLite file is made when missing. Rejects with ERR_FILE_ACCESS where that fails, and what the store rejects
 * with; a configuration that loadConfig has checked has everything that is needed.
 */
export async function openFeedbackStore(config: ServiceConfig): Promise<FeedbackStore> {
  const { kind, file, table, columns } = config.feedback;
  if (kind === 'postgres') {
    const foreign = table === undefined ? undefined : { table, columns: columns as FeedbackColumns };
    const { schema } = config.postgres;
    return PostgresFeedbackStore.open({ connection: postgresSettings(config.postgres), schema, foreign });
  }
  const path = file ?? join(config.storage.folder, FEEDBACK_FILE);
  try {
    await mkdir(dirname(path), { recursive: true });
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${dirname(path)}: cannot be made (${cause})`, { cause });
  }
  return new SqliteFeedbackStore(path);
}

/** As the Pool of the package pg takes them. */
export function postgresSettings(postgres: ServiceConfig['postgres']): PostgresSettings {
  const { url, host, port, database, user, password, tls, connections } = postgres;
  const address =
    url === undefined
      ? { host, port, database, user, password: password?.reveal() }
      : { connectionString: url.reveal() };
  return { ...address, ...(tls && { ssl: true }), max: connections };
}
