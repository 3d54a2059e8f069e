/** Which rows of a model's tensors have been written: nothing may be computed before all have. */
import { LorakeetError } from '../../errors.js';
import type { DecoderShape, WeightName } from './contract.js';
import { weightKey, weightNames, weightSize } from './layout.js';

export class WrittenRows {
  /** By tensor, 1 for a row that is there, and how many are not; complete tensors are not listed. */
  readonly #missing = new Map<string, { written: Uint8Array; left: number }>();

  constructor(shape: DecoderShape) {
    for (const name of weightNames(shape)) {
      const { rows } = weightSize(shape, name);
      this.#missing.set(weightKey(name), { written: new Uint8Array(rows), left: rows });
    }
  }

  add(name: WeightName, firstRow: number, rows: number): void {
    const key = weightKey(name);
    const tensor = this.#missing.get(key);
    if (!tensor) return;
    for (let row = firstRow; row < firstRow + rows; row++) {
      tensor.left -= 1 - tensor.written[row];
      tensor.written[row] = 1;
    }
    if (tensor.left === 0) this.#missing.delete(key);
  }

  /** Throws ERR_INVALID_STATE naming a tensor that is not complete. */
  requireAll(): void {
    for (const [key, { left }] of this.#missing) {
      throw new LorakeetError('ERR_INVALID_STATE', `model: ${left} rows of ${key} have not been written`);
    }
  }
}
