/** One training of a stored adapter: read, learn, measure, store the next version. */
import type { LanguageAdapterState } from '../llm/language-adapter.js';
import type { LanguageModel } from '../llm/language-model.js';
import type { AdapterId } from './adapter-id.js';
import type { AdapterMetadata } from './adapter-metadata.js';
import { withState } from './adapter-states.js';
import type { AdapterVault } from './adapter-vault.js';
import { type AdapterMemory, encodeMemory, encodeWeights } from './adapter-weights.js';
import { expecting, untilAborted } from './attempt.js';
import type { EngineOptions, TrainingSummary } from './engine-options.js';
import { failure, type Result } from './result.js';
import { type LessonPlan, type Lessons, learn, performanceOf } from './training.js';
import type { TrainingExample } from './training-example.js';

export interface TrainingRun {
  model: LanguageModel;
  vault: AdapterVault;
  options: Required<EngineOptions>;
  lessons: Lessons;
  /** For the performance score. */
  heldBack: readonly TrainingExample[];
  planOf(metadata: AdapterMetadata): LessonPlan;
  signal: AbortSignal | undefined;
}

interface Learner {
  metadata: AdapterMetadata;
  state: LanguageAdapterState;
  memory: AdapterMemory;
}

export async function runTraining(id: AdapterId, run: TrainingRun): Promise<Result<TrainingSummary>> {
  const { model, vault, options, lessons, heldBack, planOf, signal } = run;
  const found = await vault.atPresent<Learner>(id, signal, async (metadata) => {
    const state = await vault.weightsOf('Failed to retrieve adapter weights', metadata, signal);
    if (state.isFailure) return failure(state.error);
    const memory = await vault.memoryOf(metadata, signal);
    return memory.map((known) => ({ metadata, state: state.value, memory: known }));
  });
  if (found.isFailure) return failure(found.error);
  const { metadata, state, memory } = found.value;
  const work = async () => {
    const result = await learn(model, state, memory, lessons, planOf(metadata), options);
    const score = (adapter: Parameters<typeof performanceOf>[1]) => performanceOf(model, adapter, heldBack, signal);
    return { ...result, score: await withState(model, result.state, score) };
  };
  const trained = await expecting('Training failed', signal, () => untilAborted(work(), signal));
  if (trained.isFailure) return failure(trained.error);
  const { steps, tokens, losses, score } = trained.value;
  const weights = encodeWeights('trained adapter', trained.value.state);
  if (weights.isFailure) return failure(weights.error);
  const memoryBytes = encodeMemory(trained.value.state, trained.value.memory);
  const given = lessons.texts.length + heldBack.length;
  const next = (paths: { blobStoragePath: string; memoryStoragePath: string }) =>
    metadata.withTraining(given, paths, score);
  const stored = await vault.storeNext(id, weights.value, memoryBytes, next, signal);
  return stored.map(({ version }) => ({
    version,
    examples: lessons.texts.length,
    heldBack: heldBack.length,
    steps,
    tokens,
    initialLoss: losses[0],
    finalLoss: losses[losses.length - 1],
    ...(score !== undefined && { performanceScore: score }),
  }));
}
