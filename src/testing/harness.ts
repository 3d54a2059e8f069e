/** What the cases of the conformance suite are written with: pools, states, and assertions that say what was off. */
import assert from 'node:assert/strict';
import { LorakeetError, type LorakeetErrorCode } from '../errors.js';
import type { KernelBackend, KernelPool, PoolConfig, UpdateBatch, UpdateReport } from '../kernels/contract.js';

/** One check, free of any test framework: `run` throws, or rejects, when the backend is wrong. */
export interface ConformanceCase {
  readonly name: string;
  run(): void | Promise<void>;
}

/** What a group of cases is built from. */
export interface SuiteContext {
  makeBackend: () => KernelBackend;
  /** Smaller sizes, for emulated processors. */
  quick: boolean;
}

export const SGD = { kind: 'sgd', weightDecay: 0 } as const;
export const ADAMW = { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 } as const;

export function poolConfig(overrides: Partial<PoolConfig> = {}): PoolConfig {
  return {
    rank: 2,
    inFeatures: 3,
    outFeatures: 3,
    scaling: 1,
    residual: false,
    capacity: 16,
    optimizer: SGD,
    ewc: null,
    stateDtype: 'fp32',
    learningRate: 0.5,
    maxGradNorm: Infinity,
    threads: 1,
    ...overrides,
  };
}

/** Runs `body` on a fresh pool and closes it, whatever happens. */
export async function withPool(
  { makeBackend }: SuiteContext,
  config: Partial<PoolConfig>,
  body: (pool: KernelPool) => void | Promise<void>,
): Promise<void> {
  const pool = makeBackend().createPool(poolConfig(config));
  try {
    await body(pool);
  } finally {
    pool.close();
  }
}

export const uints = (...values: number[]): Uint32Array => Uint32Array.from(values);
export const floats = (...values: number[]): Float32Array => Float32Array.from(values);
export const range = (count: number): Uint32Array => Uint32Array.from({ length: count }, (_, i) => i);

export interface SlotStates {
  slabs: Float32Array;
  steps: Uint32Array;
}

export function readStates(pool: KernelPool, slots: Uint32Array): SlotStates {
  const slabs = new Float32Array(slots.length * pool.layout.slabLength);
  const steps = new Uint32Array(slots.length);
  pool.read(slots, slabs, steps);
  return { slabs, steps };
}

export function newReport(users: number): UpdateReport {
  return { loss: new Float32Array(users), gradNorm: new Float32Array(users), flags: new Uint8Array(users) };
}

export function runUpdate(pool: KernelPool, batch: UpdateBatch): UpdateReport {
  const report = newReport(batch.slots.length);
  pool.update(batch, report);
  return report;
}

export function maxMagnitude(values: ArrayLike<number>): number {
  let max = 0;
  for (let i = 0; i < values.length; i++) max = Math.max(max, Math.abs(values[i]));
  return max;
}

/** |got − want| ≤ budget · scale for every element; NaN fails. */
export function assertWithin(
  what: string,
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  budget: number,
  scale = maxMagnitude(want),
): void {
  assert.equal(got.length, want.length, `${what}: got ${got.length} elements, expected ${want.length}`);
  for (let i = 0; i < want.length; i++) {
    const error = Math.abs(got[i] - want[i]);
    if (!(error <= budget * scale)) {
      const relative = (error / scale).toExponential(1);
      assert.fail(
        `${what}[${i}]: got ${got[i]}, expected ${want[i]}; error ${relative} of the scale ${scale}, budget ${budget}`,
      );
    }
  }
}

export function assertExact(what: string, got: ArrayLike<number>, want: ArrayLike<number>): void {
  assertWithin(what, got, want, 0, 1);
}

/** The same numbers down to the last bit; -0 differs from 0, and every NaN equals every other. */
export function assertSameBits(what: string, got: ArrayLike<number>, want: ArrayLike<number>): void {
  assert.equal(got.length, want.length, `${what}: got ${got.length} elements, expected ${want.length}`);
  for (let i = 0; i < want.length; i++) {
    if (!Object.is(got[i], want[i])) assert.fail(`${what}[${i}]: got ${got[i]}, expected the same bits as ${want[i]}`);
  }
}

export function assertSameStates(what: string, got: SlotStates, want: SlotStates): void {
  assertSameBits(`${what}: slabs`, got.slabs, want.slabs);
  assertSameBits(`${what}: steps`, got.steps, want.steps);
}

export function assertSameReports(what: string, got: UpdateReport, want: UpdateReport): void {
  assertSameBits(`${what}: loss`, got.loss, want.loss);
  assertSameBits(`${what}: gradNorm`, got.gradNorm, want.gradNorm);
  assertSameBits(`${what}: flags`, got.flags, want.flags);
}

function assertCoded(what: string, error: unknown, code: LorakeetErrorCode): void {
  if (error instanceof LorakeetError && error.code === code) return;
  const got =
    error instanceof Error ? `${(error as { code?: string }).code ?? error.name}: ${error.message}` : String(error);
  assert.fail(`${what}: got ${got}, expected a LorakeetError ${code}`);
}

export function assertThrows(what: string, code: LorakeetErrorCode, body: () => unknown): void {
  let thrown: unknown;
  try {
    body();
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) assert.fail(`${what}: got no error, expected ${code}`);
  assertCoded(what, thrown, code);
}

/** A rejected promise; a promise-returning function that throws instead fails. */
export async function assertRejects(
  what: string,
  code: LorakeetErrorCode,
  body: () => Promise<unknown>,
): Promise<void> {
  let promise: Promise<unknown>;
  try {
    promise = body();
  } catch (error) {
    assert.fail(`${what}: threw ${error} at once, expected a promise rejected with ${code}`);
  }
  await promise.then(
    () => assert.fail(`${what}: got no error, expected ${code}`),
    (error) => assertCoded(what, error, code),
  );
}
