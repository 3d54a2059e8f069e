/** The penalty that EWC puts on leaving the anchor, as a number to look at: the optimiser takes it as a proximal step. */
import type { LanguageAdapter } from '../../../llm/index.js';
import { Pauses } from '../../../llm/pauses.js';

/** Parameters between two looks at the clock. */
const SLICE = 2 ** 20;

/** (λ/2) Σ F (θ − θ*)² of an adapter whose Fisher information F and anchor θ* stay as they are. */
export class EwcLoss {
  readonly #lambda: number;
  #fisher: Float32Array | undefined;
  #anchor: Float32Array | undefined;

  constructor(lambda: number) {
    this.#lambda = lambda;
  }

  async of(adapter: LanguageAdapter): Promise<number> {
    if (this.#lambda === 0) return 0;
    this.#fisher ??= await adapter.decoder.read('fisher');
    this.#anchor ??= await adapter.decoder.read('anchor');
    const parameters = await adapter.decoder.read('parameters');
    const pauses = new Pauses();
    let sum = 0;
    for (let from = 0; from < parameters.length; from += SLICE) {
      const to = Math.min(from + SLICE, parameters.length);
      for (let i = from; i < to; i++) sum += this.#fisher[i] * (parameters[i] - this.#anchor[i]) ** 2;
      await pauses.whenDue();
    }
    return (this.#lambda / 2) * sum;
  }
}
