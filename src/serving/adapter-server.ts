/** Adapters under names, applied to many rows at once and replaced without a pause. */
import { type AdapterShape, requireAdapterShape, requireSameShape, scalingOf } from '../adapter/config.js';
import { type AdapterState, requireAdapterState, writeToSlab } from '../adapter/state.js';
import { fail, rejectUnknownKeys, requireBoolean, requireInteger } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type BackendName, type KernelPool, MAX_CAPACITY, MAX_THREADS } from '../kernels/contract.js';
import { selectBackend } from '../kernels/select.js';
import { SlotList } from '../kernels/slot-list.js';
import { grantedCores } from '../kernels/threads.js';

export interface AdapterServerOptions {
  /** Of every adapter served. */
  shape: AdapterShape;
  /** y = x + s·B·(A·x) rather than s·B·(A·x); default: whether inFeatures = outFeatures */
  residual?: boolean;
  /** Versions in memory at once, those that readers still hold included; default 1024 */
  capacity?: number;
  /** default 'auto': the fastest that works here */
  backend?: BackendName | 'auto';
  /** Threads per kernel call; default: the cores granted to this process */
  threads?: number;
}

const KEYS: readonly (keyof AdapterServerOptions)[] = ['shape', 'residual', 'capacity', 'backend', 'threads'];

/**
 * Serves adapters by name. deploy() replaces any number of them in one step: every apply() sees all of them as they were or
 * all of them as they are, also those that run in the background meanwhile. A version that was replaced gives its memory to
 * later ones as soon as its last reader has left.
 */
export class AdapterServer {
  readonly #shape: Required<AdapterShape>;
  readonly #kernel: KernelPool;
  readonly #slots: SlotList;
  /** The version that is served under each name. */
  readonly #slotOf = new Map<string, number>();
  /** By slot: rows that background work reads from it. */
  readonly #readers: number[] = [];
  /** Slots that were replaced while something read from them. */
  readonly #retired = new Set<number>();
  #running: Promise<unknown> = Promise.resolve();
  #closing: Promise<void> | undefined;

