/**
 * What every decoder backend must do: gradients against finite differences of its own log-probabilities, decoding against
 * scoring, and whatever the contract says must not make a difference. goldens.ts compares with PyTorch.
 */
import { afterAll, describe, expect, it } from 'vitest';
import type {
  DecoderAdapter,
  DecoderBackend,
  DecoderModel,
  ForwardOptions,
  TokenBatch,
} from '../../../src/llm/decoder/contract.js';
import { weightKey, weightNames, weightSize } from '../../../src/llm/decoder/layout.js';
import { allTargets, batchOf, createRandomModel, randomTokens, randomValues, SHAPE, SHAPES } from './fixtures.js';

export interface Budgets {
  /** Of log-probabilities, absolute. */
  logProbability: number;
  /** Of gradients, relative to the largest of the target's. */
  gradient: number;
}

export function describeDecoder(backend: DecoderBackend, { logProbability, gradient }: Budgets): void {
  const title = `the ${backend.name} decoder`;
  const made: { close(): void }[] = [];
  const keep = <T extends { close(): void }>(object: T): T => {
    made.push(object);
    return object;
  };
  afterAll(() => {
    for (const object of made.reverse()) object.close();
  });
  const createModel = (...args: Parameters<typeof createRandomModel> extends [unknown, ...infer R] ? R : never) =>
    keep(createRandomModel(backend, ...args));

  async function createAdapter(model: DecoderModel, seed = 'adapter', train = true): Promise<DecoderAdapter> {
    const adapter = keep(model.createAdapter(allTargets(model.shape), { train }));
    await adapter.write('parameters', randomValues(seed, adapter.parameterCount, 0.3));
    return adapter;
  }

  async function score(model: DecoderModel, adapter: DecoderAdapter | undefined, batch: TokenBatch) {
    const pass = model.createPass();
    const { logProbabilities } = await pass.forward(adapter, batch);
    pass.close();
    return logProbabilities;
  }

  async function gradientOf(
    model: DecoderModel,
    adapter: DecoderAdapter,
    batch: TokenBatch,
    coefficients: Float32Array,
    options: ForwardOptions = {},
    known = true,
  ): Promise<Float32Array> {
    const pass = model.createPass();
    await adapter.write('gradient', new Float32Array(adapter.parameterCount));
    await pass.forward(adapter, batch, { ...options, keep: true, ...(known ? { coefficients } : {}) });
    await pass.backward(adapter, known ? undefined : coefficients);
    pass.close();
    return adapter.read('gradient');
  }

  /** L = −Σ cᵢ log pᵢ by central differences, for the two parameters of every factor that have the largest gradients. */
  async function expectGradient(
    model: DecoderModel,
    adapter: DecoderAdapter,
    batch: TokenBatch,
    coefficients: Float32Array,
    options: ForwardOptions = {},
  ) {
    const found = await gradientOf(model, adapter, batch, coefficients, options);
    const parameters = await adapter.read('parameters');
    const pass = model.createPass();
    const loss = async (index: number, value: number) => {
      await adapter.write('parameters', Float32Array.of(value), index);
      const { logProbabilities } = await pass.forward(adapter, batch, options);
      return -logProbabilities.reduce((sum, log, i) => sum + coefficients[i] * log, 0);
    };
    const largest = found.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
    expect(largest).toBeGreaterThan(0.01);
    for (const index of largestOfEveryFactor(model, adapter, found)) {
      const at = parameters[index];
      const above = Math.fround(at + 0.02);
      const below = Math.fround(at - 0.02);
      // Richardson's extrapolation takes the error of h² out.
      const wide = ((await loss(index, above)) - (await loss(index, below))) / (above - below);
      const nearAbove = Math.fround(at + 0.01);
      const nearBelow = Math.fround(at - 0.01);
      const near = ((await loss(index, nearAbove)) - (await loss(index, nearBelow))) / (nearAbove - nearBelow);
      await adapter.write('parameters', Float32Array.of(at), index);
      const expected = (4 * near - wide) / 3;
      expect(Math.abs(found[index] - expected), `parameter ${index}: ${found[index]} and ${expected}`).toBeLessThan(
        gradient * Math.max(largest, 1),
      );
    }
    pass.close();
  }

  const coefficientsOf = (batch: TokenBatch) => randomValues('coefficients', batch.positions.length, 1, 0.2);

  describe(title, () => {
    describe('takes gradients', () => {
      for (const [name, shape] of Object.entries(SHAPES)) {
        it(`that finite differences confirm: ${name}`, async () => {
          const model = createModel(shape);
          const adapter = await createAdapter(model);
          const batch = batchOf([5, 2, 7]);
          await expectGradient(model, adapter, batch, coefficientsOf(batch));
        });
      }

      it('with dropout, of the entries that it left', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const batch = batchOf([6, 4]);
        await expectGradient(model, adapter, batch, coefficientsOf(batch), { dropout: 0.4, dropoutSeed: 7 });
      });

      it('of a few targets only', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const batch = batchOf([9, 3], (position) => position % 4 === 2);
        await expectGradient(model, adapter, batch, coefficientsOf(batch));
      });

      it('of targets in upper layers only', async () => {
        const model = createModel();
        const targets = allTargets(model.shape).filter(({ layer, module }) => layer === 1 && module !== 'v_proj');
        const adapter = keep(model.createAdapter(targets, { train: true }));
        await adapter.write('parameters', randomValues('upper', adapter.parameterCount, 0.3));
        const batch = batchOf([5, 6]);
        await expectGradient(model, adapter, batch, coefficientsOf(batch));
      });

      it('the same whether coefficients come before or after, and with everything computed again', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const batch = batchOf([5, 8]);
        const coefficients = coefficientsOf(batch);
        const first = await gradientOf(model, adapter, batch, coefficients);
        const others = [
          await gradientOf(model, adapter, batch, coefficients, {}, false),
          await gradientOf(model, adapter, batch, coefficients, { recompute: true }),
          await gradientOf(model, adapter, batch, coefficients, { recompute: true }, false),
        ];
        for (const other of others) expectClose(other, first, gradient);
      });

      it('that add up', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const [one, two] = [batchOf([5], undefined, 'one'), batchOf([7], undefined, 'two')];
        const ones = (batch: TokenBatch) => new Float32Array(batch.positions.length).fill(1);
        const expected = await gradientOf(model, adapter, one, ones(one));
        (await gradientOf(model, adapter, two, ones(two))).forEach((g, i) => {
          expected[i] += g;
        });
        await adapter.write('gradient', new Float32Array(adapter.parameterCount));
        const pass = model.createPass();
        for (const batch of [one, two]) {
          await pass.forward(adapter, batch, { keep: true, coefficients: ones(batch) });
          await pass.backward(adapter);
        }
        expectClose(await adapter.read('gradient'), expected, gradient);
        pass.close();
      });
    });

    describe('scores', () => {
      it('the same with an adapter of zeros as with none, to the bit', async () => {
        const model = createModel();
        const zeros = keep(model.createAdapter(allTargets(model.shape)));
        const batch = batchOf([9, 4]);
        expect(await score(model, zeros, batch)).toEqual(await score(model, undefined, batch));
        const other = await score(model, await createAdapter(model), batch);
        expect(other).not.toEqual(await score(model, undefined, batch));
      });

      it('every sequence as if it were alone', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const batch = batchOf([5, 8, 3]);
        const together = await score(model, adapter, batch);
        let at = 0;
        for (let i = 0; i < 3; i++) {
          const tokens = batch.tokens.slice(batch.offsets[i], batch.offsets[i + 1]);
          const positions = Uint32Array.from({ length: tokens.length - 1 }, (_, t) => t + 1);
          const alone = await score(model, adapter, { tokens, offsets: Uint32Array.of(0, tokens.length), positions });
          expectNear(together.subarray(at, at + positions.length), alone, logProbability);
          at += positions.length;
        }
      });

      it('probabilities: those of all tokens at one place sum to one', async () => {
        const model = createModel();
        let sum = 0;
        for (let token = 0; token < SHAPE.vocabSize; token++) {
          const tokens = Uint32Array.of(3, 1, token);
          const [log] = await score(model, undefined, {
            tokens,
            offsets: Uint32Array.of(0, 3),
            positions: Uint32Array.of(2),
          });
          sum += Math.exp(log);
        }
        expect(Math.abs(sum - 1)).toBeLessThan(SHAPE.vocabSize * logProbability);
      });

      it('draws labels from its own distribution', async () => {
        const model = createModel();
        const pass = model.createPass();
        const batch = { tokens: randomTokens('draw', 4), offsets: Uint32Array.of(0, 4), positions: Uint32Array.of(3) };
        const draws = 4000;
        const counts = new Float64Array(SHAPE.vocabSize);
        const probabilities = new Float64Array(SHAPE.vocabSize);
        for (let sampleSeed = 0; sampleSeed < draws; sampleSeed++) {
          const { labels, logProbabilities } = await pass.forward(undefined, batch, { sampleSeed });
          counts[labels[0]]++;
          probabilities[labels[0]] = Math.exp(logProbabilities[0]);
        }
        const again = await pass.forward(undefined, batch, { sampleSeed: 11 });
        expect(again).toEqual(await pass.forward(undefined, batch, { sampleSeed: 11 }));
        // Five standard deviations of a binomial count: one in a million for each token.
        counts.forEach((count, token) => {
          if (count === 0) return;
          const p = probabilities[token];
          expect(Math.abs(count - draws * p)).toBeLessThan(5 * Math.sqrt(draws * p * (1 - p)) + 1);
        });
        expect(probabilities.reduce((a, b) => a + b)).toBeGreaterThan(0.95);
        pass.close();
      });

      it('drops that share of the inputs of loraA, by its seed', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const pass = model.createPass();
        const batch = batchOf([9]);
        const run = async (dropout: number, dropoutSeed: number) =>
          (await pass.forward(adapter, batch, { dropout, dropoutSeed })).logProbabilities;
        expect(await run(0, 1)).toEqual(await run(0, 2));
        expect(await run(0.5, 1)).toEqual(await run(0.5, 1));
        expect(await run(0.5, 1)).not.toEqual(await run(0.5, 2));
        expect(await run(0.5, 1)).not.toEqual(await run(0.5, 1 + 2 ** 40));
        pass.close();
      });
    });

    describe('decodes', () => {
      it('what it scores, whatever the pieces', async () => {
        for (const shape of Object.values(SHAPES)) {
          const model = createModel(shape);
          const adapter = await createAdapter(model);
          const batch = batchOf([11]);
          const expected = await score(model, adapter, batch);
          const cache = keep(model.createCache(2, 11));
          for (const pieces of [
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
            [4, 6],
            [9, 1],
          ]) {
            cache.truncate(1, 0);
            let at = 0;
            for (const size of pieces) {
              const tokens = batch.tokens.slice(at, at + size);
              const logits = await cache.decode([{ sequence: 1, tokens, adapter }]);
              at += size;
              expect(logits.length).toBe(shape.vocabSize);
              expect(cache.length(1)).toBe(at);
              expect(Math.abs(logSoftmax(logits, batch.tokens[at]) - expected[at - 1])).toBeLessThan(logProbability);
            }
          }
        }
      });

      it('several sequences at once, each with its adapter', async () => {
        const model = createModel();
        const adapters = [
          undefined,
          await createAdapter(model, 'one', false),
          await createAdapter(model, 'two', false),
        ];
        const cache = keep(model.createCache(3, 20));
        const prompts = [randomTokens('a', 5), randomTokens('b', 1), randomTokens('c', 9)];
        const entries = adapters.map((adapter, sequence) => ({ sequence, adapter, tokens: prompts[sequence] }));
        const together = [await cache.decode(entries), await cache.decode(entries.toReversed())];
        expect([0, 1, 2].map((sequence) => cache.length(sequence))).toEqual([10, 2, 18]);
        for (const { sequence, adapter, tokens } of entries) {
          const alone = keep(model.createCache(1, 20));
          for (const [round, place] of [sequence, 2 - sequence].entries()) {
            const logits = await alone.decode([{ sequence: 0, adapter, tokens }]);
            const found = together[round].subarray(place * SHAPE.vocabSize, (place + 1) * SHAPE.vocabSize);
            expectNear(found, logits, 10 * logProbability);
          }
        }
      });

      it('again from where it is cut back', async () => {
        const model = createModel();
        const cache = keep(model.createCache(1, 8));
        const tokens = randomTokens('cut', 6);
        const first = await cache.decode([{ sequence: 0, tokens }]);
        cache.truncate(0, 3);
        expect(cache.length(0)).toBe(3);
        const again = await cache.decode([{ sequence: 0, tokens: tokens.slice(3) }]);
        expectNear(again, first, 10 * logProbability);
      });
    });

    describe('learns', () => {
      it('by AdamW, clipped, with the pull of EWC, as the formulas say', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const count = adapter.parameterCount;
        const theta = Float64Array.from(await adapter.read('parameters'));
        const fisher = randomValues('fisher', count, 2, 2);
        const anchor = randomValues('anchor', count, 1);
        await adapter.write('fisher', fisher);
        await adapter.write('anchor', anchor);
        const [m, v] = [new Float64Array(count), new Float64Array(count)];
        for (let step = 1; step <= 3; step++) {
          const g = randomValues(`gradient ${step}`, count, 0.1);
          await adapter.write('gradient', g);
          const options = { learningRate: 0.01, step, weightDecay: 0.1, maxGradNorm: 0.5, ewcLambda: 3, beta1: 0.8 };
          const norm = await adapter.step(options);
          const expectedNorm = Math.hypot(...g);
          expect(Math.abs(norm - expectedNorm)).toBeLessThan(1e-6 * expectedNorm);
          for (let i = 0; i < count; i++) {
            const clipped = (g[i] * 0.5) / expectedNorm;
            m[i] = 0.8 * m[i] + 0.2 * clipped;
            v[i] = 0.999 * v[i] + 0.001 * clipped ** 2;
            const stepped =
              theta[i] * (1 - 0.01 * 0.1) -
              (0.01 * (m[i] / (1 - 0.8 ** step))) / (Math.sqrt(v[i] / (1 - 0.999 ** step)) + 1e-8);
            const hold = 0.01 * 3 * fisher[i];
            theta[i] = (stepped + hold * anchor[i]) / (1 + hold);
          }
          expect((await adapter.read('gradient')).every((value) => value === 0)).toBe(true);
        }
        expectNear(await adapter.read('parameters'), theta, 1e-5);
        expectNear(await adapter.read('moment1'), m, 1e-6);
      });

      it('what gradients were, for the Fisher', async () => {
        const model = createModel();
        const adapter = await createAdapter(model);
        const g = randomValues('g', adapter.parameterCount, 2);
        for (const weight of [0.5, 2]) {
          await adapter.write('gradient', g);
          await adapter.addFisher(weight);
        }
        expectNear(
          await adapter.read('fisher'),
          Float64Array.from(g, (value) => 2.5 * value ** 2),
          1e-5,
        );
        expect((await adapter.read('gradient')).every((value) => value === 0)).toBe(true);
      });
    });

    describe('keeps weights', () => {
      it('as bf16, f16 and int8, each as its rounding says', async () => {
        const batch = batchOf([9, 5]);
        const exact = await score(createModel(), undefined, batch);
        const errors: number[] = [];
        for (const weightStorage of ['f16', 'bf16', 'int8'] as const) {
          const model = createModel(SHAPE, { weightStorage });
          const found = await score(model, undefined, batch);
          errors.push(Math.max(...found.map((log, i) => Math.abs(log - exact[i]))));
        }
        expect(errors[0]).toBeGreaterThan(0);
        expect(errors[0]).toBeLessThan(0.01);
        expect(errors[1]).toBeLessThan(0.1);
        expect(errors[2]).toBeLessThan(0.3);
        expect(errors[0]).toBeLessThan(errors[1]);
      });

      it('that come in pieces, from any address', async () => {
        const whole = createModel();
        const model = backend.createModel(SHAPE, whole.options);
        keep(model);
        for (const name of weightNames(SHAPE)) {
          const { rows, columns } = weightSize(SHAPE, name);
          const isNorm = /norm$/.test(weightKey(name));
          const values = randomValues(weightKey(name), rows * columns, isNorm ? 0.3 : 0.5, isNorm ? 1 : 0);
          const bytes = new Uint8Array(values.buffer);
          for (let row = 0; row < rows; row += 4) {
            const end = Math.min(row + 4, rows);
            const odd = new Uint8Array((end - row) * columns * 4 + 1).subarray(1); // not aligned
            odd.set(bytes.subarray(row * columns * 4, end * columns * 4));
            expect(() => model.createPass()).toThrow(expect.objectContaining({ code: 'ERR_INVALID_STATE' }));
            model.writeWeights(name, row, 'f32', odd);
          }
        }
        const batch = batchOf([6]);
        expect(await score(model, undefined, batch)).toEqual(await score(whole, undefined, batch));
      });
    });

    it('refuses what does not fit, by name, and changes nothing', async () => {
      const model = createModel();
      const adapter = await createAdapter(model);
      const fixed = await createAdapter(model, 'fixed', false);
      const stranger = await createAdapter(createModel());
      const pass = keep(model.createPass());
      const cache = keep(model.createCache(2, 4));
      const batch = batchOf([4, 3]);
      const n = batch.positions.length;
      const bad = async (code: string, call: () => unknown) =>
        expect(async () => await call()).rejects.toEqual(expect.objectContaining({ code }));
      const u32 = (...values: number[]) => Uint32Array.from(values);
      await bad('ERR_OUT_OF_RANGE', () => pass.forward(adapter, { ...batch, tokens: batch.tokens.with(2, 37) }));
      await bad('ERR_ROW_OFFSETS', () => pass.forward(adapter, { ...batch, offsets: u32(0, 4, 6) }));
      await bad('ERR_ROW_OFFSETS', () => pass.forward(adapter, { ...batch, offsets: u32(0, 4, 4, 7) }));
      await bad('ERR_ROW_OFFSETS', () => pass.forward(adapter, { ...batch, offsets: u32() }));
      await bad('ERR_OUT_OF_RANGE', () => pass.forward(adapter, { ...batch, positions: u32(1, 4) }));
      await bad('ERR_OUT_OF_RANGE', () => pass.forward(adapter, { ...batch, positions: u32(2, 1) }));
      await bad('ERR_OUT_OF_RANGE', () => pass.forward(adapter, { ...batch, positions: u32(7) }));
      await bad('ERR_INVALID_ARGUMENT', () => pass.forward(adapter, { ...batch, tokens: [1, 2] as never }));
      await bad('ERR_LENGTH_MISMATCH', () => pass.forward(adapter, batch, { coefficients: new Float32Array(n + 1) }));
      await bad('ERR_NOT_FINITE', () =>
        pass.forward(adapter, batch, { coefficients: new Float32Array(n).fill(Number.NaN) }),
      );
      await bad('ERR_INVALID_CONFIG', () => pass.forward(adapter, batch, { dropout: 1 }));
      await bad('ERR_INVALID_CONFIG', () => pass.forward(adapter, batch, { keeep: true } as never));
      await bad('ERR_INVALID_STATE', () => pass.forward(fixed, batch, { keep: true }));
      await bad('ERR_INVALID_STATE', () => pass.forward(undefined, batch, { keep: true }));
      await bad('ERR_INVALID_ARGUMENT', () => pass.forward(stranger, batch));
      await bad('ERR_INVALID_STATE', () => pass.backward(adapter, new Float32Array(n)));
      await pass.forward(adapter, batch, { keep: true });
      await bad('ERR_INVALID_ARGUMENT', () => pass.backward(adapter));
      await bad('ERR_LENGTH_MISMATCH', () => pass.backward(adapter, new Float32Array(1)));
      await pass.backward(adapter, new Float32Array(n));
      await bad('ERR_INVALID_STATE', () => pass.backward(adapter, new Float32Array(n)));

      await bad('ERR_CONTEXT_FULL', () => cache.decode([{ sequence: 0, tokens: u32(1, 2, 3, 4, 5) }]));
      await bad('ERR_INVALID_ARGUMENT', () => cache.decode([]));
      await bad('ERR_INVALID_ARGUMENT', () => cache.decode([{ sequence: 0, tokens: u32() }]));
      await bad('ERR_OUT_OF_RANGE', () => cache.decode([{ sequence: 2, tokens: u32(1) }]));
      await bad('ERR_OUT_OF_RANGE', () => cache.decode([{ sequence: 1, tokens: u32(37) }]));
      await bad('ERR_INVALID_ARGUMENT', () =>
        cache.decode([
          { sequence: 1, tokens: u32(1) },
          { sequence: 1, tokens: u32(2) },
        ]),
      );
      await bad('ERR_OUT_OF_RANGE', () => cache.truncate(0, 1));
      expect([cache.length(0), cache.length(1)]).toEqual([0, 0]);

      const before = await adapter.read('parameters');
      await bad('ERR_INVALID_ARGUMENT', () => adapter.read('weights' as never));
      await bad('ERR_INVALID_STATE', () => fixed.read('fisher'));
      await bad('ERR_INVALID_STATE', () => fixed.step({ learningRate: 1, step: 1 }));
      await bad('ERR_OUT_OF_RANGE', () => adapter.write('parameters', new Float32Array(2), before.length - 1));
      await bad('ERR_NOT_FINITE', () => adapter.write('parameters', Float32Array.of(1, Infinity)));
      await bad('ERR_INVALID_CONFIG', () => adapter.step({ learningRate: Number.NaN, step: 1 }));
      await bad('ERR_INVALID_CONFIG', () => adapter.step({ learningRate: 0.1, step: 0 }));
      await bad('ERR_NOT_FINITE', () => adapter.addFisher(Number.NaN));
      expect(await adapter.read('parameters')).toEqual(before);

      const target = { layer: 0, module: 'q_proj' as const, rank: 2, scaling: 1 };
      for (const targets of [
        [],
        [target, target],
        [{ ...target, layer: 2 }],
        [{ ...target, rank: 0 }],
        [{ ...target, scaling: Infinity }],
        [{ ...target, module: 'lm_head' as never }],
      ]) {
        await bad('ERR_INVALID_CONFIG', () => model.createAdapter(targets));
      }
      await bad('ERR_INVALID_CONFIG', () => model.createCache(0, 4));
      await bad('ERR_INVALID_CONFIG', () => backend.createModel({ ...SHAPE, headDim: 5 }, model.options));
      await bad('ERR_INVALID_CONFIG', () => backend.createModel(SHAPE, { ...model.options, threads: 0 }));
      await bad('ERR_INVALID_ARGUMENT', () =>
        model.writeWeights({ tensor: 'lm_heat' as never }, 0, 'f32', new Uint8Array(4)),
      );
      await bad('ERR_LENGTH_MISMATCH', () => model.writeWeights({ tensor: 'norm' }, 0, 'f32', new Uint8Array(79)));
      await bad('ERR_OUT_OF_RANGE', () => model.writeWeights({ tensor: 'norm' }, 1, 'f32', new Uint8Array(80)));
      await bad('ERR_NOT_FINITE', () =>
        model.writeWeights({ tensor: 'norm' }, 0, 'f32', new Uint8Array(new Float32Array(20).fill(Number.NaN).buffer)),
      );
      expect(await score(model, undefined, batch)).toEqual(await score(createModel(), undefined, batch));
    });

    it('says ERR_CLOSED of what is closed, and a model outlives its own closing in what it made', async () => {
      const model = createModel();
      const adapter = await createAdapter(model);
      const pass = model.createPass();
      const cache = model.createCache(1, 4);
      const batch = batchOf([4]);
      const closed = expect.objectContaining({ code: 'ERR_CLOSED' });
      const expected = await score(model, adapter, batch);
      model.close();
      expect(() => model.createPass()).toThrow(closed);
      expect(() => model.createAdapter(allTargets(SHAPE))).toThrow(closed);
      expect((await pass.forward(adapter, batch)).logProbabilities).toEqual(expected);
      await cache.decode([{ sequence: 0, tokens: Uint32Array.of(1), adapter }]);
      adapter.close();
      await expect(adapter.read('parameters')).rejects.toEqual(closed);
      await expect(pass.forward(adapter, batch)).rejects.toEqual(closed);
      pass.close();
      await expect(pass.forward(undefined, batch)).rejects.toEqual(closed);
      cache.close();
      await expect(cache.decode([{ sequence: 0, tokens: Uint32Array.of(1) }])).rejects.toEqual(closed);
      for (const object of [model, adapter, pass, cache]) object.close();
    });

    it('runs what is asked of it at once in turn', async () => {
      const model = createModel();
      const adapter = await createAdapter(model);
      const batch = batchOf([5, 6]);
      const coefficients = coefficientsOf(batch);
      const expected = await gradientOf(model, adapter, batch, coefficients);
      await adapter.write('gradient', new Float32Array(adapter.parameterCount));
      const pass = keep(model.createPass());
      await Promise.all([
        pass.forward(adapter, batch, { keep: true, coefficients }),
        pass.backward(adapter),
        score(model, adapter, batch),
      ]);
      expectClose(await adapter.read('gradient'), expected, gradient);
    });
  });

  function largestOfEveryFactor(model: DecoderModel, adapter: DecoderAdapter, found: Float32Array): number[] {
    const picked: number[] = [];
    let at = 0;
    for (const size of factorSizes(model, adapter)) {
      const indices = Array.from({ length: size }, (_, i) => at + i);
      indices.sort((a, b) => Math.abs(found[b]) - Math.abs(found[a]));
      picked.push(...indices.slice(0, 2));
      at += size;
    }
    expect(at).toBe(adapter.parameterCount);
    return picked;
  }
}

