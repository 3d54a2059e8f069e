/**
 * The js backend: the reference in double precision that the others are held against, and the fallback where no native
 * backend loads. Everything runs on the calling thread; `threads` has no effect here.
 */
import { firstNonFinite } from '../checks.js';
import { LorakeetError } from '../errors.js';
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
import { type RowSource, SlotMath } from './js-math.js';
import { SlotStore } from './js-slots.js';
import { type SlabLayout, slabLayout } from './layout.js';
import {
  checkArray,
  checkCopy,
  checkDecay,
  checkDistinctSlots,
  checkItems,
  checkLength,
  checkObject,
  checkParameters,
  checkReport,
  checkRows,
  checkSlabArrays,
  checkSlabContents,
  checkSlotRows,
  checkSlots,
  checkTarget,
  type PoolShape,
  requireEwc,
  validatePoolConfig,
} from './validate.js';

export const jsBackend: KernelBackend = {
  name: 'js',
  device: 'js',
  stateDtypes: STATE_DTYPES,
  createPool: (config) => new JsPool(config),
  firstNonFinite(values, copy) {
    const i = firstNonFinite(values);
    if (copy) {
      checkLength('copy', copy.length, values.length);
      copy.set(i < 0 ? values : values.subarray(0, i));
    }
    return i;
  },
};

export class JsPool implements KernelPool {
  readonly config: Readonly<PoolConfig>;
  readonly layout: SlabLayout;
  readonly #slots: SlotStore;
  readonly #math: SlotMath;
  #items: Float32Array | null = null;
  #closed = false;

  constructor(config: PoolConfig) {
    this.config = validatePoolConfig(config);
    const { rank, inFeatures, outFeatures, ewc, optimizer } = this.config;
    this.layout = slabLayout({ rank, inFeatures, outFeatures, ewc: ewc !== null, moments: optimizer.kind === 'adamw' });
    this.#slots = new SlotStore(this.config, this.layout);
    this.#math = new SlotMath(this.config, this.layout);
  }

  get memoryBytes(): number {
    this.#requireOpen();
    return this.#slots.bytes + (this.#items?.byteLength ?? 0);
  }