  /** Throws ERR_INVALID_CONFIG naming the option, or ERR_BACKEND_UNAVAILABLE. */
  constructor(options: AdapterServerOptions) {
    if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
    rejectUnknownKeys('options', options, KEYS);
    const { capacity = 1024, threads = Math.min(grantedCores(), MAX_THREADS) } = options;
    this.#shape = requireAdapterShape('shape', options.shape);
    const { rank, inFeatures, outFeatures } = this.#shape;
    const residual = requireBoolean('residual', options.residual ?? inFeatures === outFeatures);
    if (residual && inFeatures !== outFeatures) {
      fail('ERR_INVALID_CONFIG', 'residual', residual, `false for ${inFeatures} → ${outFeatures} features`);
    }
    this.#kernel = selectBackend(options.backend).backend.createPool({
      rank,
      inFeatures,
      outFeatures,
      residual,
      scaling: scalingOf(this.#shape),
      capacity: requireInteger('capacity', capacity, 1, MAX_CAPACITY),
      threads: requireInteger('threads', threads, 1, MAX_THREADS),
      stateDtype: 'fp32',
      // nothing is learned here
      optimizer: { kind: 'sgd', weightDecay: 0 },
      ewc: null,
      learningRate: 0,
      maxGradNorm: Infinity,
    });
    this.#slots = new SlotList(capacity);
  }

  /** Names that are served. */
  names(): string[] {
    return [...this.#slotOf.keys()];
  }

  /** Versions in memory: those served, and those replaced that background work still reads. */
  get versions(): number {
    return this.#slotOf.size + this.#retired.size;
  }

  /**
   * Serves `adapters`, each in place of what had its name, in one step; undefined takes a name away. Throws, with nothing
   * changed, ERR_INVALID_ARGUMENT and others for what is no adapter, ERR_ADAPTER_MISMATCH for another shape, ERR_POOL_FULL
   * if the new versions have no room beside those in use, ERR_OUT_OF_MEMORY, ERR_SERVICE_CLOSED.
   */
  deploy(adapters: ReadonlyMap<string, AdapterState | undefined>): void {
    this.#requireOpen();
    if (!(adapters instanceof Map)) fail('ERR_INVALID_ARGUMENT', 'adapters', adapters, 'a Map');
    const added: { name: string; state: AdapterState }[] = [];
    for (const [name, state] of adapters) {
      if (typeof name !== 'string') fail('ERR_INVALID_ARGUMENT', 'the name of an adapter', name, 'a string');
      if (state === undefined) continue;
      requireAdapterState(`adapters.get(${JSON.stringify(name)})`, state);
      requireSameShape(`adapters.get(${JSON.stringify(name)})`, state.shape, this.#shape);
      added.push({ name, state });
    }
    const slots = this.#write(added);
    // from here on nothing fails, and nobody looks in between
    for (const name of adapters.keys()) this.#withdraw(name);
    added.forEach(({ name }, i) => {
      this.#slotOf.set(name, slots[i]);
    });
  }

  /**
   * Row i of `x` [n × inFeatures] through the adapter names[i]; the result [n × outFeatures] goes to `out` if given. Throws
   * ERR_INVALID_ARGUMENT for a name that is not served, ERR_LENGTH_MISMATCH, ERR_SERVICE_CLOSED.
   */
  apply(names: readonly string[], x: Float32Array, out?: Float32Array): Float32Array {
    this.#requireOpen();
    const slots = this.#slotsOf(names);
    const y = out ?? new Float32Array(names.length * this.#shape.outFeatures);
    this.#kernel.apply({ slots, x }, y);
    return y;
  }

  /** As apply(), off the main thread where the backend can; `x` must stay unchanged until the promise settles. */
  async applyAsync(names: readonly string[], x: Float32Array): Promise<Float32Array> {
    this.#requireOpen();
    const slots = this.#slotsOf(names);
    for (const slot of slots) this.#readers[slot] += 1;
    const result = this.#kernel.applyAsync({ slots, x }).finally(() => this.#leave(slots));
    this.#running = Promise.allSettled([this.#running, result]);
    return result;
  }

  /** Waits for what runs in the background, then frees the memory. Later calls throw ERR_SERVICE_CLOSED. */
  close(): Promise<void> {
    this.#closing ??= this.#running.then(() => this.#kernel.close());
    return this.#closing;
  }

  /** Puts the adapters into free slots, which nobody sees yet. */
  #write(adapters: readonly { state: AdapterState }[]): number[] {
    if (adapters.length > this.#slots.free) {
      const expected = `at most ${this.#slots.free} beside the ${this.versions} in use`;
      throw new LorakeetError('ERR_POOL_FULL', `adapters: got ${adapters.length} new versions, expected ${expected}`);
    }
    const { layout } = this.#kernel;
    const slabs = new Float32Array(adapters.length * layout.slabLength);
    const steps = Uint32Array.from(adapters, ({ state }, i) => writeToSlab(state, layout, slabs, i));
    const slots = Uint32Array.from(adapters, () => this.#slots.take() as number);
    try {
      this.#kernel.write(slots, slabs, steps);
    } catch (error) {
      for (const slot of slots) this.#slots.release(slot);
      throw error;
    }
    for (const slot of slots) this.#readers[slot] = 0;
    return [...slots];
  }

  #withdraw(name: string): void {
    const slot = this.#slotOf.get(name);
    if (slot === undefined) return;
    this.#slotOf.delete(name);
    if (this.#readers[slot] > 0) this.#retired.add(slot);
    else this.#slots.release(slot);
  }

  #leave(slots: Uint32Array): void {
    for (const slot of slots) {
      this.#readers[slot] -= 1;
      if (this.#readers[slot] === 0 && this.#retired.delete(slot)) this.#slots.release(slot);
    }
  }

  #slotsOf(names: readonly string[]): Uint32Array {
    if (!Array.isArray(names)) fail('ERR_INVALID_ARGUMENT', 'names', names, 'an array of strings');
    return Uint32Array.from(names, (name, i) => {
      const slot = this.#slotOf.get(name);
      if (slot === undefined)
        fail('ERR_INVALID_ARGUMENT', `names[${i}]`, name, 'the name of an adapter that is served');
      return slot;
    });
  }

  #requireOpen(): void {
    if (this.#closing)
      throw new LorakeetError('ERR_SERVICE_CLOSED', 'the server has been closed, expected an open one');
  }
}
