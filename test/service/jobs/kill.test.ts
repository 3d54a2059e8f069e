/** kill -9 of a worker in the midst of a job: another has it when the lease ends, and it is completed once. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { JobQueue } from '../../../src/service/jobs/job.js';
import { PostgresJobQueue } from '../../../src/service/jobs/postgres-queue.js';
import { SqliteJobQueue } from '../../../src/service/jobs/sqlite-queue.js';
import { coded } from '../../personalization/samples.js';
import { root } from '../../support/imports.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';

const KILLS = 2;
const SCHEMA = 'killed';
const missing = postgresIsMissing();
const dist = join(root, 'dist');
const program = join(root, 'test/service/jobs/working-process.mjs');
let folder: string;
let ahead = 0;
/** Of the test's machine, set forward when a lease is to be over. */
const now = () => Date.now() + ahead;

beforeAll(() => {
  if (!existsSync(dist)) throw new Error('dist/ is missing: npm run build');
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-jobs-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

/** The claim that it had. */
async function workAndDie(place: string): Promise<{ id: string; token: string }> {
  const child = spawn(process.execPath, [program, dist, place, SCHEMA], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'exit');
  const [line] = await once(createInterface(child.stdout), 'line');
  child.kill('SIGKILL');
  expect((await ended)[1]).toBe('SIGKILL');
  const [id, token] = line.split(' ');
  return { id, token };
}

async function survive(place: string, queue: JobQueue): Promise<void> {
  const { job } = await queue.enqueue({ queue: 'train', maxAttempts: 10 });
  for (let kill = 1; kill <= KILLS; kill++) {
    const dead = await workAndDie(place);
    expect(dead.id).toBe(job.id);
    const options = { worker: 'survivor', leaseMs: 60_000 };
    expect(await queue.claim('train', options)).toBeUndefined();
    ahead += 31_000;
    const mine = await queue.claim('train', options);
    expect(mine).toMatchObject({ id: job.id, failures: kill, checkpoint: { step: 1 }, progress: 'half' });
    if (!mine) throw new Error('expected the job');
    await expect(queue.complete(dead)).rejects.toThrow(coded('ERR_JOB_LOST', 'survivor'));
    if (kill < KILLS) await queue.release(mine);
    else await queue.complete(mine, 'once');
    ahead = 0;
    await expect(queue.complete(dead)).rejects.toThrow(coded('ERR_JOB_LOST', 'survivor'));
  }
  expect(await queue.get(job.id)).toMatchObject({ state: 'completed', result: 'once', claims: KILLS * 2 });
  await queue.close();
}

it('with the embedded queue', async () => {
  const file = join(folder, 'jobs.db');
  await survive(file, new SqliteJobQueue(file, { now }));
});

describe.skipIf(missing)(`with Postgres${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(() => server?.stop());

  it('likewise', async () => {
    await survive(server.url(), await PostgresJobQueue.open({ connection: server.url(), schema: SCHEMA, now }));
  });
});
