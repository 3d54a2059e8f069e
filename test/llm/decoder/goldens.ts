/** What PyTorch makes of the models of test/golden/llm (see its README), held against a decoder backend. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pathOf, placeOf } from '../../../src/llm/adapter-config.js';
import type {
  AdapterVector,
  DecoderAdapter,
  DecoderBackend,
  DecoderModel,
  TokenBatch,
} from '../../../src/llm/decoder/contract.js';
import { adapterLayout } from '../../../src/llm/decoder/layout.js';
import { openModelFolder } from '../../../src/llm/model-folder.js';
import {
  type GoldenSequence,
  LLM_GOLDENS,
  type LlmGolden,
  type LlmGoldenName,
  readLlmGolden,
} from '../../support/llm-golden.js';
import { OPTIONS } from './fixtures.js';

export interface GoldenBudgets {
  /** Of logits and log-probabilities, absolute. */
  logit: number;
  /** Of gradients and Fisher, relative to the largest entry of the tensor. */
  gradient: number;
  /** Of a parameter after a step, relative to the learning rate. */
  step: number;
}

interface Subject {
  golden: LlmGolden;
  model: DecoderModel;
  adapter: DecoderAdapter;
}

async function createSubject(backend: DecoderBackend, name: LlmGoldenName): Promise<Subject> {
  const golden = await readLlmGolden(name);
  const folder = await openModelFolder(golden.folder);
  const model = backend.createModel(folder.config.shape, OPTIONS);
  await folder.load(model);
  await folder.close();
  const targets = [...golden.adapter].map(([path, { rank, scaling }]) => {
    const place = placeOf(path);
    if (!place) throw new Error(`${path} is no projection`);
    return { ...place, rank, scaling };
  });
  const adapter = model.createAdapter(targets, { train: true });
  await adapter.write(
    'parameters',
    packed(golden, (path, matrix) => golden.adapter.get(path)?.[matrix] as Float32Array),
  );
  return { golden, model, adapter };
}

/** The numbers of all targets in the order of an adapter's vectors. */
function packed(golden: LlmGolden, of: (path: string, matrix: 'loraA' | 'loraB') => ArrayLike<number>): Float32Array {
  const parts = [...golden.adapter.keys()].flatMap((path) => [of(path, 'loraA'), of(path, 'loraB')]);
  return Float32Array.from(parts.flatMap((part) => Array.from(part)));
}

const batchOf = (sequences: readonly GoldenSequence[]): TokenBatch => {
  const offsets = [0];
  const positions: number[] = [];
  for (const { ids, labels } of sequences) {
    const start = offsets[offsets.length - 1];
    for (const [t, label] of labels.entries()) if (label !== -100) positions.push(start + t);
    offsets.push(start + ids.length);
  }
  return {
    tokens: Uint32Array.from(sequences.flatMap(({ ids }) => ids)),
    offsets: Uint32Array.from(offsets),
    positions: Uint32Array.from(positions),
  };
};

/** ∂(Σ weight·loss / Σ weight) / ∂(−log p) of every target. */
function coefficientsOf(sequences: readonly GoldenSequence[]): Float32Array {
  const total = sequences.reduce((sum, { weight }) => sum + weight, 0);
  const shares = sequences.flatMap(({ weight, target_log_probs: targets }) =>
    targets.map(() => weight / total / targets.length),
  );
  return Float32Array.from(shares);
}

