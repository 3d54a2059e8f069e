/** One training of one adapter: from its weights and memory to new ones. */
import { hashSeed, Random } from '../adapter/random.js';
import { shuffled } from '../llm/batches.js';
import type { LanguageAdapter, LanguageAdapterState } from '../llm/language-adapter.js';
import type { LanguageModel } from '../llm/language-model.js';
import { sequencesOf } from '../llm/objectives.js';
import type { TextExample } from '../llm/text-examples.js';
import type { TrainingProgress } from '../llm/training-options.js';
import type { AdapterMemory } from './adapter-weights.js';
import type { TrainingExample } from './training-example.js';

/** What is to be learnt, and what becomes of the memory. */
export interface Lessons {
  texts: readonly TextExample[];
  /** To be replayed in later incremental updates. */
  remembered: readonly TrainingExample[];
  /** Not to be replayed any more. */
  unwanted?: { input: string; output: string };
  /** Of which the Fisher is taken; with none, Fisher and anchor stay. */
  consolidated: readonly TrainingExample[];
}

export interface LessonPlan {
  learningRate: number;
  maxSteps: number;
  batchSize: number;
  epochs: number;
  /** Hold on to what is in the memory. */
  incremental: boolean;
  seed: number;
  signal?: AbortSignal;
  onProgress?: (progress: TrainingProgress) => void;
}

export interface MemoryOptions {
  /** λ of EWC in incremental updates. */
  ewcLambda: number;
  /** γ: what an earlier Fisher counts for when a new one is added. */
  fisherDecay: number;
  /** Examples on which the Fisher of a training is measured. */
  fisherSamples: number;
  /** Examples that are remembered for replay. */
  replaySize: number;
  /** Replayed examples for each new one in incremental updates. */
  replayShare: number;
}

export interface TrainedAdapter {
  state: LanguageAdapterState;
  memory: AdapterMemory;
  steps: number;
  losses: number[];
  tokens: number;
}

/** The state of the adapter after learning, and what it then has to remember. Throws what LanguageModel.train throws. */
export async function learn(
  model: LanguageModel,
  before: LanguageAdapterState,
  memory: AdapterMemory,
  { texts, remembered, unwanted, consolidated }: Lessons,
  plan: LessonPlan,
  options: MemoryOptions,
): Promise<TrainedAdapter> {
  const { incremental, ...settings } = plan;
  const { seed, signal } = plan;
  const kept = memory.examples.filter(
    ({ input, output }) => !(input === unwanted?.input && output === unwanted.output),
  );
  const adapter = model.createEmptyAdapter(before.targets);
  try {
    const { fisher, anchor } = memory;
    await adapter.restore({ ...before, steps: 0, fisher, anchor });
    const report = await model.train(adapter, texts, {
      ...settings,
      ewcLambda: incremental && fisher ? options.ewcLambda : 0,
      ...(incremental && { replay: kept.map(asText), replayShare: options.replayShare }),
    });
    const chosen = sample(consolidated, options.fisherSamples, seed).map(asText);
    if (chosen.length) await model.fisher(adapter, chosen, { decay: options.fisherDecay, seed, signal });
    const after = await adapter.state();
    return {
      state: { targets: before.targets, steps: before.steps + report.steps, parameters: after.parameters },
      memory: {
        fisher: after.fisher,
        anchor: after.anchor,
        examples: sample([...kept, ...remembered], options.replaySize, seed),
      },
      steps: report.steps,
      losses: report.losses,
      tokens: report.tokens,
    };
  } finally {
    adapter.close();
  }
}

/**
 * exp of the mean log-probability of the tokens of the examples' outputs: 1 where the model is sure of every token.
 * Undefined without examples.
 */
export async function performanceOf(
  model: LanguageModel,
  adapter: LanguageAdapter | undefined,
  examples: readonly TrainingExample[],
  signal?: AbortSignal,
): Promise<number | undefined> {
  if (examples.length === 0) return undefined;
  const sequences = model.encode('examples', examples.map(asText)).flatMap(sequencesOf);
  const logs = await model.scoreTokens(sequences, { adapter, signal });
  const tokens = logs.reduce((count, each) => count + each.length, 0);
  return Math.exp(logs.reduce((sum, each) => each.reduce((a, b) => a + b, sum), 0) / tokens);
}

/** `share` of the examples, at most `most` and none of fewer than ten, to be held back from training. */
export function holdBack(
  examples: readonly TrainingExample[],
  share: number,
  most: number,
  seed: number,
): { training: readonly TrainingExample[]; heldBack: readonly TrainingExample[] } {
  const count = examples.length < 10 ? 0 : Math.min(Math.floor(share * examples.length), most);
  const order = shuffled(examples, new Random(hashSeed(seed, 'held back')));
  return { heldBack: order.slice(0, count), training: count === 0 ? examples : order.slice(count) };
}

export function asText({ input, output, weight }: TrainingExample): TextExample {
  return { prompt: input, completion: output, weight };
}

function sample<T>(values: readonly T[], count: number, seed: number): T[] {
  return values.length <= count ? [...values] : shuffled(values, new Random(hashSeed(seed, 'sample'))).slice(0, count);
}
