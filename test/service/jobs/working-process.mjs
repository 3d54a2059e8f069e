/**
 * Works on the jobs of the queue `train` until somebody kills it: saves a checkpoint, says so, and goes on for ever.
 *
 *   node working-process.mjs DIST FILE-OR-URL SCHEMA
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, place, schema] = process.argv.slice(2);
const from = (module) => import(new URL(module, pathToFileURL(`${dist}/`)).href);
const { SqliteJobQueue } = await from('service/jobs/sqlite-queue.js');
const { PostgresJobQueue } = await from('service/jobs/postgres-queue.js');
const { JobWorker } = await from('service/jobs/worker.js');

const queue = place.startsWith('postgres:')
  ? await PostgresJobQueue.open({ connection: place, schema })
  : new SqliteJobQueue(place);
const seen = new Set();
const heartbeat = queue.heartbeat.bind(queue);
queue.heartbeat = async (claim, options) => {
  const job = await heartbeat(claim, options);
  if (!seen.has(job.id)) writeSync(1, `${claim.id} ${claim.token}\n`);
  seen.add(job.id);
  return job;
};
const worker = new JobWorker(
  queue,
  'train',
  async (_, { progress, checkpoint }) => {
    checkpoint({ step: 1 });
    progress('half');
    await new Promise(() => {});
  },
  { progressMs: 0 },
);
worker.start();
