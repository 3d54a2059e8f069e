/**
 * The kernel contract: what every backend (js, cpu, cuda) does, and nothing about how.
 *
 * A pool holds many adapters of one shape; operations address its *slots*, many different ones in a single call. With
 * A = loraA [rank × in], B = loraB [out × rank] and s = scaling, row x of slot u becomes
 *
 *   y = x + s·B·(A·x)      (residual: true, which requires in = out)
 *   y =     s·B·(A·x)      (residual: false)
 *
 * The mathematics of update and consolidate is in docs/math.md. native/include/lorakeet/kernels.h is the same contract in
 * C; a test holds the two and the addon's exports together. The conformance suite in src/testing defines agreement: apply
 * within 1e-5 relative, update within 1e-4 relative after one step. On one backend a result depends only on the slot's
 * own state and rows: not on the run, the thread count, or whatever else is in the batch.
 */
import type { SlabLayout } from './layout.js';

export const BACKEND_NAMES = ['cuda', 'cpu', 'js'] as const;
export type BackendName = (typeof BACKEND_NAMES)[number];

/** The operations on a pool, by their names in TypeScript; C and the addon use the same words. */
export const KERNEL_OPERATIONS = [
  'write',
  'read',
  'copy',
  'clear',
  'bindItems',
  'apply',
  'update',
  'consolidate',
] as const;

/** Decoupled weight decay: θ ← θ − lr·weightDecay·θ, for both optimizers. */
export type OptimizerConfig =
  | { kind: 'sgd'; weightDecay: number }
  | { kind: 'adamw'; beta1: number; beta2: number; epsilon: number; weightDecay: number };

/**
 * How the EWC penalty (λ/2)·ΣF(θ−θ*)² is applied. `proximal`: θ ← (θ + lr·λ·F·θ*)/(1 + lr·λ·F) after the optimizer step,
 * stable at any λ. `gradient`: λ·F·(θ−θ*) is added to the gradient before clipping; it diverges once lr·λ·F exceeds 2.
 */
export interface EwcConfig {
  form: 'proximal' | 'gradient';
  lambda: number;
}

/** How Fisher and anchor are kept, in 4 or in 2 bytes a number. */
export const STATE_DTYPES = ['fp32', 'bf16'] as const;
export type StateDtype = (typeof STATE_DTYPES)[number];

export const MAX_RANK = 256;
export const MAX_FEATURES = 8192;
export const MAX_CAPACITY = 2 ** 31 - 1;
export const MAX_THREADS = 256;

/** Shape and hyperparameters of a pool. All fields are required here; defaults belong to the facades. */
export interface PoolConfig {
  /** 1 … 256 */
  rank: number;
  /** 1 … 8192 */
  inFeatures: number;
  /** 1 … 8192 */
  outFeatures: number;
  /** s: alpha/rank, or alpha/√rank for rsLoRA. Finite. */
  scaling: number;
  /** y = x + …; requires inFeatures = outFeatures. */
  residual: boolean;
  /** Slots 0 … capacity−1. Memory is taken as slots come into use. */
  capacity: number;
  optimizer: OptimizerConfig;
  /** null: no Fisher and anchor sections, no penalty. */
  ewc: EwcConfig | null;
  /**
   * 'bf16' keeps Fisher and anchor in half the memory, with 8 significant bits; weights and moments stay fp32, slabs too.
   * What is written, and the new anchor of consolidate, is rounded to nearest (ties to even, nothing finite to infinity),
   * so that what was read is written back unchanged. The new Fisher is rounded up or down at random in proportion: many
   * contributions too small for 8 bits still add up to their sum. Reproducibly so: the random bits are a hash of the
   * slot's step count, its consolidations since it was last written, and the number and its place in the slot.
   */
  stateDtype: StateDtype;
  /** Default step size, ≥ 0. */
  learningRate: number;
  /** Default clipping bound of the gradient's global L2 norm over A and B, > 0; Infinity: never clip. */
  maxGradNorm: number;
  /** Threads that one call may use at most, 1 … 256. */
  threads: number;
}

/**
 * Rows as vectors (Float32Array [n × features]) or as ids (Uint32Array [n]) into the bound item table. Ids may stand for
 * `x`, and for `target` when inFeatures = outFeatures.
 */
export type Rows = Float32Array | Uint32Array;

/** Row i is mapped by the adapter in slots[i]; a slot may stand any number of times. */
export interface ApplyBatch {
  /** [n] */
  slots: Uint32Array;
  /** [n × inFeatures], or ids [n] */
  x: Rows;
}

/** Rows grouped by slot (CSR): slots[u] owns rows rowOffsets[u] … rowOffsets[u+1]−1. A slot may stand only once. */
export interface SlotRows {
  /** [users] */
  slots: Uint32Array;
  /** [users + 1], from 0, strictly rising (every listed slot has at least one row), ending at n. */
  rowOffsets: Uint32Array;
  /** [n × inFeatures], or ids [n] */
  x: Rows;
}

