/** What a model should answer to an input. */
import { allOf, notBlank, positive } from './checks.js';
import type { Result, Unit } from './result.js';

/** Immutable; anything may be given to the constructor, and validate() says whether it can be used. */
export class TrainingExample {
  constructor(
    readonly input: string,
    readonly output: string,
    /** Its part in the loss, relative to the other examples. */
    readonly weight = 1,
  ) {
    Object.freeze(this);
  }

  validate(): Result<Unit> {
    return allOf(
      () => notBlank('Input', this.input),
      () => notBlank('Output', this.output),
      () => positive('Weight', this.weight),
    );
  }
}
