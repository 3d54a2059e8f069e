import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { poll } from '../../../src/service/dashboard/page/poll.js';

const page = { hidden: false, listeners: [] as (() => void)[] };

beforeEach(() => {
  vi.useFakeTimers();
  Object.assign(page, { hidden: false, listeners: [] });
  vi.stubGlobal('document', {
    get hidden() {
      return page.hidden;
    },
    addEventListener: (_: string, listener: () => void) => page.listeners.push(listener),
  });
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** When `ask` was called, ms. */
function start(answer: () => boolean | Promise<boolean> = () => true) {
  const began = Date.now();
  const times: number[] = [];
  const poller = poll(
    async () => {
      times.push(Date.now() - began);
      return answer();
    },
    () => 1000,
  );
  return { times, poller };
}

it('asks at once and then at its interval', async () => {
  const { times } = start();
  await vi.advanceTimersByTimeAsync(3500);
  expect(times).toEqual([0, 1000, 2000, 3000]);
});

it('asks ever less often while nothing answers, at most every 30 s, and as usual again after an answer', async () => {
  let answers = false;
  const { times } = start(() => answers);
  await vi.advanceTimersByTimeAsync(70_000);
  expect(times).toEqual([0, 2000, 6000, 14_000, 30_000, 60_000]);
  answers = true;
  await vi.advanceTimersByTimeAsync(22_000);
  expect(times.slice(6)).toEqual([90_000, 91_000, 92_000]);
});

it('asks once a minute while nobody looks, and at once when somebody does again', async () => {
  const { times } = start();
  page.hidden = true;
  for (const listener of page.listeners) listener();
  await vi.advanceTimersByTimeAsync(125_000);
  expect(times).toEqual([0, 60_000, 120_000]);
  page.hidden = false;
  for (const listener of page.listeners) listener();
  await vi.advanceTimersByTimeAsync(1500);
  expect(times.slice(3)).toEqual([125_000, 126_000]);
});

it('asks once more where it is told to during a request, and never twice at the same time', async () => {
  const ends: ((ok: boolean) => void)[] = [];
  const { times, poller } = start(() => new Promise((end) => ends.push(end)));
  await vi.advanceTimersByTimeAsync(400);
  poller.refresh();
  poller.refresh();
  await vi.advanceTimersByTimeAsync(100);
  expect(times).toEqual([0]);
  ends[0](true);
  await vi.advanceTimersByTimeAsync(0);
  expect(times).toEqual([0, 500]);
  ends[1](true);
  await vi.advanceTimersByTimeAsync(1000);
  expect(times).toEqual([0, 500, 1500]);
});
