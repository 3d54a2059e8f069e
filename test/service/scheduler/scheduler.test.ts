/** Ticks, missed ticks and changes of clocks, on a clock of the test's own. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import { SqliteJobQueue } from '../../../src/service/jobs/sqlite-queue.js';
import { cronTimes } from '../../../src/service/scheduler/cron.js';
import { type ScheduleOptions, Scheduler } from '../../../src/service/scheduler/scheduler.js';
import { coded } from '../../personalization/samples.js';
import { ManualClock, rest } from '../jobs/manual-clock.js';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const MONDAY = Date.UTC(2026, 0, 5, 2);
const WEEKLY: ScheduleOptions = { name: 'weekly', cron: '0 2 * * 1', job: { queue: 'train', payload: { days: 7 } } };

let clock: ManualClock;
let folder: string;
let queue: SqliteJobQueue;
const closing: (() => Promise<void>)[] = [];
const openQueue = () => {
  const one = new SqliteJobQueue(join(folder, 'jobs.db'), { now: clock.now });
  closing.push(() => one.close());
  return one;
};
beforeEach(() => {
  clock = new ManualClock(Date.UTC(2026, 0, 1));
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-schedule-'));
  queue = openQueue();
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  rmSync(folder, { recursive: true });
});

async function schedule(options: Partial<ScheduleOptions> = {}, on = queue): Promise<Scheduler> {
  const scheduler = new Scheduler(on, { clock, logger: silentLogger });
  closing.push(() => scheduler.stop());
  await scheduler.add({ ...WEEKLY, ...options });
  scheduler.start();
  return scheduler;
}
const jobs = async () => (await queue.list({ limit: 1000 })).jobs.reverse();
const keys = async () => (await jobs()).map(({ idempotencyKey }) => idempotencyKey);
const finishAll = async () => {
  for (let job = await next(); job; job = await next()) await queue.complete(job);
};
const next = () => queue.claim('train', { worker: 'w', leaseMs: 1000 });

it('makes a job when it is due, not before, and says when the next one is', async () => {
  const scheduler = await schedule();
  expect(scheduler.status()).toMatchObject([{ name: 'weekly', timeZone: 'UTC', nextRunAt: new Date(MONDAY) }]);
  await clock.advance(MONDAY - clock.now() - 1);
  expect(await jobs()).toEqual([]);
  await clock.advance(1);
  const [job] = await jobs();
  expect(job).toMatchObject({ queue: 'train', payload: { days: 7 }, createdAt: new Date(MONDAY) });
  const [status] = scheduler.status();
  expect(status).toMatchObject({ lastTickAt: new Date(MONDAY), lastJobId: job.id, nextRunAt: new Date(MONDAY + WEEK) });
  await finishAll();
  await clock.advance(WEEK);
  expect((await jobs()).length).toBe(2);
});

it('makes one job per tick, whoever else has the schedule', async () => {
  const others = [queue, openQueue(), openQueue()];
  const schedulers = [];
  for (const one of others) schedulers.push(await schedule({ cron: '*/10 * * * *' }, one));
  for (let tick = 0; tick < 6; tick++) {
    await clock.advance(HOUR / 6);
    await finishAll();
  }
  const ticks = (await keys()).map((key) => key?.split(' ')[2]);
  expect(ticks).toEqual([...Array(6)].map((_, i) => new Date(Date.UTC(2026, 0, 1, 0, 10 * (i + 1))).toISOString()));
  const [[first], ...rest] = schedulers.map((scheduler) => scheduler.status());
  for (const [status] of rest) expect(status).toEqual(first);
});

describe('after some weeks in which nothing ran', () => {
  it.each([
    ['catch-up', 1],
    ['skip', 0],
  ] as const)('%s makes %i job', async (misfire, count) => {
    await (await schedule({ misfire })).stop();
    clock.jump(5 * WEEK);
    const scheduler = await schedule({ misfire });
    for (let minute = 0; minute < 10; minute++) {
      await clock.advance(60_000);
      await finishAll();
    }
    const last = `schedule weekly ${new Date(MONDAY + 4 * WEEK).toISOString()}`;
    expect(await keys()).toEqual(count === 1 ? [last] : []);
    expect(scheduler.status()[0].lastTickAt.getTime()).toBe(MONDAY + 4 * WEEK);
    expect(scheduler.status()[0].nextRunAt?.getTime()).toBe(MONDAY + 5 * WEEK);
    await finishAll();
    await clock.advance(WEEK);
    expect((await jobs()).length).toBe(count + 1);
  });

  it('also when the machine slept and the process lived on', async () => {
    await schedule();
    await rest();
    clock.jump(5 * WEEK);
    await clock.advance(0);
    await rest();
    expect((await jobs()).length).toBe(1);
  });
});

