/** UserMeta by slot, as columns of numbers: about 90 bytes a user and no object for the garbage collector to visit. */
import { nextAverageLoss, type UserMeta } from './user-meta.js';

const NUMBER_COLUMNS = [
  'version',
  'createdAt',
  'updatedAt',
  'lastTrainedAt',
  'totalSamples',
  'avgLoss',
  'learningRate',
  'avgInferenceMs',
] as const satisfies readonly (keyof UserMeta)[];

/** NaN in lossBefore stands for no lastBatch. */
const OTHER_COLUMNS = ['lossBefore', 'lossAfter', 'optimizerStep', 'revision'] as const;

const COLUMNS = [...NUMBER_COLUMNS, ...OTHER_COLUMNS] as const;
type Column = (typeof COLUMNS)[number];

export interface RecordedStep {
  rows: number;
  loss: number;
  learningRate: number;
  now: number;
  revision: number;
}

export class UserColumns {
  #rows = 0;
  readonly #columns = Object.fromEntries(COLUMNS.map((name) => [name, new Float64Array(0)])) as Record<
    Column,
    Float64Array
  >;

  /** Counts changes of the pool; a row's is the count at its last change. */
  revisionOf(slot: number): number {
    return this.#columns.revision[slot];
  }

  /** Optimizer steps recorded here; the kernel pool counts one more for a step that is not recorded yet. */
  optimizerStepOf(slot: number): number {
    return this.#columns.optimizerStep[slot];
  }

  set(slot: number, meta: UserMeta, optimizerStep: number, revision: number): void {
    this.#reserve(slot + 1);
    for (const name of NUMBER_COLUMNS) this.#columns[name][slot] = meta[name];
    this.#columns.lossBefore[slot] = meta.lastBatch?.lossBefore ?? Number.NaN;
    this.#columns.lossAfter[slot] = meta.lastBatch?.lossAfter ?? Number.NaN;
    this.#columns.optimizerStep[slot] = optimizerStep;
    this.#columns.revision[slot] = revision;
  }

  get(slot: number, userId: string): UserMeta {
    const { lossBefore, lossAfter } = this.#columns;
    const numbers = Object.fromEntries(NUMBER_COLUMNS.map((name) => [name, this.#columns[name][slot]]));
    const meta = { userId, ...numbers } as unknown as UserMeta;
    if (!Number.isNaN(lossBefore[slot])) {
      meta.lastBatch = { lossBefore: lossBefore[slot], lossAfter: lossAfter[slot] };
    }
    return meta;
  }

  /** Updates that the adapter has taken. */
  updatesOf(slot: number): number {
    return this.#columns.version[slot] - 1;
  }

  /** One more update, without the loss on the batch after it, which only another pass over the rows would tell. */
  recordStep(slot: number, step: RecordedStep): void {
    const columns = this.#columns;
    columns.avgLoss[slot] = nextAverageLoss(columns.avgLoss[slot], this.updatesOf(slot), step.loss);
    columns.version[slot] += 1;
    columns.optimizerStep[slot] += 1;
    columns.totalSamples[slot] += step.rows;
    columns.learningRate[slot] = step.learningRate;
    columns.updatedAt[slot] = step.now;
    columns.lastTrainedAt[slot] = step.now;
    columns.lossBefore[slot] = Number.NaN;
    columns.revision[slot] = step.revision;
  }

  #reserve(rows: number): void {
    if (rows <= this.#rows) return;
    this.#rows = Math.max(rows, 2 * this.#rows, 64);
    for (const name of COLUMNS) {
      const grown = new Float64Array(this.#rows);
      grown.set(this.#columns[name]);
      this.#columns[name] = grown;
    }
  }
}
