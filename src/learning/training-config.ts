/** How one training runs. */
import { allOf, ensure, positiveInteger } from './checks.js';
import type { Result, Unit } from './result.js';

const MAX_BATCH_SIZE = 4096;
const MAX_EPOCHS = 1000;

export interface TrainingConfigFields {
  /** Examples of one optimiser step. */
  batchSize: number;
  epochs: number;
  /** Hold on to what the adapter learnt before: EWC and replay. */
  incrementalUpdate: boolean;
}

/** Immutable; anything may be given to the constructor, and validate() says whether it can be used. */
export class TrainingConfig implements TrainingConfigFields {
  readonly batchSize: number;
  readonly epochs: number;
  readonly incrementalUpdate: boolean;

  constructor({ batchSize = 4, epochs = 1, incrementalUpdate = false }: Partial<TrainingConfigFields> = {}) {
    this.batchSize = batchSize;
    this.epochs = epochs;
    this.incrementalUpdate = incrementalUpdate;
    Object.freeze(this);
  }

  /** Batches of 4, one epoch. */
  static default(): TrainingConfig {
    return new TrainingConfig();
  }

  /** Batches of 8, one epoch. */
  static fast(): TrainingConfig {
    return new TrainingConfig({ batchSize: 8 });
  }

  /** Batches of 4, three epochs. */
  static thorough(): TrainingConfig {
    return new TrainingConfig({ epochs: 3 });
  }

  with(changes: Partial<TrainingConfigFields>): TrainingConfig {
    return new TrainingConfig({ ...this, ...changes });
  }

  validate(): Result<Unit> {
    return allOf(
      () => positiveInteger('Batch size', this.batchSize, MAX_BATCH_SIZE),
      () => positiveInteger('Epochs', this.epochs, MAX_EPOCHS),
      () => ensure(typeof this.incrementalUpdate === 'boolean', 'Incremental update must be true or false'),
    );
  }
}
