/** The stores that a configuration asks for. */
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { LorakeetError } from '../errors.js';
import { FileVersionStore } from '../stores/file-versions.js';
import type { PostgresSettings } from '../stores/postgres/driver.js';
import { PostgresVersionStore } from '../stores/postgres/versions.js';
import type { S3Options } from '../stores/s3-client.js';
import { S3VersionStore } from '../stores/s3-versions.js';
import type { VersionStore } from '../versions/version-store.js';
import type { ServiceConfig } from './config/keys.js';
import type { FeedbackStore } from './feedback/feedback-store.js';
import { PostgresFeedbackStore } from './feedback/postgres-feedback.js';
import type { FeedbackColumns } from './feedback/postgres-table.js';
import { SqliteFeedbackStore } from './feedback/sqlite-feedback.js';
import type { JobQueue } from './jobs/job.js';
import { PostgresJobQueue } from './jobs/postgres-queue.js';
import { SqliteJobQueue } from './jobs/sqlite-queue.js';

const FEEDBACK_FILE = 'feedback.db';
const JOBS_FILE = 'jobs.db';
const VERSIONS_FOLDER = 'versions';

/**
 * The folder of a SQLite file is made when missing. Rejects with ERR_FILE_ACCESS where that fails, and what the store rejects
 * with; a configuration that loadConfig has checked has everything that is needed.
 */
export async function openFeedbackStore(config: ServiceConfig): Promise<FeedbackStore> {
  const { kind, file, table, columns } = config.feedback;
  if (kind === 'postgres') {
    const foreign = table === undefined ? undefined : { table, columns: columns as FeedbackColumns };
    return PostgresFeedbackStore.open({ ...postgresOptions(config), foreign });
  }
  const path = file ?? join(config.storage.folder, FEEDBACK_FILE);
  await makeFolder(dirname(path));
  return new SqliteFeedbackStore(path);
}

/** A folder is made when missing, a bucket must exist. Rejects as openFeedbackStore does. */
export async function openVersionStore(
  config: ServiceConfig,
): Promise<VersionStore & { close(): void | Promise<void> }> {
  const { kind, folder, s3 } = config.storage;
  if (kind === 'postgres') return PostgresVersionStore.open(postgresOptions(config));
  if (kind === 's3') return S3VersionStore.open(s3Options(s3));
  return FileVersionStore.open(join(folder, VERSIONS_FOLDER));
}

/** Rejects as openFeedbackStore does. */
export async function openJobQueue(config: ServiceConfig): Promise<JobQueue> {
  if (config.jobs.queue === 'postgres') return PostgresJobQueue.open(postgresOptions(config));
  await makeFolder(config.storage.folder);
  return new SqliteJobQueue(join(config.storage.folder, JOBS_FILE));
}

/** Rejects with ERR_FILE_ACCESS. */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be made (${cause})`, { cause });
  }
}

function postgresOptions({ postgres }: ServiceConfig) {
  return { connection: postgresSettings(postgres), schema: postgres.schema };
}

function s3Options({
  endpoint,
  secure,
  region,
  accessKey,
  secretKey,
  bucket,
  prefix,
}: ServiceConfig['storage']['s3']): S3Options {
  const scheme = endpoint === undefined || /^https?:/i.test(endpoint) ? '' : secure ? 'https://' : 'http://';
  const client = {
    region,
    ...(endpoint !== undefined && { endpoint: scheme + endpoint }),
    ...(accessKey &&
      secretKey && { credentials: { accessKeyId: accessKey.reveal(), secretAccessKey: secretKey.reveal() } }),
  };
  return { bucket, client, ...(prefix !== undefined && { prefix }) };
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
