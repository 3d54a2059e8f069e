/** The cpu and cuda backends: the kernel contract over the addon. All checks and all mathematics are on the other side. */
import { LorakeetError } from '../errors.js';
import { type AddonInfo, coded, codedAsync, instructionSet, loadAddon, toLorakeetError } from './addon.js';
import {
  type ApplyBatch,
  type ConsolidateBatch,
  type KernelBackend,
  type KernelPool,
  type PoolConfig,
  type Rows,
  STATE_DTYPES,
  type UpdateBatch,
  type UpdateReport,
} from './contract.js';
import type { DenseKernels } from './dense.js';
import { type SlabLayout, slabLayout } from './layout.js';
import { type DenseAddon, denseOver } from './native-dense.js';
import { grantedCores } from './threads.js';
import { checkObject, validatePoolConfig } from './validate.js';

/** The addon's functions; a pool is known by its number. */
interface Addon extends AddonInfo, DenseAddon {
  createPool(device: 'cpu' | 'cuda', instructionSet: string, config: Record<string, number>): number;
  closePool(pool: number): void;
  memoryBytes(pool: number): number;
  firstNonFinite(values: Float32Array, copy: Float32Array | undefined): number;
  misalignment(values: Float32Array): number;
  write(pool: number, slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void;
  read(pool: number, slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void;
  copy(pool: number, from: Uint32Array, to: Uint32Array): void;
  clear(pool: number, slots: Uint32Array): void;
  bindItems(pool: number, matrix: Float32Array | null): void;
  apply(pool: number, slots: Uint32Array, x: Rows, y: Float32Array): void;
  update(pool: number, ...rest: [...UpdateArguments, Float32Array, Float32Array, Uint8Array]): void;
  consolidate(pool: number, ...rest: ConsolidateArguments): void;
  applyAsync(pool: number, slots: Uint32Array, x: Rows): Promise<Float32Array>;
  updateAsync(pool: number, ...rest: UpdateArguments): Promise<UpdateReport>;
  consolidateAsync(pool: number, ...rest: ConsolidateArguments): Promise<void>;
}

type ConsolidateArguments = [slots: Uint32Array, rowOffsets: Uint32Array, x: Rows, decay: number];

type UpdateArguments = [
  slots: Uint32Array,
  rowOffsets: Uint32Array,
  x: Rows,
  target: Rows,
  rowWeight: Float32Array | undefined,
  learningRate: Float32Array | undefined,
  maxGradNorm: Float32Array | undefined,
  ewcLambda: Float32Array | undefined,
];

export interface NativeInfo {
  /** The addon is loaded: the cpu backend works. */
  available: boolean;
  /** Why it is not; '' if it is. */
  reason: string;
  /** The addon's file, relative to the package, if one was found. */
  file?: string;
  /** Instruction sets that the addon was built for and this processor runs, fastest first. */
  isas: readonly string[];
}

export function nativeInfo(): NativeInfo {
  const { addon, reason, file } = loadAddon<Addon>();
  return { available: addon !== undefined, reason, file, isas: addon ? addon.info(false).instructionSets : [] };
}

/** `isa` forces an instruction set; without it the environment variable LORAKEET_ISA does, or the fastest is taken. */
export type NativeRequest = { device: 'cpu'; isa?: string } | { device: 'cuda' };

/** Throws ERR_BACKEND_UNAVAILABLE with the reason when the device cannot be had. */
export function createNativeBackend(request: NativeRequest): KernelBackend {
  const { addon, reason } = loadAddon<Addon>();
  if (!addon) throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', `backend ${request.device}: ${reason}`);
  if (request.device === 'cuda') {
    const { cudaDevice, cudaReason, cudaStateDtypes = 0 } = addon.info(true);
    if (!cudaDevice) throw new LorakeetError('ERR_BACKEND_UNAVAILABLE', `backend cuda: ${cudaReason}`);
    return nativeBackend(addon, 'cuda', cudaDevice, cudaStateDtypes);
  }
  return nativeBackend(addon, 'cpu', instructionSet(addon, request.isa), addon.info(false).stateDtypes);
}

/** The addon's dense operations, on the instruction set that LORAKEET_ISA names or on the fastest; null without addon. */
export function nativeDense(): DenseKernels | null {
  const { addon } = loadAddon<Addon>();
  if (!addon) return null;
  const device = process.env.LORAKEET_ISA || addon.info(false).instructionSets[0];
  return denseOver(addon, device, grantedCores(), coded);
}

/** The bytes between a multiple of 64 and the address of `values`; 0 without addon, for whom it makes no difference. */
export function misalignment(values: Float32Array): number {
  const { addon } = loadAddon<Addon>();
  return addon ? coded(() => addon.misalignment(values)) : 0;
}

function nativeBackend(addon: Addon, name: 'cpu' | 'cuda', device: string, stateDtypes: number): KernelBackend {
  return {
    name,
    device,
    stateDtypes: STATE_DTYPES.filter((_, bit) => stateDtypes & (1 << bit)),
    createPool: (config) => new NativePool(addon, name, device, validatePoolConfig(config)),
    firstNonFinite: (values, copy) => coded(() => addon.firstNonFinite(values, copy)),
  };
}

/** Pools that nobody closed give their memory back when they are collected. */
const forgotten = new FinalizationRegistry<{ addon: Addon; handle: number }>(({ addon, handle }) =>
  addon.closePool(handle),
);

class NativePool implements KernelPool {
  readonly config: Readonly<PoolConfig>;
  readonly layout: SlabLayout;
  readonly #addon: Addon;
  #handle: number;
  /** The last asynchronous call: the next one starts when it has settled, so that calls run in order. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(addon: Addon, name: 'cpu' | 'cuda', device: string, config: Readonly<PoolConfig>) {
    this.config = config;
    this.layout = slabLayout({
      rank: config.rank,
      inFeatures: config.inFeatures,
      outFeatures: config.outFeatures,
      ewc: config.ewc !== null,
      moments: config.optimizer.kind === 'adamw',
    });
    this.#addon = addon;
    this.#handle = coded(() => addon.createPool(name, name === 'cpu' ? device : '', nativeConfig(config)));
    forgotten.register(this, { addon, handle: this.#handle }, this);
  }

  get memoryBytes(): number {
    return coded(() => this.#addon.memoryBytes(this.#handle));
  }

  write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    coded(() => this.#addon.write(this.#handle, slots, slabs, steps));
  }

  read(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    coded(() => this.#addon.read(this.#handle, slots, slabs, steps));
  }

  copy(from: Uint32Array, to: Uint32Array): void {
    coded(() => this.#addon.copy(this.#handle, from, to));
  }

  clear(slots: Uint32Array): void {
    coded(() => this.#addon.clear(this.#handle, slots));
  }

  bindItems(matrix: Float32Array | null): void {
    coded(() => this.#addon.bindItems(this.#handle, matrix));
  }

  apply(batch: ApplyBatch, y: Float32Array): void {
    try {
      checkObject('batch', batch);
      this.#addon.apply(this.#handle, batch.slots, batch.x, y);
    } catch (error) {
      throw toLorakeetError(error);
    }
  }

  update(batch: UpdateBatch, report: UpdateReport): void {
    try {
      checkObject('report', report);
      checkObject('batch', batch);
      // written out: a spread of so many arguments costs as much as a small kernel
      this.#addon.update(
        this.#handle,
        batch.slots,
        batch.rowOffsets,
        batch.x,
        batch.target,
        batch.rowWeight,
        batch.learningRate,
        batch.maxGradNorm,
        batch.ewcLambda,
        report.loss,
        report.gradNorm,
        report.flags,
      );
    } catch (error) {
      throw toLorakeetError(error);
    }
  }

  consolidate(batch: ConsolidateBatch): void {
    coded(() => this.#addon.consolidate(this.#handle, ...consolidateArguments(batch)));
  }

  applyAsync(batch: ApplyBatch): Promise<Float32Array> {
    return this.#enqueue(() => {
      checkObject('batch', batch);
      return this.#addon.applyAsync(this.#handle, batch.slots, batch.x);
    });
  }

  updateAsync(batch: UpdateBatch): Promise<UpdateReport> {
    return this.#enqueue(() => this.#addon.updateAsync(this.#handle, ...updateArguments(batch)));
  }

  consolidateAsync(batch: ConsolidateBatch): Promise<void> {
    return this.#enqueue(() => this.#addon.consolidateAsync(this.#handle, ...consolidateArguments(batch)));
  }

  close(): void {
    forgotten.unregister(this);
    this.#addon.closePool(this.#handle);
    this.#handle = 0; // no pool has this number: later calls throw ERR_POOL_CLOSED
  }

  #enqueue<T>(call: () => Promise<T>): Promise<T> {
    const result = codedAsync(this.#queue.then(call));
    this.#queue = result.catch(() => {}); // a failed call does not stop those behind it
    return result;
  }
}

function consolidateArguments(batch: ConsolidateBatch): ConsolidateArguments {
  checkObject('batch', batch);
  return [batch.slots, batch.rowOffsets, batch.x, batch.decay];
}

function updateArguments(batch: UpdateBatch): UpdateArguments {
  checkObject('batch', batch);
  return [
    batch.slots,
    batch.rowOffsets,
    batch.x,
    batch.target,
    batch.rowWeight,
    batch.learningRate,
    batch.maxGradNorm,
    batch.ewcLambda,
  ];
}

/** The configuration as the addon reads it: numbers only, with the enumerations of kernels.h. */
function nativeConfig(config: Readonly<PoolConfig>): Record<string, number> {
  const { optimizer, ewc } = config;
  const adamw = optimizer.kind === 'adamw' ? optimizer : { beta1: 0, beta2: 0, epsilon: 1 };
  return {
    rank: config.rank,
    inFeatures: config.inFeatures,
    outFeatures: config.outFeatures,
    capacity: config.capacity,
    threads: config.threads,
    residual: Number(config.residual),
    optimizer: Number(optimizer.kind === 'adamw'),
    ewc: ewc === null ? 0 : ewc.form === 'proximal' ? 1 : 2,
    stateDtype: STATE_DTYPES.indexOf(config.stateDtype),
    scaling: config.scaling,
    learningRate: config.learningRate,
    maxGradNorm: config.maxGradNorm,
    ewcLambda: ewc?.lambda ?? 0,
    beta1: adamw.beta1,
    beta2: adamw.beta2,
    epsilon: adamw.epsilon,
    weightDecay: optimizer.weightDecay,
  };
}
