/**
 * The native decoder against the reference where its work is cut into pieces: queries into blocks, rows of a prompt and
 * targets into chunks. And what must not make a difference to a bit: threads.
 */
import { afterAll, describe, expect, it } from 'vitest';
import { nativeInfo } from '../../../src/kernels/native.js';
import type { DecoderModel, ForwardOptions } from '../../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../../src/llm/decoder/js/model.js';
import { createNativeDecoder } from '../../../src/llm/decoder/native/model.js';
import { COEFFICIENTS, decode, expectClose, learn } from './blocks.js';
import { allTargets, createRandomModel, SHAPE } from './fixtures.js';

const made: DecoderModel[] = [];
afterAll(() => {
  for (const model of made) model.close();
});
const keep = (model: DecoderModel) => {
  made.push(model);
  return model;
};

describe.skipIf(!nativeInfo().available)('the native decoder, in pieces', () => {
  const reference = keep(createRandomModel(jsDecoder));

  for (const isa of nativeInfo().isas) {
    it(`learns as the reference does: ${isa}`, async () => {
      const expected = await learn(reference, { dropout: 0.2, dropoutSeed: 5, sampleSeed: 3 });
      const model = keep(createRandomModel(createNativeDecoder({ device: 'cpu', isa }), SHAPE, { threads: 2 }));
      for (const options of [{}, { recompute: true }, { recompute: true, coefficients: COEFFICIENTS }]) {
        const found = await learn(model, { dropout: 0.2, dropoutSeed: 5, sampleSeed: 3, ...options });
        expect(found.labels).toEqual(expected.labels);
        expectClose(found.logProbabilities, expected.logProbabilities, 1e-5);
        expectClose(found.gradient, expected.gradient, 1e-4);
      }
    });

    it(`decodes as the reference does: ${isa}`, async () => {
      const model = keep(createRandomModel(createNativeDecoder({ device: 'cpu', isa }), SHAPE, { threads: 2 }));
      expectClose(await decode(model), await decode(reference), 1e-5);
    });

    for (const arithmetic of ['f32', 'bf16'] as const) {
      it(`gives the same bits on any number of threads: ${isa}, ${arithmetic}`, async () => {
        const create = (threads: number) =>
          keep(createRandomModel(createNativeDecoder({ device: 'cpu', isa }), SHAPE, { threads, arithmetic }));
        const [one, five] = [create(1), create(5)];
        expect(await learn(five, { dropout: 0.2 })).toEqual(await learn(one, { dropout: 0.2 }));
        expect(await decode(five)).toEqual(await decode(one));
      });
    }

    it(`computes in bf16 nearly the same: ${isa}`, async () => {
      const model = keep(createRandomModel(createNativeDecoder({ device: 'cpu', isa }), SHAPE, { arithmetic: 'bf16' }));
      const [found, expected] = [await learn(model), await learn(reference)];
      expectClose(found.logProbabilities, expected.logProbabilities, 0.02);
      expectClose(found.gradient, expected.gradient, 0.1);
    });
  }

  it('says what memory a pass and a cache take', async () => {
    const model = keep(createRandomModel(createNativeDecoder()));
    const size = { tokens: 300, sequences: 1, targets: 299 };
    const bytes = (options: ForwardOptions) => model.passBytes(allTargets(SHAPE), size, options);
    expect(bytes({})).toBeLessThan(bytes({ keep: true }));
    expect(bytes({ keep: true, recompute: true })).toBeLessThan(bytes({ keep: true }));
    expect(model.cacheBytes(2, 100)).toBeGreaterThan(2 * 2 * 100 * 2 * 12 * 4);
  });
});
