/** Applying an adapter that is not in a pool, and how long that takes. */
import type { AdapterShape } from '../adapter/config.js';
import type { KernelBackend, KernelPool, PoolConfig } from '../kernels/contract.js';
import { writeWeights } from './adapter-record.js';
import type { UserLoRAAdapter } from './types.js';

/** The slot, and the step count, of an adapter that is only applied. */
const ONE_ZERO = new Uint32Array(1);

/** Decay of the moving average of forward times. */
const TIMING_DECAY = 0.9;

export class ForwardPass {
  readonly #shape: AdapterShape;
  /** Holds weights only, so that little is written for every call. */
  readonly #pool: KernelPool;
  readonly #weights: Float32Array;
  #averageMs = 0;
  #calls = 0;

  constructor(backend: KernelBackend, shape: AdapterShape, config: PoolConfig) {
    this.#shape = shape;
    this.#pool = backend.createPool({
      ...config,
      capacity: 1,
      optimizer: { kind: 'sgd', weightDecay: 0 },
      ewc: null,
    });
    this.#weights = new Float32Array(this.#pool.layout.slabLength);
  }

  /** Moving average of the time of apply() per row; 0 until measured. */
  get averageMs(): number {
    return this.#averageMs;
  }

  /** [rows × features]; throws as writeWeights for an adapter of another shape. */
  apply(x: Float32Array, adapter: UserLoRAAdapter): Float32Array {
    const rows = x.length / this.#shape.inFeatures;
    writeWeights(adapter, this.#shape, this.#weights);
    const started = performance.now();
    this.#pool.write(ONE_ZERO, this.#weights, ONE_ZERO);
    const y = new Float32Array(x.length);
    this.#pool.apply({ slots: rows === 1 ? ONE_ZERO : new Uint32Array(rows), x }, y);
    if (rows > 0) this.#record((performance.now() - started) / rows);
    return y;
  }

  close(): void {
    this.#pool.close();
  }

  /** Bias-corrected, so that the first call does not count as a tenth of itself. */
  #record(ms: number): void {
    const weight = 1 - TIMING_DECAY ** ++this.#calls;
    this.#averageMs += ((1 - TIMING_DECAY) / weight) * (ms - this.#averageMs);
  }
}
