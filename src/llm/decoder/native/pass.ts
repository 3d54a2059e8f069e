/** Scoring and gradients of the native decoder. */
import { requireVector } from '../../../checks.js';
import { coded, codedAsync } from '../../../kernels/addon.js';
import type { DecoderAdapter, DecoderPass, ForwardOptions, ForwardResult, TokenBatch } from '../contract.js';
import { checkBatch, checkForward, checkTrains } from '../validate.js';
import { requireAdapter } from './adapter.js';
import { type DecoderAddon, nativeOptions } from './addon.js';
import { Handle } from './handle.js';
import type { NativeModel } from './model.js';
import { inTurn } from './turns.js';

export class NativePass implements DecoderPass {
  readonly #addon: DecoderAddon;
  readonly #model: NativeModel;
  readonly #handle: Handle;

  constructor(addon: DecoderAddon, model: NativeModel) {
    this.#addon = addon;
    this.#model = model;
    const number = coded(() => addon.createPass(model.handle.number));
    this.#handle = new Handle('pass', number, (closed) => addon.closePass(closed));
  }

  async forward(
    adapter: DecoderAdapter | undefined,
    batch: TokenBatch,
    options: ForwardOptions = {},
  ): Promise<ForwardResult> {
    this.#handle.number;
    checkBatch(this.#model.shape, batch);
    checkForward(options, batch.positions.length);
    const own = adapter === undefined ? undefined : requireAdapter(this.#model, adapter);
    if (options.keep) checkTrains(own?.train ?? false);
    const [tokens, offsets, positions] = [batch.tokens, batch.offsets, batch.positions].map((ids) => ids.slice());
    const numbers = nativeOptions(options);
    const coefficients = options.coefficients?.slice();
    const uses = { changes: [this.#handle.turns], reads: own ? [own.handle.turns] : [] };
    const call = () =>
      this.#addon.forward(
        this.#handle.number,
        own?.handle.number ?? 0,
        tokens,
        offsets,
        positions,
        ...numbers,
        coefficients,
      );
    return codedAsync(inTurn(uses, call));
  }

  async backward(adapter: DecoderAdapter, coefficients?: Float32Array): Promise<void> {
    this.#handle.number;
    const own = requireAdapter(this.#model, adapter);
    if (coefficients !== undefined) requireVector('coefficients', coefficients, coefficients?.length);
    const copy = coefficients?.slice();
    // The addon knows what was kept, and refuses what does not fit it.
    const call = () => this.#addon.backward(this.#handle.number, own.handle.number, copy);
    return codedAsync(inTurn({ changes: [this.#handle.turns, own.handle.turns] }, call));
  }

  close(): void {
    this.#handle.close();
  }
}