function factorSizes({ shape }: DecoderModel, adapter: DecoderAdapter): number[] {
  const query = shape.heads * shape.headDim;
  const key = shape.keyValueHeads * shape.headDim;
  const features = {
    q_proj: [shape.hiddenSize, query],
    k_proj: [shape.hiddenSize, key],
    v_proj: [shape.hiddenSize, key],
    o_proj: [query, shape.hiddenSize],
    gate_proj: [shape.hiddenSize, shape.intermediateSize],
    up_proj: [shape.hiddenSize, shape.intermediateSize],
    down_proj: [shape.intermediateSize, shape.hiddenSize],
  };
  return adapter.targets.flatMap(({ module, rank }) => features[module].map((size) => size * rank));
}

function logSoftmax(logits: Float32Array, token: number): number {
  const largest = Math.max(...logits);
  return logits[token] - largest - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

/** |found − expected| ≤ budget · the largest expected. */
function expectClose(found: ArrayLike<number>, expected: ArrayLike<number>, budget: number): void {
  let largest = 0;
  for (let i = 0; i < expected.length; i++) largest = Math.max(largest, Math.abs(expected[i]));
  expect(largest).toBeGreaterThan(0);
  expectNear(found, expected, budget * largest);
}

function expectNear(found: ArrayLike<number>, expected: ArrayLike<number>, budget: number): void {
  expect(found.length).toBe(expected.length);
  for (let i = 0; i < expected.length; i++) {
    const apart = Math.abs(found[i] - expected[i]);
    expect(apart <= budget, `[${i}]: ${found[i]} and ${expected[i]}`).toBe(true);
  }
}
