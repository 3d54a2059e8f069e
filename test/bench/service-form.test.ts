import { expect, it, vi } from 'vitest';
import { runCommand } from '../../bench/src/command.js';
import { HELP } from '../../bench/src/options.js';
import { makeEvents, quantile, runClients } from '../../bench/src/service-form/load.js';
import { runServiceForm } from '../../bench/src/service-form/program.js';

it('measures every way on the same events, once all have come to the same adapters', async () => {
  const size = { dim: 8, rank: 2, users: 60, events: 300, clients: 16, rounds: 1 };
  const { rows, backend } = await runServiceForm(size, () => {});
  expect(backend).toMatch(/^(cpu|js) /);
  expect(rows).toHaveLength(6);
  for (const row of rows) {
    expect(row.updatesPerSecond).toBeGreaterThan(0);
    expect(row.cpuMicrosPerUpdate).toBeGreaterThan(0);
    expect(row.p99Ms).toBeGreaterThanOrEqual(row.p50Ms);
  }
  const [direct, ...services] = rows;
  expect(direct).toMatchObject({ directRatio: 1, batchRows: null, evictions: 0 });
  for (const { what, batchRows, evictions, reloads } of services) {
    expect(batchRows).toBeGreaterThan(1);
    if (what.includes('1 in 10')) expect(Math.min(evictions, reloads)).toBeGreaterThan(50);
    else expect(evictions).toBe(0);
  }
});

it('makes events by zipf, the same for the same seed', () => {
  const events = makeEvents({ dim: 4, users: 100, events: 5000, seed: 1 });
  expect(events).toEqual(makeEvents({ dim: 4, users: 100, events: 5000, seed: 1 }));
  const share = (userId: string) => events.filter((event) => event.userId === userId).length / events.length;
  // 1 / H(100) = 0.193 and half of that
  expect(share('user-0')).toBeCloseTo(0.193, 1);
  expect(share('user-1')).toBeCloseTo(0.096, 1);
});

it('has clients that wait for each answer', async () => {
  let [now, most] = [0, 0];
  const events = makeEvents({ dim: 4, users: 5, events: 40, seed: 1 });
  const { latencies } = await runClients(events, 7, async () => {
    now += 1;
    most = Math.max(most, now);
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
  });
  expect(most).toBe(7);
  expect(latencies.every((latency) => latency > 0)).toBe(true);
  expect(quantile(Float64Array.of(3, 1, 2, 4), 0.5)).toBe(3);
});

it.each([
  [['service-form', '--users', 'many'], /--users: got many/],
  [['service-form', '--shape', '64'], /--shape: got 64, expected D\/R/],
  [['service-form', '--nope'], /Unknown option/],
])('refuses %j before anything is measured', async (args, message) => {
  const error = vi.spyOn(console, 'error').mockImplementation(() => {});
  vi.spyOn(console, 'log').mockImplementation(() => {});
  try {
    expect(await runCommand(args)).toBe(2);
    expect(error.mock.calls.flat().join('\n')).toMatch(message);
    expect(HELP).toContain('service-form');
  } finally {
    vi.restoreAllMocks();
  }
});
