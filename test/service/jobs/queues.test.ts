/** Every job queue against the suite. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresJobQueue } from '../../../src/service/jobs/postgres-queue.js';
import { SqliteJobQueue } from '../../../src/service/jobs/sqlite-queue.js';
import { coded } from '../../personalization/samples.js';
import { PostgresServer, postgresIsMissing } from '../../support/postgres.js';
import { jobQueueConformance } from './conformance.js';

const missing = postgresIsMissing();
let stores = 0;

describe('SqliteJobQueue', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-jobs-'));
  });
  afterAll(() => {
    rmSync(folder, { recursive: true });
  });

  jobQueueConformance(async (now) => {
    const file = join(folder, `${stores++}.db`);
    return async () => new SqliteJobQueue(file, { now });
  });

  it('refuses a file that is something else, and calls once it is closed', async () => {
    const file = join(folder, 'text.db');
    writeFileSync(file, 'something else, and long enough to be no database'.repeat(20));
    expect(() => new SqliteJobQueue(file)).toThrow(coded('ERR_STORE_UNAVAILABLE', file));
    const queue = new SqliteJobQueue(join(folder, 'closed.db'));
    await queue.close();
    await queue.close();
    await expect(queue.enqueue({ queue: 'q' })).rejects.toThrow(coded('ERR_CLOSED', 'closed'));
  });
});

describe.skipIf(missing)(`PostgresJobQueue${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(() => server?.stop());

  jobQueueConformance(async (now) => {
    const schema = `jobs_${stores++}`;
    return () => PostgresJobQueue.open({ connection: server.url(), schema, now });
  });

  it("goes by the server's clock when it is given none", async () => {
    const queue = await PostgresJobQueue.open({ connection: server.url(), schema: `jobs_${stores++}` });
    const before = Date.now();
    const { job } = await queue.enqueue({ queue: 'q' });
    const took = Date.now() - before;
    expect(Math.abs(job.createdAt.getTime() - before)).toBeLessThanOrEqual(took + 1);
    expect(await queue.claim('q', { worker: 'w', leaseMs: 1000 })).toMatchObject({ id: job.id });
    await queue.close();
  });
});
