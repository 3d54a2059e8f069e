/** A pool that spoils what goes into a right one, or what comes out of it; mutants.ts says how. */
import type {
  ApplyBatch,
  ConsolidateBatch,
  KernelPool,
  PoolConfig,
  UpdateBatch,
  UpdateReport,
} from '../kernels/contract.js';
import { type SlabSection, sectionView } from '../kernels/layout.js';
import { newReport, readStates, type SlotStates } from './harness.js';

export interface Spoils {
  /** The config that the right pool gets in secret. */
  config?: (config: PoolConfig) => PoolConfig;
  bindItems?: (pool: MutantPool, matrix: Float32Array | null) => void;
  apply?: (pool: MutantPool, batch: ApplyBatch, y: Float32Array) => void;
  /** Called on good batches only, with the slots as they were `before`; does the update. */
  update?: (pool: MutantPool, batch: UpdateBatch, report: UpdateReport, before: SlotStates) => void;
  /** Likewise. */
  consolidate?: (pool: MutantPool, batch: ConsolidateBatch) => void;
  /** Called when a batch was refused, before the error goes on its way. */
  refused?: (pool: MutantPool, batch: UpdateBatch, report: UpdateReport, error: unknown) => void;
  updateAsync?: (pool: MutantPool, batch: UpdateBatch) => Promise<UpdateReport>;
}

/** The asynchronous forms go through the synchronous ones, so that a mutant need spoil only those. */
export class MutantPool implements KernelPool {
  constructor(
    readonly inner: KernelPool,
    /** The config that was asked for, whatever the right pool got. */
    readonly config: Readonly<PoolConfig>,
    readonly spoils: Spoils,
  ) {}

  get layout() {
    return this.inner.layout;
  }
  get memoryBytes() {
    return this.inner.memoryBytes;
  }
  write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    this.inner.write(slots, slabs, steps);
  }
  read(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    this.inner.read(slots, slabs, steps);
  }
  copy(from: Uint32Array, to: Uint32Array): void {
    this.inner.copy(from, to);
  }
  clear(slots: Uint32Array): void {
    this.inner.clear(slots);
  }
  bindItems(matrix: Float32Array | null): void {
    this.inner.bindItems(matrix);
    this.spoils.bindItems?.(this, matrix);
  }
  apply(batch: ApplyBatch, y: Float32Array): void {
    this.inner.apply(batch, y);
    this.spoils.apply?.(this, batch, y);
  }
  update(batch: UpdateBatch, report: UpdateReport): void {
    const { update, refused } = this.spoils;
    let before: SlotStates | undefined;
    try {
      before = this.#rehearse(batch?.slots, () => this.inner.update(batch, report));
    } catch (error) {
      refused?.(this, batch, report, error);
      if (!refused) throw error;
      return;
    }
    if (update) update(this, batch, report, before);
    else this.inner.update(batch, report);
  }
  consolidate(batch: ConsolidateBatch): void {
    this.#rehearse(batch?.slots, () => this.inner.consolidate(batch));
    if (this.spoils.consolidate) this.spoils.consolidate(this, batch);
    else this.inner.consolidate(batch);
  }
  async applyAsync(batch: ApplyBatch): Promise<Float32Array> {
    const y = await this.inner.applyAsync(batch);
    this.apply(batch, y);
    return y;
  }
  async updateAsync(batch: UpdateBatch): Promise<UpdateReport> {
    if (this.spoils.updateAsync) return this.spoils.updateAsync(this, batch);
    const report = newReport(batch?.slots?.length ?? 0);
    this.update(batch, report);
    return report;
  }
  async consolidateAsync(batch: ConsolidateBatch): Promise<void> {
    this.consolidate(batch);
  }
  close(): void {
    this.inner.close();
  }

  /** Changes one section of every listed slot. */
  change(slots: Uint32Array, section: SlabSection, body: (values: Float32Array, index: number) => void): void {
    const { slabs, steps } = readStates(this.inner, slots);
    for (let index = 0; index < slots.length; index++) {
      const view = sectionView(this.layout, slabs, section, index);
      if (view) body(view, index);
    }
    this.inner.write(slots, slabs, steps);
  }

  /** Does the right thing, so that bad input throws as it should, and undoes it. Returns the states before. */
  #rehearse(slots: Uint32Array, run: () => void): SlotStates {
    let before: SlotStates | undefined;
    try {
      before = readStates(this.inner, slots);
    } catch {
      // bad slots: `run` throws what it should
    }
    run();
    if (!before) throw new Error('slots that cannot be read were accepted');
    this.inner.write(slots, before.slabs, before.steps);
    return before;
  }
}
