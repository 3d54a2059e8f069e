/** Two threads against one. CPU time cannot show what a second core gains, so this is the only table of wall time. */
import { loadavg } from 'node:os';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { newReport } from '#lorakeet/testing/harness.js';
import { CheckedPool } from '../check.js';
import type { Caches } from '../machine.js';
import { type Shape, workOf } from '../model.js';
import { benchConfig, createFilledPool, makeCalls, RowStore } from '../population.js';

export interface TwoCoresRow extends Shape {
  op: 'apply' | 'update';
  /** Rows per user. */
  n: number;
  users: number;
  /** ns per user of wall time on one thread and on two: the fastest calls, for neighbours only add to it. */
  one: number;
  two: number;
  /** one / two */
  ratio: number;
  /** The same of the medians. */
  medianRatio: number;
  /** Of the machine, in the minute before: with two busy neighbours there is no second core to gain. */
  loadAverage: number;
}

export interface TwoCoresSettings {
  shapes: readonly Shape[];
  caches: Caches;
  /** Calls of each. */
  calls?: number;
  /** Milliseconds of wall time. */
  clock?: () => number;
}

const ROWS = 64;
/** Several milliseconds of one core: waking a thread takes up to a tenth of one. */
const FLOPS_PER_CALL = 4e8;

export function timeTwoCores(backend: KernelBackend, settings: TwoCoresSettings): TwoCoresRow[] {
  const { shapes, caches, calls = 150, clock = () => performance.now() } = settings;
  const store = new RowStore(caches);
  const rows: TwoCoresRow[] = [];
  for (const shape of shapes) {
    const users = usersOf(shape, store);
    const config = benchConfig(shape, 'sgd', users);
    const pools = [1, 2].map((threads) => createFilledPool(backend, { ...config, threads }));
    try {
      store.rewind();
      const [call] = makeCalls(shape, ROWS, users, users, store);
      const report = newReport(users);
      const kernels = pools.map((pool, i) => CheckedPool.check(`${i + 1} threads`, pool, ROWS).kernel);
      for (const op of ['apply', 'update'] as const) {
        const bodies = kernels.map((kernel) => () => {
          if (op === 'apply') kernel.apply(call.apply, call.y);
          else kernel.update(call.update, report);
        });
        const [one, two] = timesInTurn(bodies, calls, clock);
        const ns = (times: readonly number[], at: number): number =>
          (1e6 * times[Math.floor(at * times.length)]) / users;
        const fastest = { one: ns(one, 0), two: ns(two, 0) };
        const medianRatio = ns(one, 0.5) / ns(two, 0.5);
        rows.push({
          op,
          ...shape,
          n: ROWS,
          users,
          ...fastest,
          ratio: fastest.one / fastest.two,
          medianRatio,
          loadAverage: loadavg()[0],
        });
      }
    } finally {
      for (const pool of pools) pool.close();
    }
  }
  return rows;
}

/** An even number of users, whose rows there is room for. */
function usersOf(shape: Shape, store: RowStore): number {
  const fitting = Math.floor(store.length / (ROWS * shape.dim));
  const wanted = Math.ceil(FLOPS_PER_CALL / workOf('update', shape, ROWS, 'sgd').flops);
  return Math.max(2, Math.min(wanted, fitting) & ~1);
}

/** Sorted times of each body's calls, taken in turn. */
export function timesInTurn(bodies: readonly (() => void)[], calls: number, clock: () => number): number[][] {
  const times = bodies.map((): number[] => []);
  for (const body of bodies) body();
  for (let call = 0; call < calls; call++) {
    bodies.forEach((body, i) => {
      const start = clock();
      body();
      times[i].push(clock() - start);
    });
  }
  return times.map((list) => list.sort((a, b) => a - b));
}
