/**
 * The users that kernels are timed on, and the calls that visit them.
 *
 * cached:    few users, visited again and again; their state and rows together fill half of the second-level cache (one
 *            user at least, however large)
 * streaming: many more than the last-level cache holds, visited in order, so that none comes twice before all others
 *            have; rows and results stream as well
 */
import { alignedRows } from '#lorakeet/kernels/aligned-rows.js';
import type {
  ApplyBatch,
  KernelBackend,
  KernelPool,
  PoolConfig,
  StateDtype,
  UpdateBatch,
} from '#lorakeet/kernels/contract.js';
import { parametersIn, slabLayout } from '#lorakeet/kernels/layout.js';
import { fillSlots } from '#lorakeet/testing/fixtures.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import type { Caches } from './machine.js';
import { type Level, type Operation, type Optimizer, type Shape, workOf } from './model.js';

export const SHAPES: readonly Shape[] = [
  { dim: 64, rank: 4 },
  { dim: 128, rank: 8 },
  { dim: 384, rank: 8 },
  { dim: 768, rank: 16 },
  { dim: 1536, rank: 16 },
];

export const shapeName = ({ dim, rank }: Shape): string => `${dim}/${rank}`;

export const POPULATIONS = ['cached', 'streaming'] as const;
export type Population = (typeof POPULATIONS)[number];

