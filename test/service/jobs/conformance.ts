/** What every job queue must do. Time is the test's own, so that no lease is waited for. */
import { afterEach, describe, expect, it } from 'vitest';
import type { JobQueue, JobRequest } from '../../../src/service/jobs/job.js';
import { coded } from '../../personalization/samples.js';
import { ManualClock } from './manual-clock.js';

/** A new store; the answer opens it, any number of times, as other processes would. */
export type NewStore = (now: () => number) => Promise<() => Promise<JobQueue>>;

const LEASE = { leaseMs: 10_000 };
const ANY = { worker: 'any', ...LEASE };

export function jobQueueConformance(newStore: NewStore): void {
  const opened: JobQueue[] = [];
  afterEach(async () => {
    for (const queue of opened.splice(0)) await queue.close();
  });
  const start = async () => {
    const clock = new ManualClock();
    const openOne = await newStore(clock.now);
    const open = async () => {
      const queue = await openOne();
      opened.push(queue);
      return queue;
    };
    return { clock, open, queue: await open() };
  };
  const claim = async (queue: JobQueue, worker = 'any', maxRunning = 1) => {
    const job = await queue.claim('train', { worker, maxRunning, ...LEASE });
    if (!job) throw new Error('expected a job');
    return job;
  };
  const add = async (queue: JobQueue, request: Partial<JobRequest> = {}) =>
    (await queue.enqueue({ queue: 'train', ...request })).job;

  it('keeps what a job is, from its request to its end', async () => {
    const { clock, queue, open } = await start();
    const payload = { days: 7, name: 'ä"\'\0\ud800 $1 ?1', list: [1, null, true, 0.1], none: {} };
    const { job, created } = await queue.enqueue({
      queue: 'train',
      payload,
      priority: 3,
      maxAttempts: 2,
      backOffMs: 5,
    });
    expect(created).toBe(true);
    expect(job).toMatchObject({ state: 'queued', payload, priority: 3, maxAttempts: 2, backOffMs: 5, failures: 0 });
    expect(job.createdAt.getTime()).toBe(clock.now());
    clock.jump(1000);
    const mine = await claim(queue, 'one');
    expect(mine).toMatchObject({ id: job.id, state: 'running', claims: 1, worker: 'one', payload });
    expect(mine.leaseEndsAt?.getTime()).toBe(clock.now() + LEASE.leaseMs);
    await queue.heartbeat(mine, { ...LEASE, progress: { step: 1 }, checkpoint: 'c' });
    await queue.heartbeat(mine, { ...LEASE, progress: { step: 2 } });
    clock.jump(1000);
    const done = await queue.complete(mine, { loss: 0.5 });
    const other = await open();
    expect(await other.get(job.id)).toEqual(done);
    expect(done).toMatchObject({ state: 'completed', result: { loss: 0.5 }, progress: { step: 2 }, checkpoint: 'c' });
    expect([done.startedAt, done.finishedAt].map((date) => date?.getTime())).toEqual([clock.now() - 1000, clock.now()]);
    expect(await queue.get('nobody')).toBeUndefined();
  });

  it('makes one job of requests with one key, also at the same time', async () => {
    const { queue, open } = await start();
    const queues = [queue, await open(), await open()];
    const request = { queue: 'train', idempotencyKey: 'tick', payload: 1 };
    const answers = await Promise.all(Array.from({ length: 12 }, (_, i) => queues[i % 3].enqueue(request)));
    expect(new Set(answers.map(({ job }) => job.id)).size).toBe(1);
    expect(answers.filter(({ created }) => created).length).toBe(1);
    await queue.complete(await claim(queue));
    expect(await queue.enqueue(request)).toMatchObject({ created: false, job: { state: 'completed' } });
    expect((await queue.enqueue({ ...request, queue: 'other' })).created).toBe(true);
    expect((await queue.enqueue({ ...request, idempotencyKey: 'TICK' })).created).toBe(true);
  });

  it('gives the most urgent first, then the oldest, of its own queue', async () => {
    const { queue } = await start();
    for (const [payload, priority] of Object.entries([0, 5, 0, -1, 5])) await add(queue, { payload, priority });
    await add(queue, { queue: 'other', priority: 1000 });
    const order = [];
    for (let i = 0; i < 5; i++) order.push((await claim(queue, 'any', 9)).payload);
    expect(order).toEqual(['1', '4', '0', '2', '3']);
    expect(await queue.claim('train', { ...ANY, maxRunning: 9 })).toBeUndefined();
  });

  it.each([1, 3])('never runs more than %i of a queue, whoever asks', async (maxRunning) => {
    const { queue, open } = await start();
    for (let i = 0; i < 10; i++) await add(queue);
    const queues = [queue, await open(), await open(), await open()];
    const race = () =>
      Promise.all(Array.from({ length: 20 }, (_, i) => queues[i % 4].claim('train', { ...ANY, maxRunning })));
    const first = (await race()).filter((job) => job !== undefined);
    expect(new Set(first.map(({ id }) => id)).size).toBe(maxRunning);
    expect(first.length).toBe(maxRunning);
    await queue.complete(first[0]);
    expect((await race()).filter((job) => job !== undefined).length).toBe(1);
  });

  it('gives each job to one of 20 claimers', async () => {
    const { queue, open } = await start();
    const ids: string[] = [];
    for (let i = 0; i < 20; i++) ids.push((await add(queue)).id);
    const queues = [queue, await open(), await open(), await open()];
    const claims = Array.from({ length: 20 }, (_, i) => queues[i % 4].claim('train', { ...ANY, maxRunning: 100 }));
    expect((await Promise.all(claims)).map((job) => job?.id).sort()).toEqual(ids.sort());
  });

  it('gives a job whose lease has ended to another, and refuses the late worker', async () => {
    const { clock, queue, open } = await start();
    await add(queue, { maxAttempts: 2 });
    const late = await claim(queue, 'late');
    await queue.heartbeat(late, { ...LEASE, checkpoint: 'half' });
    clock.jump(LEASE.leaseMs - 1);
    expect(await queue.claim('train', ANY)).toBeUndefined();
    clock.jump(1);
    const other = await open();
    const mine = await claim(other, 'next');
    expect(mine).toMatchObject({ id: late.id, claims: 2, failures: 1, checkpoint: 'half', worker: 'next' });
    expect(mine.error).toContain('worker late went silent');
    const refused = coded('ERR_JOB_LOST', 'last claimed by next');
    await expect(queue.heartbeat(late, LEASE)).rejects.toThrow(refused);
    await expect(queue.complete(late, 'late')).rejects.toThrow(refused);
    await expect(queue.fail(late, 'late')).rejects.toThrow(refused);
    await expect(queue.release(late, 'late')).rejects.toThrow(refused);
    expect(await other.complete(mine, 'mine')).toMatchObject({
      state: 'completed',
      result: 'mine',
      checkpoint: 'half',
    });
    await expect(queue.complete(late, 'late')).rejects.toThrow(refused);
    expect((await queue.get(mine.id))?.result).toBe('mine');
  });

  it('lets a worker go on that is late when nobody else has come', async () => {
    const { clock, queue } = await start();
    await add(queue);
    const job = await claim(queue);
    clock.jump(LEASE.leaseMs * 5);
    await queue.heartbeat(job, LEASE);
    expect(await queue.claim('train', ANY)).toBeUndefined();
    expect((await queue.complete(job)).state).toBe('completed');
  });

  it('lets one of two win that race for an end', async () => {
    const { clock, queue, open } = await start();
    await add(queue, { maxAttempts: 100 });
    const other = await open();
    for (let round = 0; round < 10; round++) {
      const late = await claim(queue);
      clock.jump(LEASE.leaseMs);
      const [ending, next] = await Promise.allSettled([queue.release(late), other.claim('train', ANY)]);
      const lost = ending.status === 'rejected';
      const claimed = next.status === 'fulfilled' ? next.value : undefined;
      // whether it was given back in time or taken away, it is nobody's or the next one's
      if (lost) expect(claimed?.claims).toBe(late.claims + 1);
      const holder = claimed ?? (await claim(other));
      expect(holder.failures).toBe(late.failures + (lost ? 1 : 0));
      await other.release(holder);
    }
  });

  it('takes an end that is told twice as one', async () => {
    const { queue } = await start();
    await add(queue);
    let job = await claim(queue);
    expect(await queue.release(job, 1)).toEqual(await queue.release(job, 1));
    job = await claim(queue);
    expect(await queue.complete(job, 1)).toEqual(await queue.complete(job, 2));
    await expect(queue.fail(job, 'no')).rejects.toThrow(coded('ERR_JOB_LOST', 'completed'));
    await expect(queue.heartbeat(job, LEASE)).rejects.toThrow(coded('ERR_JOB_LOST', 'completed'));
  });

  it('tries again later and later, then gives up; retry() begins anew', async () => {
    const { clock, queue } = await start();
    const { id } = await add(queue, { maxAttempts: 3, backOffMs: 100 });
    for (const backOff of [100, 200]) {
      const job = await queue.fail(await claim(queue), 'broken\0 pipe');
      expect(job).toMatchObject({ state: 'queued', error: 'broken pipe' });
      clock.jump(backOff - 1);
      expect(await queue.claim('train', ANY)).toBeUndefined();
      clock.jump(1);
    }
    await expect(queue.retry(id)).rejects.toThrow(coded('ERR_INVALID_STATE', 'queued'));
    expect(await queue.fail(await claim(queue), 'broken')).toMatchObject({ state: 'failed', failures: 3, claims: 3 });
    expect(await queue.claim('train', ANY)).toBeUndefined();
    expect((await queue.list({ states: ['failed'] })).jobs.map((job) => job.id)).toEqual([id]);
    expect(await queue.retry(id)).toMatchObject({ state: 'queued', failures: 0, finishedAt: undefined });
    expect(await queue.fail(await claim(queue), 'bad input', { final: true })).toMatchObject({ state: 'failed' });
  });

  it('gives up on a job whose workers die', async () => {
    const { clock, queue } = await start();
    const { id } = await add(queue, { maxAttempts: 2 });
    for (let i = 0; i < 2; i++) {
      await claim(queue);
      clock.jump(LEASE.leaseMs);
    }
    expect(await queue.claim('train', ANY)).toBeUndefined();
    expect(await queue.get(id)).toMatchObject({ state: 'failed', failures: 2 });
  });

  it('gives a released job to the next at once, with its checkpoint and all its attempts', async () => {
    const { queue } = await start();
    await add(queue, { maxAttempts: 1 });
    await queue.release(await claim(queue), { step: 4 });
    expect(await claim(queue)).toMatchObject({ checkpoint: { step: 4 }, failures: 0, claims: 2 });
  });

  it('cancels: at once what waits, through its heartbeat what runs, and not what has ended', async () => {
    const { clock, queue } = await start();
    const { id } = await add(queue);
    expect(await queue.cancel(id)).toMatchObject({ state: 'cancelled' });
    expect(await queue.cancel(id)).toMatchObject({ state: 'cancelled' });
    expect(await queue.claim('train', ANY)).toBeUndefined();
    for (const end of ['fail', 'release', 'complete', 'silence'] as const) {
      await add(queue);
      const job = await claim(queue);
      expect(await queue.cancel(job.id)).toMatchObject({ state: 'running', cancelRequested: true });
      expect((await queue.heartbeat(job, LEASE)).cancelRequested).toBe(true);
      if (end === 'fail') expect((await queue.fail(job, 'aborted')).state).toBe('cancelled');
      if (end === 'release') expect((await queue.release(job)).state).toBe('cancelled');
      if (end === 'complete') expect((await queue.complete(job)).state).toBe('completed');
      if (end === 'silence') {
        clock.jump(LEASE.leaseMs);
        expect(await queue.claim('train', ANY)).toBeUndefined();
        expect((await queue.get(job.id))?.state).toBe('cancelled');
      }
    }
    await add(queue);
    const dead = await claim(queue);
    clock.jump(LEASE.leaseMs);
    expect((await queue.cancel(dead.id)).state).toBe('cancelled');
    await add(queue);
    const done = await queue.complete(await claim(queue));
    await expect(queue.cancel(done.id)).rejects.toThrow(coded('ERR_INVALID_STATE', 'completed'));
    await expect(queue.cancel('nobody')).rejects.toThrow(coded('ERR_JOB_NOT_FOUND', 'nobody'));
    expect(await queue.retry(id)).toMatchObject({ state: 'queued', cancelRequested: false });
  });

  it('lists pages, newest first, and counts', async () => {
    const { queue } = await start();
    const ids: string[] = [];
    for (let i = 0; i < 7; i++) ids.push((await add(queue, { queue: i === 3 ? 'other' : 'train' })).id);
    await queue.complete(await claim(queue));
    const first = await queue.list({ queue: 'train', limit: 4 });
    expect(first.jobs.map(({ id }) => id)).toEqual([6, 5, 4, 2].map((i) => ids[i]));
    const second = await queue.list({ queue: 'train', limit: 4, before: first.next });
    expect(second).toMatchObject({ jobs: [{ id: ids[1] }, { id: ids[0] }], next: undefined });
    expect((await queue.list({ limit: 7 })).next).toBeUndefined();
    expect((await queue.list({ states: ['completed', 'failed'] })).jobs.map(({ id }) => id)).toEqual([ids[0]]);
    expect(await queue.counts()).toEqual({ queued: 6, running: 0, completed: 1, failed: 0, cancelled: 0 });
    expect(await queue.counts('other')).toMatchObject({ queued: 1, completed: 0 });
  });

  it('forgets what had ended before, and nothing else', async () => {
    const { clock, queue } = await start();
    const old = await add(queue, { idempotencyKey: 'k' });
    await queue.complete(await claim(queue));
    clock.jump(1000);
    const cut = new Date(clock.now());
    const young = await add(queue);
    await queue.complete(await claim(queue));
    const waiting = await add(queue);
    expect(await queue.deleteFinished(cut)).toBe(1);
    expect((await queue.list()).jobs.map(({ id }) => id)).toEqual([waiting.id, young.id]);
    expect((await add(queue, { idempotencyKey: 'k' })).id).not.toBe(old.id);
  });

  it('does a tick once, and none while the job of an earlier one is under way', async () => {
    const { queue, open } = await start();
    const at = (minute: number) => new Date(Date.UTC(2026, 0, 1, 0, minute));
    expect(await queue.registerSchedule('weekly', 'v1', at(0))).toEqual({ lastTick: at(0), lastJobId: undefined });
    const request = { queue: 'train' };
    const queues = [queue, await open(), await open()];
    const race = (minute: number) =>
      Promise.all(Array.from({ length: 9 }, (_, i) => queues[i % 3].enqueueTick('weekly', at(minute), request)));
    const jobs = (await race(1)).filter((answer) => typeof answer === 'object');
    expect(jobs.length).toBe(1);
    expect(await queue.enqueueTick('weekly', at(0), request)).toBe('done');
    expect((await race(2)).sort()).toEqual([...Array(8).fill('done'), 'skipped']);
    expect(await queue.registerSchedule('weekly', 'v1', at(9))).toEqual({ lastTick: at(2), lastJobId: jobs[0].id });
    await queue.complete(await claim(queue));
    expect(await queue.enqueueTick('weekly', at(3), undefined)).toBe('skipped');
    expect((await race(4)).filter((answer) => typeof answer === 'object').length).toBe(1);
    // other times: what it has missed of them nobody knows
    expect(await queue.registerSchedule('weekly', 'v2', at(9))).toMatchObject({ lastTick: at(9) });
  });

  describe('refuses what it cannot keep, and keeps nothing of it:', () => {
    const circle: unknown[] = [];
    circle.push(circle);
    it.each<[string, unknown, string]>([
      ['no request', null, 'request: got null'],
      ['no queue', {}, 'request.queue'],
      ['an odd queue', { queue: "t'; DROP TABLE jobs" }, 'request.queue'],
      ['a Date', { queue: 'q', payload: { at: new Date() } }, 'request.payload.at'],
      ['NaN', { queue: 'q', payload: [NaN] }, 'request.payload.0'],
      ['a circle', { queue: 'q', payload: circle }, 'request.payload.0'],
      ['too much', { queue: 'q', payload: 'x'.repeat(2 ** 20) }, 'request.payload'],
      ['NUL in a key', { queue: 'q', idempotencyKey: 'a\0' }, 'request.idempotencyKey'],
      ['half a character', { queue: 'q', idempotencyKey: '\ud800' }, 'request.idempotencyKey'],
      ['half a priority', { queue: 'q', priority: 0.5 }, 'request.priority'],
      ['no attempts', { queue: 'q', maxAttempts: 0 }, 'request.maxAttempts'],
      ['a long back-off', { queue: 'q', backOffMs: 3_600_001 }, 'request.backOffMs'],
    ])('%s', async (_, request, text) => {
      const { queue } = await start();
      await expect(queue.enqueue(request as JobRequest)).rejects.toThrow(coded('ERR_INVALID_ARGUMENT', text));
      expect((await queue.list()).jobs).toEqual([]);
    });

    it('arguments of the other methods', async () => {
      const { queue } = await start();
      await add(queue);
      const job = await claim(queue);
      const bad = [
        () => queue.claim('train', { worker: '', ...LEASE }),
        () => queue.claim('train', { worker: 'w', leaseMs: 0 }),
        () => queue.claim('train', { ...ANY, maxRunning: 0 }),
        () => queue.heartbeat(job, { leaseMs: NaN }),
        () => queue.heartbeat(job, { ...LEASE, progress: (() => {}) as never }),
        () => queue.complete({ id: job.id } as never),
        () =>
          queue.complete(job, undefined as never as Date as never).then(() => queue.complete(job, new Date() as never)),
        () => queue.list({ states: ['done' as never] }),
        () => queue.list({ limit: 0 }),
        () => queue.deleteFinished(new Date(NaN)),
        () => queue.enqueueTick('s', 'now' as never, undefined),
      ];
      for (const call of bad) await expect(call()).rejects.toThrow(coded('ERR_INVALID_ARGUMENT', 'got'));
    });
  });
}