  write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    this.#requireOpen();
    const count = checkDistinctSlots('slots', slots, this.config.capacity).size;
    checkSlabArrays(count, this.layout, slabs, steps);
    checkSlabContents(count, this.layout, slabs);
    this.#slots.write(slots, slabs, steps);
  }

  read(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    this.#requireOpen();
    checkSlots('slots', slots, this.config.capacity);
    checkSlabArrays(slots.length, this.layout, slabs, steps);
    this.#slots.read(slots, slabs, steps);
  }

  copy(from: Uint32Array, to: Uint32Array): void {
    this.#requireOpen();
    checkCopy(from, to, this.config.capacity);
    this.#slots.copy(from, to);
  }

  clear(slots: Uint32Array): void {
    this.#requireOpen();
    checkSlots('slots', slots, this.config.capacity);
    this.#slots.clear(slots);
  }

  bindItems(matrix: Float32Array | null): void {
    this.#requireOpen();
    if (matrix !== null) checkItems(matrix, this.config.inFeatures);
    this.#items = matrix && Float32Array.from(matrix);
  }

  apply(batch: ApplyBatch, y: Float32Array): void {
    this.#requireOpen();
    const rows = this.#checkApply(batch);
    checkLength('y', checkArray('y', y, Float32Array).length, rows * this.config.outFeatures);
    this.#apply(batch, y);
  }

  update(batch: UpdateBatch, report: UpdateReport): void {
    this.#requireOpen();
    this.#checkUpdate(batch);
    checkReport(report, batch.slots.length);
    this.#update(batch, report);
  }

  consolidate(batch: ConsolidateBatch): void {
    this.#requireOpen();
    requireEwc('consolidate', this.config);
    checkSlotRows(this.#shape(), batch);
    checkDecay(batch.decay);
    const { slots, rowOffsets, decay } = batch;
    const x = this.#source(batch.x);
    const fisherOf = (index: number): Float32Array => {
      const { values } = this.#slots.peek(slots[index]);
      const fisher = this.#math.fisher(values, x, rowOffsets[index], rowOffsets[index + 1], decay);
      if (!fisher) {
        throw new LorakeetError(
          'ERR_NOT_FINITE',
          `x: the rows of slot ${slots[index]} give a Fisher that is not finite`,
        );
      }
      return fisher;
    };
    // computed twice, so that a bad row of the last slot finds the first one unchanged, without memory for all of them
    for (let index = 0; index < slots.length; index++) fisherOf(index);
    const states = this.#slots.claim(slots);
    for (let index = 0; index < slots.length; index++) this.#math.setFisherAndAnchor(states[index], fisherOf(index));
  }

  async applyAsync(batch: ApplyBatch): Promise<Float32Array> {
    this.#requireOpen();
    const rows = this.#checkApply(batch);
    const y = new Float32Array(rows * this.config.outFeatures);
    this.#apply(batch, y);
    return y;
  }

  async updateAsync(batch: UpdateBatch): Promise<UpdateReport> {
    this.#requireOpen();
    this.#checkUpdate(batch);
    const users = batch.slots.length;
    const report = { loss: new Float32Array(users), gradNorm: new Float32Array(users), flags: new Uint8Array(users) };
    this.#update(batch, report);
    return report;
  }

  async consolidateAsync(batch: ConsolidateBatch): Promise<void> {
    this.consolidate(batch);
  }

  close(): void {
    this.#closed = true;
    this.#slots.clearAll();
    this.#items = null;
  }

  #requireOpen(): void {
    if (this.#closed) throw new LorakeetError('ERR_POOL_CLOSED', 'the pool has been closed, expected an open one');
  }

  #shape(): PoolShape {
    const itemCount = this.#items && this.#items.length / this.config.inFeatures;
    return { config: this.config, layout: this.layout, itemCount };
  }

  #source(rows: Rows): RowSource {
    return rows instanceof Float32Array ? { data: rows, ids: null } : { data: this.#items as Float32Array, ids: rows };
  }

  #checkApply(batch: ApplyBatch): number {
    checkObject('batch', batch);
    checkSlots('slots', batch.slots, this.config.capacity);
    const rows = checkRows('x', batch.x, this.config.inFeatures, this.#shape().itemCount);
    checkLength('x (rows)', rows, batch.slots.length);
    return rows;
  }

  #apply({ slots, x }: ApplyBatch, y: Float32Array): void {
    const source = this.#source(x);
    for (let i = 0; i < slots.length; ) {
      const count = i + 1 < slots.length && slots[i + 1] === slots[i] ? 2 : 1;
      this.#math.apply(this.#slots.peek(slots[i]).values, source, i, count, y);
      i += count;
    }
  }

  #checkUpdate(batch: UpdateBatch): void {
    const shape = this.#shape();
    const rows = checkSlotRows(shape, batch);
    const users = batch.slots.length;
    checkTarget(shape, batch.target, rows);
    checkParameters('rowWeight', batch.rowWeight, rows);
    checkParameters('learningRate', batch.learningRate, users);
    checkParameters('maxGradNorm', batch.maxGradNorm, users, { positive: true, infinity: true });
    if (batch.ewcLambda !== undefined) requireEwc('ewcLambda', this.config);
    checkParameters('ewcLambda', batch.ewcLambda, users);
  }

  #update(batch: UpdateBatch, report: UpdateReport): void {
    const { slots, rowOffsets, rowWeight } = batch;
    const x = this.#source(batch.x);
    const target = this.#source(batch.target);
    const states = this.#slots.claim(slots);
    for (let user = 0; user < slots.length; user++) {
      const parameters = {
        learningRate: batch.learningRate?.[user] ?? this.config.learningRate,
        maxGradNorm: batch.maxGradNorm?.[user] ?? this.config.maxGradNorm,
        ewcLambda: batch.ewcLambda?.[user] ?? this.config.ewc?.lambda ?? 0,
      };
      const [first, end] = [rowOffsets[user], rowOffsets[user + 1]];
      const result = this.#math.update(states[user], x, target, rowWeight, first, end, parameters);
      report.loss[user] = result.loss;
      report.gradNorm[user] = result.gradNorm;
      report.flags[user] = result.flags;
    }
  }
}
