/** UserMeta by slot, as rows of numbers: 96 bytes a user and no object for the garbage collector to visit. */
import { nextAverageLoss, type UserMeta } from './user-meta.js';

const NUMBERS = [
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
const FIELDS = [...NUMBERS, 'lossBefore', 'lossAfter', 'optimizerStep', 'revision'] as const;

/** Where each field stands in a row. */
const AT = Object.fromEntries(FIELDS.map((name, i) => [name, i])) as Record<(typeof FIELDS)[number], number>;
const WIDTH = FIELDS.length;

export interface RecordedStep {
  rows: number;
  loss: number;
  learningRate: number;
  now: number;
  revision: number;
}

export class UserRecords {
  /** Row after row, by slot. */
  #values = new Float64Array(64 * WIDTH);

  /** Counts changes of the pool; a user's is the count at his last change. */
  revisionOf(slot: number): number {
    return this.#values[slot * WIDTH + AT.revision];
  }

  /** Optimizer steps recorded here; the kernel pool counts one more for a step that is not recorded yet. */
  optimizerStepOf(slot: number): number {
    return this.#values[slot * WIDTH + AT.optimizerStep];
  }

  set(slot: number, meta: UserMeta, optimizerStep: number, revision: number): void {
    this.#reserve(slot + 1);
    const [values, row] = [this.#values, slot * WIDTH];
    for (let i = 0; i < NUMBERS.length; i++) values[row + i] = meta[NUMBERS[i]];
    values[row + AT.lossBefore] = meta.lastBatch?.lossBefore ?? Number.NaN;
    values[row + AT.lossAfter] = meta.lastBatch?.lossAfter ?? Number.NaN;
    values[row + AT.optimizerStep] = optimizerStep;
    values[row + AT.revision] = revision;
  }

  get(slot: number, userId: string): UserMeta {
    const [values, row] = [this.#values, slot * WIDTH];
    const numbers = Object.fromEntries(NUMBERS.map((name, i) => [name, values[row + i]]));
    const meta = { userId, ...numbers } as unknown as UserMeta;
    const lossBefore = values[row + AT.lossBefore];
    if (!Number.isNaN(lossBefore)) meta.lastBatch = { lossBefore, lossAfter: values[row + AT.lossAfter] };
    return meta;
  }

  /** Updates that the adapter has taken. */
  updatesOf(slot: number): number {
    return this.#values[slot * WIDTH + AT.version] - 1;
  }

  /** The adapter changed otherwise than by an update. */
  touch(slot: number, now: number, revision: number): void {
    this.#values[slot * WIDTH + AT.updatedAt] = now;
    this.#values[slot * WIDTH + AT.revision] = revision;
  }

  /** One more update, without the loss on the batch after it, which only another pass over the rows would tell. */
  recordStep(slot: number, step: RecordedStep): void {
    const [values, row] = [this.#values, slot * WIDTH];
    values[row + AT.avgLoss] = nextAverageLoss(values[row + AT.avgLoss], this.updatesOf(slot), step.loss);
    values[row + AT.version] += 1;
    values[row + AT.optimizerStep] += 1;
    values[row + AT.totalSamples] += step.rows;
    values[row + AT.learningRate] = step.learningRate;
    values[row + AT.updatedAt] = step.now;
    values[row + AT.lastTrainedAt] = step.now;
    values[row + AT.lossBefore] = Number.NaN;
    values[row + AT.revision] = step.revision;
  }

  #reserve(rows: number): void {
    const length = rows * WIDTH;
    if (length <= this.#values.length) return;
    const grown = new Float64Array(Math.max(length, 2 * this.#values.length));
    grown.set(this.#values);
    this.#values = grown;
  }
}
