/** A worker over an embedded queue, on a clock of the test's own. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LorakeetError } from '../../../src/errors.js';
import { silentLogger } from '../../../src/logger.js';
import type { Json } from '../../../src/service/jobs/job.js';
import { SqliteJobQueue } from '../../../src/service/jobs/sqlite-queue.js';
import { type JobContext, type JobHandler, JobWorker } from '../../../src/service/jobs/worker.js';
import { coded } from '../../personalization/samples.js';
import { ManualClock, rest } from './manual-clock.js';

const TIMES = { leaseMs: 10_000, heartbeatMs: 2000, progressMs: 500, pollMs: 1000 };
let clock: ManualClock;
let queue: SqliteJobQueue;
const workers: JobWorker[] = [];
beforeEach(() => {
  clock = new ManualClock();
  queue = new SqliteJobQueue(':memory:', { now: clock.now });
});
afterEach(async () => {
  await Promise.all(workers.splice(0).map((worker) => worker.stop()));
  await queue.close();
});

function work(handler: JobHandler, options = {}): JobWorker {
  const worker = new JobWorker(queue, 'train', handler, { ...TIMES, clock, logger: silentLogger, ...options });
  workers.push(worker);
  worker.start();
  return worker;
}
const add = async (payload: Json = null) => (await queue.enqueue({ queue: 'train', payload, backOffMs: 100 })).job.id;
const state = async (id: string) => (await queue.get(id))?.state;

/** Runs until it is told how to end; its signal ends it too. */
function handled() {
  const seen: { context: JobContext; end: (value?: Json) => void; break: (error: unknown) => void }[] = [];
  const handler: JobHandler = (_, context) =>
    new Promise<Json | undefined>((resolve, reject) => {
      seen.push({ context, end: resolve, break: reject });
      context.signal.addEventListener('abort', () => reject(context.signal.reason));
    });
  return { seen, handler };
}

it('does jobs one after another, and looks again by itself or when woken', async () => {
  const done: Json[] = [];
  const worker = work(async ({ payload }) => {
    done.push(payload);
    return payload;
  });
  await rest();
  const ids = [await add(1), await add(2)];
  await clock.advance(TIMES.pollMs - 1);
  expect(done).toEqual([]);
  await clock.advance(1);
  expect(done).toEqual([1, 2]);
  expect((await queue.get(ids[1]))?.result).toBe(2);
  await add(3);
  worker.wake();
  await rest();
  expect(done).toEqual([1, 2, 3]);
});

it('keeps a job for as long as its handler runs', async () => {
  const { seen, handler } = handled();
  const id = await add();
  work(handler);
  await clock.advance(TIMES.leaseMs * 10);
  expect(await queue.claim('train', { worker: 'thief', leaseMs: 1 })).toBeUndefined();
  seen[0].end('result');
  await rest();
  expect(await queue.get(id)).toMatchObject({ state: 'completed', result: 'result', claims: 1 });
});

it('writes progress now and then, and always the last', async () => {
  const { seen, handler } = handled();
  const id = await add();
  let beats = 0;
  const heartbeat = queue.heartbeat.bind(queue);
  queue.heartbeat = (...args) => {
    beats++;
    return heartbeat(...args);
  };
  work(handler);
  await rest();
  for (let step = 0; step < 1000; step++) {
    seen[0].context.progress({ step });
    if (step % 100 === 99) await clock.advance(100);
  }
  expect(beats).toBe(2);
  seen[0].context.progress({ step: 'last' });
  seen[0].context.checkpoint('here');
  seen[0].end();
  await rest();
  expect(await queue.get(id)).toMatchObject({ state: 'completed', progress: { step: 'last' }, checkpoint: 'here' });
  expect(() => seen[0].context.progress(NaN)).toThrow(coded('ERR_INVALID_ARGUMENT', 'progress'));
});

it('tries again after an error, but not after one that will come again', async () => {
  let calls = 0;
  const id = await add();
  work(async () => {
    if (++calls < 3) throw new Error(`failure ${calls}`);
  });
  await rest();
  expect(await queue.get(id)).toMatchObject({ state: 'queued', error: 'failure 1' });
  await clock.advance(2000);
  expect(await queue.get(id)).toMatchObject({ state: 'completed', failures: 2, claims: 3 });
});

it.each<[string, JobHandler]>([
  ['an argument that is none', async () => void (await queue.claim('no queue', {} as never))],
  ['a result that is no JSON', async () => new Date() as never],
])('gives up at once on %s', async (_, handler) => {
  const id = await add();
  work(handler);
  await rest();
  expect(await queue.get(id)).toMatchObject({ state: 'failed', claims: 1 });
});

it('tells a handler that its job is to be cancelled', async () => {
  const { seen, handler } = handled();
  const id = await add();
  work(handler);
  await rest();
  await queue.cancel(id);
  await clock.advance(TIMES.heartbeatMs);
  expect((seen[0].context.signal.reason as LorakeetError).code).toBe('ERR_ABORTED');
  expect(await state(id)).toBe('cancelled');
});

it("tells a handler that its job is another's, and lets that one finish it", async () => {
  const { seen, handler } = handled();
  const id = await add();
  work(handler);
  await rest();
  clock.jump(TIMES.leaseMs);
  const other = await queue.claim('train', { worker: 'other', ...TIMES });
  if (!other) throw new Error('expected the job');
  await clock.advance(0);
  expect((seen[0].context.signal.reason as LorakeetError).code).toBe('ERR_JOB_LOST');
  await queue.complete(other, 'of the other');
  expect(await queue.get(id)).toMatchObject({ state: 'completed', result: 'of the other', claims: 2 });
});

it('gives a job up when no heartbeat has come through for as long as its lease', async () => {
  const { seen, handler } = handled();
  await add();
  work(handler);
  await rest();
  queue.heartbeat = async () => {
    throw new Error('no way through');
  };
  await clock.advance(TIMES.leaseMs - 1);
  expect(seen[0].context.signal.aborted).toBe(false);
  await clock.advance(TIMES.heartbeatMs);
  expect((seen[0].context.signal.reason as LorakeetError).code).toBe('ERR_JOB_LOST');
});

describe('stop()', () => {
  it('gives the job back with its checkpoint, for the next worker to go on', async () => {
    const { seen, handler } = handled();
    const id = await add();
    const worker = work(handler);
    await rest();
    expect(worker.running).toBe(id);
    seen[0].context.checkpoint({ step: 5 });
    await worker.stop();
    expect(await queue.get(id)).toMatchObject({ state: 'queued', checkpoint: { step: 5 }, failures: 0 });
    const found: unknown[] = [];
    work(async ({ checkpoint }) => void found.push(checkpoint));
    await rest();
    expect(found).toEqual([{ step: 5 }]);
    expect(await state(id)).toBe('completed');
    expect(() => worker.start()).toThrow(coded('ERR_CLOSED', 'stopped'));
  });

  it('lets the job finish within its grace, and takes no other', async () => {
    const { seen, handler } = handled();
    const ids = [await add(), await add()];
    const worker = work(handler);
    await rest();
    const stopping = worker.stop({ graceMs: 5000 });
    await clock.advance(4999);
    seen[0].end();
    await stopping;
    expect([await state(ids[0]), await state(ids[1])]).toEqual(['completed', 'queued']);
    expect(seen.length).toBe(1);
  });

  it('ends the grace in the end', async () => {
    const { handler } = handled();
    const id = await add();
    const worker = work(handler);
    await rest();
    const stopping = worker.stop({ graceMs: 5000 });
    await clock.advance(5000);
    await stopping;
    expect(await state(id)).toBe('queued');
  });
});