/** The engine's documented defaults, on one thread. bench/native/kernel_time.cc has the same. */
export function benchConfig(
  { dim, rank }: Shape,
  optimizer: Optimizer,
  capacity: number,
  stateDtype: StateDtype = 'fp32',
): PoolConfig {
  return {
    rank,
    inFeatures: dim,
    outFeatures: dim,
    scaling: 1 / rank,
    residual: true,
    capacity,
    optimizer:
      optimizer === 'sgd'
        ? { kind: 'sgd', weightDecay: 0 }
        : { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    ewc: { form: 'proximal', lambda: 0.5 },
    stateDtype,
    learningRate: 0.001,
    maxGradNorm: 1,
    threads: 1,
  };
}

export function slotBytes({ dim, rank }: Shape, optimizer: Optimizer, stateDtype: StateDtype = 'fp32'): number {
  const shape = { rank, inFeatures: dim, outFeatures: dim, ewc: true, moments: optimizer === 'adamw' };
  const { slabLength, parameterCount } = slabLayout(shape);
  return 4 * slabLength - (stateDtype === 'bf16' ? 2 * 2 * parameterCount : 0);
}

const rowBytes = ({ dim }: Shape, rows: number): number => 8 * rows * dim;

/** Users whose state is eight times the last-level cache, or as many as `memoryBytes` holds. */
export function streamingUsers(shape: Shape, optimizer: Optimizer, caches: Caches, memoryBytes: number): number {
  return Math.max(1, Math.floor(Math.min(8 * caches.L3, memoryBytes) / slotBytes(shape, optimizer)));
}

export function cachedUsers(shape: Shape, optimizer: Optimizer, rows: number, caches: Caches): number {
  return Math.max(1, Math.floor(caches.L2 / 2 / (slotBytes(shape, optimizer) + rowBytes(shape, rows))));
}

/** The nearest cache that holds so many users, as far as `operation` touches them, and their rows. */
export function levelOf(
  operation: Operation,
  users: number,
  shape: Shape,
  optimizer: Optimizer,
  rows: number,
  caches: Caches,
): Level {
  const weightBytes = 4 * parametersIn({ rank: shape.rank, inFeatures: shape.dim, outFeatures: shape.dim });
  const touched = operation === 'apply' ? weightBytes : slotBytes(shape, optimizer);
  const bytes = users * (touched + rowBytes(shape, rows));
  if (bytes <= caches.L2) return 'L2';
  return bytes <= caches.L3 ? 'L3' : 'DRAM';
}

/** A pool with `users` users, all of whom have learned before. */
export function createFilledPool(backend: KernelBackend, config: PoolConfig): KernelPool {
  const pool = backend.createPool(config);
  const users = config.capacity;
  const distinct = Math.min(users, Math.max(2, Math.floor(2 ** 18 / pool.layout.slabLength)));
  fillSlots(pool, range(0, distinct), new SeededRandom(1));
  for (let filled = distinct; filled < users; ) {
    const count = Math.min(filled, users - filled);
    pool.copy(range(0, count), range(filled, count));
    filled += count;
  }
  return pool;
}

function range(first: number, count: number): Uint32Array {
  return Uint32Array.from({ length: count }, (_, i) => first + i);
}

/** One call of a kernel on consecutive users with `rows` rows each. */
export interface Call {
  users: number;
  apply: ApplyBatch;
  y: Float32Array;
  update: UpdateBatch;
}

/**
 * Memory that rows and results are taken from in turn, larger than the last-level cache. Rows start on cache lines, as
 * alignedRows and the pool have it.
 */
export class RowStore {
  readonly #x: Float32Array;
  readonly #target: Float32Array;
  readonly #y: Float32Array;
  #next = 0;

  constructor(caches: Caches) {
    const length = Math.max(2 ** 22, (2 * caches.L3) / 4);
    const random = new SeededRandom(2);
    this.#x = repeated(random.normals(2 ** 16 - 16), length);
    this.#target = repeated(random.normals(2 ** 16 - 48), length);
    this.#y = alignedRows(length, 1).fill(1);
  }

  get length(): number {
    return this.#x.length;
  }

  /** Back to the beginning, where the rows of cached populations lie. */
  rewind(): void {
    this.#next = 0;
  }

  take(length: number): { x: Float32Array; target: Float32Array; y: Float32Array } {
    if (this.#next + length > this.length) this.#next = 0;
    const cut = (array: Float32Array): Float32Array => array.subarray(this.#next, this.#next + length);
    const taken = { x: cut(this.#x), target: cut(this.#target), y: cut(this.#y) };
    this.#next += length;
    return taken;
  }
}

function repeated(block: Float32Array, length: number): Float32Array {
  const values = alignedRows(length, 1);
  for (let at = 0; at < length; at += block.length)
    values.set(block.subarray(0, Math.min(block.length, length - at)), at);
  return values;
}

/**
 * Calls that together visit users 0 … `users`−1 once, in equal parts of `usersPerCall` (what is left over at the end is not
 * visited): one after another, or as `order` lists them.
 */
export function makeCalls(
  shape: Shape,
  rows: number,
  users: number,
  usersPerCall: number,
  store: RowStore,
  order = range(0, users),
): Call[] {
  const rowOffsets = Uint32Array.from({ length: usersPerCall + 1 }, (_, user) => user * rows);
  const calls: Call[] = [];
  for (let first = 0; first + usersPerCall <= users; first += usersPerCall) {
    const { x, target, y } = store.take(usersPerCall * rows * shape.dim);
    const slots = order.subarray(first, first + usersPerCall);
    const rowSlots = Uint32Array.from({ length: usersPerCall * rows }, (_, row) => slots[Math.floor(row / rows)]);
    calls.push({
      users: usersPerCall,
      apply: { slots: rowSlots, x },
      y,
      update: { slots, rowOffsets, x, target },
    });
  }
  return calls;
}

/** Work of one streaming call, in flops: enough to make the cost of the call itself disappear, few enough for js. */
const FLOPS_PER_CALL = 4e6;

export function usersPerStreamingCall(operation: Operation, shape: Shape, rows: number, store: RowStore): number {
  const fitting = Math.floor(store.length / (rows * shape.dim));
  const wanted = Math.ceil(FLOPS_PER_CALL / workOf(operation, shape, rows, 'sgd').flops);
  return Math.max(1, Math.min(wanted, fitting, 2048));
}
