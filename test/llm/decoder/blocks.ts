/** Batches that are larger than the pieces in which native decoders work, and what is done with them. */
import { expect } from 'vitest';
import type { DecoderModel, ForwardOptions } from '../../../src/llm/decoder/contract.js';
import { allTargets, batchOf, randomTokens, randomValues, SHAPE } from './fixtures.js';

export const BATCH = batchOf([150, 1, 65, 64, 2]);
export const COEFFICIENTS = randomValues('blocks', BATCH.positions.length, 1).map((value) => value / 100);

export async function createAdapter(model: DecoderModel, seed = 'adapter') {
  const adapter = model.createAdapter(allTargets(SHAPE), { train: true });
  await adapter.write('parameters', randomValues(seed, adapter.parameterCount, 0.3));
  return adapter;
}

export async function learn(model: DecoderModel, options: ForwardOptions = {}) {
  const adapter = await createAdapter(model);
  const pass = model.createPass();
  const { logProbabilities, labels } = await pass.forward(adapter, BATCH, { keep: true, ...options });
  await pass.backward(adapter, options.coefficients ? undefined : COEFFICIENTS);
  const gradient = await adapter.read('gradient');
  await adapter.step({ learningRate: 0.01, step: 1, maxGradNorm: 0.5 });
  const result = { logProbabilities, labels, gradient, parameters: await adapter.read('parameters') };
  adapter.close();
  pass.close();
  return result;
}

/** 300 and 40 tokens at once, more than pass through the layers together, then one more each. */
export async function decode(model: DecoderModel) {
  const adapter = await createAdapter(model);
  const cache = model.createCache(3, 301);
  const [long, short] = [randomTokens('long', 301), randomTokens('short', 41)];
  const logits = [
    ...(await cache.decode([
      { sequence: 2, tokens: short.subarray(0, 40) },
      { sequence: 0, tokens: long.subarray(0, 300), adapter },
    ])),
    ...(await cache.decode([
      { sequence: 0, tokens: long.subarray(300), adapter },
      { sequence: 2, tokens: short.subarray(40) },
    ])),
  ];
  adapter.close();
  cache.close();
  return logits;
}

export function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, budget: number) {
  const largest = Math.max(...Array.from(expected, Math.abs));
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    expect(Math.abs(found[i] - expected[i]), `[${i}]: ${found[i]} and ${expected[i]}`).toBeLessThan(budget * largest);
  }
}
