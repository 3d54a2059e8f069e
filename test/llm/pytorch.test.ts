/** Training, consolidation and generation against PyTorch in float64 (test/golden/llm/README.md); decoder/goldens.ts is for the decoders. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { pathOf } from '../../src/llm/adapter-config.js';
import type { DecoderModel } from '../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../src/llm/decoder/js/model.js';
import { adapterLayout } from '../../src/llm/decoder/layout.js';
import { consolidateLanguageAdapter } from '../../src/llm/fisher.js';
import { Generator } from '../../src/llm/generator.js';
import { adapterFromModules, type LanguageAdapter } from '../../src/llm/language-adapter.js';
import { openModelFolder } from '../../src/llm/model-folder.js';
import type { TokenExample, TokenSequence } from '../../src/llm/objectives.js';
import { trainLanguageAdapter } from '../../src/llm/trainer.js';
import type { TrainingOptions } from '../../src/llm/training-options.js';
import { type GoldenSequence, LLM_GOLDENS, type LlmGolden, readLlmGolden } from '../support/llm-golden.js';
import { OPTIONS } from './decoder/fixtures.js';

/** Relative to the largest number of a tensor. */
const BUDGET = 1e-4;

describe.each(LLM_GOLDENS)('PyTorch agrees on %s:', (name) => {
  let golden: LlmGolden;
  let model: DecoderModel;
  let contextLength: number;
  const adapters: LanguageAdapter[] = [];
  beforeAll(async () => {
    golden = await readLlmGolden(name);
    const folder = await openModelFolder(golden.folder);
    model = jsDecoder.createModel(folder.config.shape, OPTIONS);
    await folder.load(model);
    await folder.close();
    ({ contextLength } = folder.config);
  });
  afterAll(() => {
    for (const each of [...adapters, model]) each.close();
  });

  const createAdapter = async () => {
    const adapter = await adapterFromModules(model, golden.adapter);
    adapters.push(adapter);
    return adapter;
  };
  const examples = () => golden.expected.sequences.map(exampleOf);

  it('three steps of AdamW', async () => {
    const { learning_rate: learningRate, weight_decay: weightDecay, losses, grad_norms } = golden.expected;
    const train = async (epochs: number) => {
      const adapter = await createAdapter();
      const gradNorms: number[] = [];
      const settings: TrainingOptions = {
        epochs,
        batchSize: 3,
        learningRate,
        weightDecay,
        schedule: 'constant',
        warmupSteps: 0,
        maxGradNorm: Infinity,
        onProgress: ({ gradNorm }) => gradNorms.push(gradNorm),
      };
      const report = await trainLanguageAdapter(model, adapter, examples(), { contextLength, ...settings });
      return { ...report, gradNorms, adapter, parameters: (await adapter.state()).parameters };
    };
    const one = await train(1);
    expectFactors(model, golden, 'step1.', one.adapter, one.parameters);
    const three = await train(3);
    expectClose('losses', three.losses, losses);
    expectClose('grad_norms', three.gradNorms, grad_norms);
    expectFactors(model, golden, 'step3.', three.adapter, three.parameters);
  });

  it('the empirical Fisher information', async () => {
    const adapter = await createAdapter();
    const sequences = examples().map(({ sequence }) => sequence);
    await consolidateLanguageAdapter(model, adapter, sequences, { kind: 'empirical', decay: 0 });
    expectFactors(model, golden, 'fisher.', adapter, await adapter.decoder.read('fisher'), 2 * BUDGET);
  });

  it('greedy continuations', async () => {
    const generator = new Generator(model, { sequences: 2, positions: 32 });
    const adapter = await createAdapter();
    const found = await Promise.all(
      golden.expected.greedy.map(({ prompt, ids }, i) =>
        generator.generate({
          prompt: Uint32Array.from(prompt),
          adapter: i ? adapter : undefined,
          maxNewTokens: ids.length,
        }),
      ),
    );
    expect(found.map(({ tokens }) => [...tokens])).toEqual(golden.expected.greedy.map(({ ids }) => ids));
    generator.close();
  });
});

function batchOf({ ids, labels }: GoldenSequence) {
  const positions = ids.map((_, t) => t).filter((t) => t > 0 && labels[t] >= 0);
  return { tokens: Uint32Array.from(ids), positions: Uint32Array.from(positions) };
}

function exampleOf(sequence: GoldenSequence): Extract<TokenExample, { sequence: TokenSequence }> {
  const { tokens, positions } = batchOf(sequence);
  return { kind: 'supervised', weight: sequence.weight, sequence: { tokens, targets: positions } };
}

function expectFactors(
  { shape }: DecoderModel,
  golden: LlmGolden,
  prefix: string,
  adapter: LanguageAdapter,
  found: Float32Array,
  budget = BUDGET,
): void {
  const { targets } = adapterLayout(shape, adapter.targets);
  expect(golden.names(prefix).length).toBe(2 * targets.length);
  for (const target of targets) {
    const { offsetA, offsetB, rank, out } = target;
    const path = `${prefix}${pathOf(target)}`;
    expectClose(`${path}.lora_A`, found.subarray(offsetA, offsetB), golden.tensor(`${path}.lora_A`), budget);
    const end = offsetB + out * rank;
    expectClose(`${path}.lora_B`, found.subarray(offsetB, end), golden.tensor(`${path}.lora_B`), budget);
  }
}

function expectClose(name: string, found: ArrayLike<number>, expected: ArrayLike<number>, budget = BUDGET): void {
  expect(found.length, name).toBe(expected.length);
  let [largest, apart] = [0, 0];
  for (let i = 0; i < expected.length; i++) {
    largest = Math.max(largest, Math.abs(expected[i]));
    apart = Math.max(apart, Math.abs(found[i] - expected[i]));
  }
  expect(largest, name).toBeGreaterThan(0);
  expect(apart / largest, name).toBeLessThan(budget);
}
