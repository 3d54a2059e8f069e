/** What an adapter must not forget: the Fisher information of its parameters, and the anchor that EWC holds them to. */
import { fail, requireInteger, requireNumber, requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { packSequences } from './batches.js';
import type { DecoderModel } from './decoder/contract.js';
import type { LanguageAdapter } from './language-adapter.js';
import type { TokenSequence } from './objectives.js';

export interface ConsolidateOptions {
  /**
   * Whose tokens are scored: 'true' draws them from the model at the targets' places, which is the Fisher information
   * (Kunstner et al. 2019); 'empirical' takes those of the examples, which vanishes where they are fitted. Default 'true'.
   */
  kind?: 'true' | 'empirical';
  /** γ: fisher ← γ·fisher + that of these examples (online EWC, Schwarz et al. 2018). Default 1. */
  decay?: number;
  /** Of the draws. Default 0. */
  seed?: number;
  signal?: AbortSignal;
  /** After each example. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * fisher ← γ·fisher + (1/n) Σ over the examples of (∂/∂θ Σ log p of its targets)², each example by itself, and the anchor
 * becomes the present parameters. Nothing has changed where it rejects: ERR_INVALID_CONFIG, ERR_INVALID_ARGUMENT,
 * ERR_INVALID_STATE for an adapter that does not train, ERR_ABORTED.
 */
export async function consolidateLanguageAdapter(
  model: DecoderModel,
  adapter: LanguageAdapter,
  examples: readonly TokenSequence[],
  options: ConsolidateOptions = {},
): Promise<void> {
  const kind = requireOneOf('options.kind', options.kind ?? 'true', ['true', 'empirical']);
  const decay = requireNumber('options.decay', options.decay ?? 1, { min: 0, max: 1 });
  const seed = requireInteger('options.seed', options.seed ?? 0, 0, 2 ** 32 - 1);
  if (examples.length === 0) fail('ERR_INVALID_ARGUMENT', 'examples', examples, 'at least one');
  const { decoder } = adapter;
  const before = await decoder.read('fisher');
  const pass = model.createPass();
  try {
    await decoder.write(
      'fisher',
      before.map((value) => decay * value),
    );
    for (const [i, example] of examples.entries()) {
      if (options.signal?.aborted) {
        throw new LorakeetError('ERR_ABORTED', 'the consolidation was aborted', { cause: options.signal.reason });
      }
      await pass.forward(decoder, packSequences([example]), {
        keep: true,
        coefficients: new Float32Array(example.targets.length).fill(1),
        ...(kind === 'true' && { sampleSeed: seed * 2 ** 20 + i }),
      });
      await pass.backward(decoder);
      await decoder.addFisher(1 / examples.length);
      options.onProgress?.(i + 1, examples.length);
    }
    await decoder.write('anchor', await decoder.read('parameters'));
  } catch (error) {
    await decoder.write('fisher', before);
    await decoder.write('gradient', new Float32Array(adapter.parameterCount));
    throw error;
  } finally {
    pass.close();
  }
}