it('has missed nothing when it is new, or its times have changed', async () => {
  await (await schedule()).stop();
  clock.jump(5 * WEEK);
  await schedule({ cron: '0 3 * * 1' });
  await clock.advance(HOUR);
  expect(await jobs()).toEqual([]);
});

it('makes no job while that of an earlier tick is under way', async () => {
  await schedule({ cron: '0 * * * *' });
  await clock.advance(3 * HOUR);
  expect((await jobs()).length).toBe(1);
  await finishAll();
  await clock.advance(HOUR);
  expect((await jobs()).length).toBe(2);
});

it('goes on when the store fails, and makes up for it', async () => {
  const scheduler = await schedule();
  const enqueueTick = queue.enqueueTick.bind(queue);
  queue.enqueueTick = async () => {
    throw new Error('gone');
  };
  await clock.advance(MONDAY - clock.now() + 5 * 60_000);
  expect(scheduler.isRunning).toBe(true);
  queue.enqueueTick = enqueueTick;
  await clock.advance(10_000);
  expect((await jobs()).length).toBe(1);
});

it('makes none again when the clock is set back', async () => {
  await schedule({ cron: '0 * * * *' });
  await clock.advance(2 * HOUR);
  await finishAll();
  const before = (await jobs()).length;
  clock.jump(-HOUR);
  await clock.advance(HOUR);
  expect((await jobs()).length).toBe(before);
});

it.each<[string, object, string]>([
  ['six fields', { cron: '0 0 2 * * 1' }, 'schedule.cron'],
  ['no time zone', { timeZone: 'Mars/Olympus' }, 'schedule.timeZone'],
  ['an unknown policy', { misfire: 'twice' }, 'schedule.misfire'],
  ['a misspelt option', { timezone: 'UTC' }, 'schedule.timezone'],
])('refuses %s', async (_, options, text) => {
  await expect(schedule(options)).rejects.toThrow(coded('ERR_INVALID_CONFIG', text));
});

describe('in Vienna, where clocks change', () => {
  const vienna = (cron: string) => cronTimes('schedule', cron, 'Europe/Vienna');
  const ticks = async (cron: string, from: string, count: number) => {
    const times = await vienna(cron);
    const found: string[] = [];
    for (let time = times.next(new Date(from)); time && found.length < count; time = times.next(time)) {
      found.push(time.toISOString().slice(5, 16));
    }
    return found;
  };

  it.each<[string, string, string, string[]]>([
    ['02:30 is 03:30 when there is none', '30 2 * * *', '2026-03-28T12:00Z', ['03-29T01:00', '03-30T00:30']],
    ['02:30 comes once when there are two', '30 2 * * *', '2026-10-24T12:00Z', ['10-25T00:30', '10-26T01:30']],
    ['every hour is every hour in spring', '0 * * * *', '2026-03-29T00:30Z', ['03-29T01:00', '03-29T02:00']],
    ['and in autumn', '0 * * * *', '2026-10-24T23:30Z', ['10-25T00:00', '10-25T01:00', '10-25T02:00']],
    ['Monday at two stays at two', '0 2 * * 1', '2026-10-18T12:00Z', ['10-19T00:00', '10-26T01:00']],
  ])('%s', async (_, cron, from, expected) => {
    expect(await ticks(cron, from, expected.length)).toEqual(expected);
  });

  it.each(['30 2 * * *', '0 * * * *', '*/20 2 * * *', '0 3 * * *', '15 1-3 * * 0'])(
    'what is missed of %s is the last that was due',
    async (cron) => {
      const times = await vienna(cron);
      for (const start of ['2026-03-28T20:00Z', '2026-10-24T20:00Z']) {
        const since = new Date(start);
        let last: Date | undefined;
        for (let ms = since.getTime() + 599_500; ms < since.getTime() + DAY; ms += 599_500) {
          for (let due = times.next(last ?? since); due && due.getTime() <= ms; due = times.next(due)) last = due;
          expect(times.last(since, new Date(ms)), new Date(ms).toISOString()).toEqual(last);
        }
      }
    },
  );
});

it('says what is missing without the package', async () => {
  const load = () => Promise.reject(new Error('not found'));
  const error = coded('ERR_SCHEDULER_UNAVAILABLE', 'npm install croner');
  await expect(cronTimes('schedule', '0 2 * * 1', 'UTC', load)).rejects.toThrow(error);
});