export function describeGoldens(backend: DecoderBackend, budgets: GoldenBudgets): void {
  describe.each(LLM_GOLDENS)(`the ${backend.name} decoder agrees with PyTorch on %s:`, (name) => {
    let subject: Subject;
    beforeAll(async () => {
      subject = await createSubject(backend, name);
    });
    afterAll(() => {
      subject.adapter.close();
      subject.model.close();
    });

    /** The largest distance of a vector from what the golden has under `prefix`, in the unit that `scaleOf` gives. */
    async function distance(vector: AdapterVector, prefix: string, scaleOf: (expected: Float64Array) => number) {
      const { golden, model, adapter } = subject;
      const values = await adapter.read(vector);
      let worst = 0;
      for (const { layer, module, offsetA, offsetB } of adapterLayout(model.shape, adapter.targets).targets) {
        const path = pathOf({ layer, module });
        for (const [matrix, offset] of [
          ['lora_A', offsetA],
          ['lora_B', offsetB],
        ] as const) {
          const expected = golden.tensor(`${prefix}.${path}.${matrix}`);
          const scale = scaleOf(expected);
          for (const [i, value] of expected.entries()) {
            worst = Math.max(worst, Math.abs(values[offset + i] - value) / scale);
          }
        }
      }
      return worst;
    }
    const largest = (expected: Float64Array) => expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

    async function take(sequences: readonly GoldenSequence[], coefficients = coefficientsOf(sequences)) {
      const pass = subject.model.createPass();
      const result = await pass.forward(subject.adapter, batchOf(sequences), { keep: true, coefficients });
      await pass.backward(subject.adapter, undefined);
      pass.close();
      return result.logProbabilities;
    }

    const clear = () => subject.adapter.write('gradient', new Float32Array(subject.adapter.parameterCount));

    it('logits and log-probabilities', async () => {
      const { golden, model, adapter } = subject;
      const { sequences } = golden.expected;
      const cache = model.createCache(1, 32);
      for (const [used, prefix, count] of [
        [undefined, 'base_logits', 1],
        [adapter, 'logits', 3],
      ] as const) {
        for (const [i, { ids }] of sequences.slice(0, count).entries()) {
          const expected = golden.tensor(`${prefix}.${i}`);
          const { vocabSize } = model.shape;
          cache.truncate(0, 0);
          for (const [t, id] of ids.entries()) {
            const logits = await cache.decode([{ sequence: 0, tokens: Uint32Array.of(id), adapter: used }]);
            const row = expected.subarray(t * vocabSize, (t + 1) * vocabSize);
            const worst = row.reduce((most, value, k) => Math.max(most, Math.abs(value - logits[k])), 0);
            expect(worst, `${prefix}.${i} at ${t}`).toBeLessThan(budgets.logit);
          }
        }
      }
      cache.close();
      const pass = model.createPass();
      const { logProbabilities } = await pass.forward(adapter, batchOf(sequences));
      pass.close();
      const expected = sequences.flatMap(({ target_log_probs: targets }) => targets);
      expect(logProbabilities).toHaveLength(expected.length);
      for (const [i, value] of expected.entries()) {
        expect(Math.abs(logProbabilities[i] - value)).toBeLessThan(budgets.logit);
      }
    });

    it('the likeliest continuations', async () => {
      const { golden, model, adapter } = subject;
      const cache = model.createCache(1, 32);
      for (const [i, { prompt, ids }] of golden.expected.greedy.entries()) {
        cache.truncate(0, 0);
        const found: number[] = [];
        for (let next = Uint32Array.from(prompt); found.length < ids.length; ) {
          const logits = await cache.decode([{ sequence: 0, tokens: next, adapter: i === 1 ? adapter : undefined }]);
          found.push(logits.indexOf(Math.max(...logits)));
          next = Uint32Array.of(found[found.length - 1]);
        }
        expect(found).toEqual(ids);
      }
      cache.close();
    });

    it('gradients of one sequence and of a weighted batch', async () => {
      const { sequences } = subject.golden.expected;
      await take(sequences.slice(0, 1));
      expect(await distance('gradient', 'first_grad', largest)).toBeLessThan(budgets.gradient);
      await clear();
      await take(sequences);
      expect(await distance('gradient', 'grad', largest)).toBeLessThan(budgets.gradient);
      await clear();
    });

    it('the empirical Fisher information', async () => {
      const { sequences } = subject.golden.expected;
      for (const sequence of sequences) {
        await take([sequence], new Float32Array(sequence.target_log_probs.length).fill(-1));
        await subject.adapter.addFisher(1 / sequences.length);
      }
      expect(await distance('fisher', 'fisher', largest)).toBeLessThan(2 * budgets.gradient);
    });

    it('three steps of AdamW', async () => {
      const { sequences, losses, grad_norms: norms, ...expected } = subject.golden.expected;
      const rate = expected.learning_rate;
      for (const [i, loss] of losses.entries()) {
        const logs = await take(sequences);
        const found = coefficientsOf(sequences).reduce((sum, coefficient, k) => sum - coefficient * logs[k], 0);
        expect(Math.abs(found - loss)).toBeLessThan(budgets.logit);
        const step = { learningRate: rate, step: i + 1, weightDecay: expected.weight_decay };
        const norm = await subject.adapter.step(step);
        expect(Math.abs(norm / norms[i] - 1)).toBeLessThan(budgets.gradient);
        if (i !== 1) expect(await distance('parameters', `step${i + 1}`, () => rate)).toBeLessThan(budgets.step);
      }
    });
  });
}
