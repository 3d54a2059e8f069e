/** apply and update on every backend, each row with its ratio to the floor and to plain JavaScript. */
import { type KernelBackend, UpdateFlag, type UpdateReport } from '#lorakeet/kernels/contract.js';
import { CheckedPool } from './check.js';
import type { Caches } from './machine.js';
import { type Measurement, type MeasureOptions, measure, type Subject } from './measure.js';
import {
  type Ceilings,
  floorOf,
  type Level,
  type Operation,
  type Optimizer,
  type Shape,
  totalBytes,
  workOf,
} from './model.js';
import type { PeerTime } from './peers/kernel-peers.js';
import {
  benchConfig,
  type Call,
  cachedUsers,
  createFilledPool,
  levelOf,
  makeCalls,
  POPULATIONS,
  type Population,
  RowStore,
  shapeName,
  streamingUsers,
  usersPerStreamingCall,
} from './population.js';

export interface KernelSettings {
  shapes: readonly Shape[];
  /** Rows per user. */
  rows: readonly number[];
  /** The last one is plain JavaScript, or whatever the others are compared with. */
  backends: readonly KernelBackend[];
  caches: Caches;
  /** Bytes that the streaming population of one pool may take. */
  memoryBytes: number;
  measure?: MeasureOptions;
  onProgress?: (what: string) => void;
}

/** A measured row before it is set against the ceilings, which are only complete at the end of a run. */
export interface KernelTiming {
  op: Operation;
  dim: number;
  rank: number;
  /** Rows per user. */
  n: number;
  /** null: makes no difference (apply) */
  optimizer: Optimizer | null;
  backend: string;
  /** Instruction set, or 'js'. */
  isa: string;
  population: Population;
  /** Where the population lies. */
  level: Level;
  users: number;
  nsPerUser: number;
  /** Median absolute deviation of the samples, as a share of the median. */
  spread: number;
  samples: number;
  /** The time of the last backend over this one's. */
  jsRatio: number;
}

export interface KernelRow extends KernelTiming {
  flops: number;
  bytes: number;
  /** Shares of the ceilings, and the time over the floor; null without measured ceilings. */
  fmaPeakShare: number | null;
  bandwidthShare: number | null;
  floorNs: number | null;
  floorRatio: number | null;
  /** Others' times for the same work, where they were measured. */
  peers?: Record<string, PeerTime>;
}

/** Throws an Error, with nothing further timed, when a kernel is wrong. */
export async function runKernelSuite(settings: KernelSettings): Promise<KernelTiming[]> {
  const store = new RowStore(settings.caches);
  const timings: KernelTiming[] = [];
  for (const shape of settings.shapes) {
    for (const optimizer of ['sgd', 'adamw'] as const) {
      settings.onProgress?.(`${shapeName(shape)}, ${optimizer}`);
      timings.push(...(await timePools(settings, shape, optimizer, store)));
    }
  }
  return timings;
}

/** Everything that one shape and optimizer has to show, on pools of their own. */
async function timePools(
  settings: KernelSettings,
  shape: Shape,
  optimizer: Optimizer,
  store: RowStore,
): Promise<KernelTiming[]> {
  const { backends, caches, memoryBytes } = settings;
  const config = benchConfig(shape, optimizer, streamingUsers(shape, optimizer, caches, memoryBytes));
  const pools = backends.map((backend) => createFilledPool(backend, config));
  try {
    const timings: KernelTiming[] = [];
    for (const n of settings.rows) {
      const checked = pools.map((pool, i) =>
        CheckedPool.check(
          `${backends[i].name} ${backends[i].device}, ${shapeName(shape)}, ${optimizer}, n = ${n}`,
          pool,
          n,
        ),
      );
      // apply is the same for every optimizer
      for (const op of optimizer === 'sgd' ? (['apply', 'update'] as const) : (['update'] as const)) {
        for (const population of POPULATIONS) {
          const { calls, users } = visit(op, population, shape, optimizer, n, config.capacity, settings, store);
          const subjects = checked.map((pool, i) => subjectOf(`${backends[i].device}`, pool, op, calls));
          const measured = await measure(subjects, settings.measure);
          const common = { op, ...shape, n, optimizer: op === 'apply' ? null : optimizer, population, users };
          const level = levelOf(op, users, shape, optimizer, n, caches);
          timings.push(...toTimings({ ...common, level }, backends, measured));
        }
      }
    }
    return timings;
  } finally {
    for (const pool of pools) pool.close();
  }
}

function visit(
  op: Operation,
  population: Population,
  shape: Shape,
  optimizer: Optimizer,
  n: number,
  capacity: number,
  { caches }: KernelSettings,
  store: RowStore,
): { calls: Call[]; users: number } {
  if (population === 'streaming') {
    const perCall = Math.min(usersPerStreamingCall(op, shape, n, store), capacity);
    const calls = makeCalls(shape, n, capacity, perCall, store);
    return { calls, users: calls.length * perCall };
  }
  const users = Math.min(cachedUsers(shape, optimizer, n, caches), capacity);
  store.rewind();
  return { calls: makeCalls(shape, n, users, users, store), users };
}

/** Visits the calls in turn, over and over. */
export function subjectOf(name: string, { kernel }: CheckedPool, op: Operation, calls: readonly Call[]): Subject {
  const items = calls[0].users;
  let next = 0;
  const nextCall = (): Call => {
    const call = calls[next];
    next = next + 1 < calls.length ? next + 1 : 0;
    return call;
  };
  if (op === 'apply') {
    const run = (): void => {
      const call = nextCall();
      kernel.apply(call.apply, call.y);
    };
    return { name, items, run };
  }
  const report: UpdateReport = {
    loss: new Float32Array(items),
    gradNorm: new Float32Array(items),
    flags: new Uint8Array(items),
  };
  const run = (): void => {
    kernel.update(nextCall().update, report);
    // a rejected step does less work
    if (report.flags[0] & UpdateFlag.REJECTED) throw new Error(`${name}: the step of a user was rejected`);
  };
  return { name, items, run };
}

type Common = Omit<KernelTiming, 'backend' | 'isa' | 'nsPerUser' | 'spread' | 'samples' | 'jsRatio'>;

function toTimings(
  common: Common,
  backends: readonly KernelBackend[],
  measured: readonly Measurement[],
): KernelTiming[] {
  const reference = measured[measured.length - 1].nsPerItem;
  return measured.map(({ nsPerItem, spread, samples }, i) => ({
    ...common,
    backend: backends[i].name,
    isa: backends[i].device,
    nsPerUser: nsPerItem,
    spread,
    samples,
    jsRatio: reference / nsPerItem,
  }));
}

export function toRow(timing: KernelTiming, ceilings: Ceilings | null): KernelRow {
  const work = workOf(timing.op, timing, timing.n, timing.optimizer ?? 'sgd');
  const floor = ceilings && floorOf(work, ceilings, timing.isa, timing.level);
  return {
    ...timing,
    flops: work.flops,
    bytes: totalBytes(work),
    fmaPeakShare: floor && floor.computeNs / timing.nsPerUser,
    bandwidthShare: floor && floor.memoryNs / timing.nsPerUser,
    floorNs: floor?.floorNs ?? null,
    floorRatio: floor && timing.nsPerUser / floor.floorNs,
  };
}