export interface UpdateBatch extends SlotRows {
  /** [n × outFeatures], or ids [n] when inFeatures = outFeatures */
  target: Rows;
  /** [n], finite and ≥ 0; default 1. A slot whose weights are all 0 is left as it is (flag NO_WEIGHT). */
  rowWeight?: Float32Array;
  /** [users] step size of each slot, finite and ≥ 0; default the pool's. */
  learningRate?: Float32Array;
  /** [users] clipping bound of each slot, > 0, Infinity allowed; default the pool's. */
  maxGradNorm?: Float32Array;
  /** [users] λ of each slot, finite and ≥ 0; default the pool's; only for pools with EWC. */
  ewcLambda?: Float32Array;
}

/** Bits of UpdateReport.flags. */
export const UpdateFlag = {
  /** The gradient's norm exceeded the bound and was scaled down to it. */
  CLIPPED: 1,
  /** Loss or gradient was not finite: the slot was left exactly as it was. */
  REJECTED: 2,
  /** All row weights were 0: the slot was left exactly as it was. */
  NO_WEIGHT: 4,
} as const;

export interface UpdateReport {
  /** [users] weighted mean loss Σwℓ/Σw before the step (ℓ: mean over features of (y−t)²); 0 with NO_WEIGHT */
  loss: Float32Array;
  /** [users] global L2 norm of the gradient before clipping (with the EWC term in its gradient form) */
  gradNorm: Float32Array;
  /** [users] UpdateFlag bits */
  flags: Uint8Array;
}

export interface ConsolidateBatch extends SlotRows {
  /** γ of online EWC, 0 … 1: F ← γ·F + F_task. */
  decay: number;
}

/**
 * A pool of adapters on one backend. Every method checks its arguments first and throws a coded LorakeetError with
 * nothing changed. A slot that was never written is all zeros, which is the identity (residual) or zero map.
 *
 * The async forms run off the main thread where the backend can, one at a time and in the order in which they were made;
 * arrays handed in must stay unchanged until the promise settles. A synchronous call made meanwhile waits for the one that
 * is running (not for those queued behind it), so callers that mix both keep asynchronous batches short.
 */
export interface KernelPool {
  readonly config: Readonly<PoolConfig>;
  readonly layout: SlabLayout;
  /**
   * Bytes of host or device memory that the pool may touch at present: its slots in use, working memory, items. On the CPU a
   * slot costs what it holds and less than 64 bytes more.
   */
  readonly memoryBytes: number;

  /**
   * Sets whole slots. `slabs` [slots × slabLength], all finite, fisher and moment2 ≥ 0; `steps` [slots] counts optimizer
   * steps taken (AdamW's bias correction). A slot may not stand twice.
   */
  write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void;
  /** Fills `slabs` [slots × slabLength] and `steps` [slots]. */
  read(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void;
  /** Copies from[i] to to[i], whole slots; no slot may stand twice in `to`, nor in both. */
  copy(from: Uint32Array, to: Uint32Array): void;
  /** Sets whole slots to zero. */
  clear(slots: Uint32Array): void;
  /** Copies `matrix` [items × inFeatures] (all finite) as the table that row ids refer to; null unbinds. */
  bindItems(matrix: Float32Array | null): void;

  /** Fills `y` [n × outFeatures]. Rows of NaN give NaN. */
  apply(batch: ApplyBatch, y: Float32Array): void;
  /** One optimizer step for every listed slot on its rows; fills `report`, whose arrays have one element per slot. */
  update(batch: UpdateBatch, report: UpdateReport): void;
  /** Accumulates the Gauss–Newton Fisher of the rows and sets the anchor to the present weights. Only with EWC. */
  consolidate(batch: ConsolidateBatch): void;

  applyAsync(batch: ApplyBatch): Promise<Float32Array>;
  updateAsync(batch: UpdateBatch): Promise<UpdateReport>;
  consolidateAsync(batch: ConsolidateBatch): Promise<void>;

  /** Frees the memory once running work is done; every later call throws ERR_POOL_CLOSED. Closing twice is harmless. */
  close(): void;
}

export interface KernelBackend {
  readonly name: BackendName;
  /** What executes: 'js', an instruction set ('baseline', 'avx2', 'avx512', 'neon'), or a GPU's name. */
  readonly device: string;
  /** Those that createPool takes; others are ERR_BACKEND_UNAVAILABLE. */
  readonly stateDtypes: readonly StateDtype[];
  createPool(config: PoolConfig): KernelPool;
  /**
   * Where the first NaN or infinity stands in `values`; −1 if there is none. All numbers before it are copied to `copy`,
   * if given: [values.length], in other memory.
   */
  firstNonFinite(values: Float32Array, copy?: Float32Array): number;
}
