/** The adapter learning engine: creates, trains, uses, merges and keeps adapters of one language model. */
import { readPeft } from '../adapter/formats/peft-reader.js';
import { writePeft } from '../adapter/formats/peft-writer.js';
import { fail } from '../checks.js';
import type { LanguageAdapter, LanguageAdapterState } from '../llm/language-adapter.js';
import type { GenerateOptions, LanguageModel } from '../llm/language-model.js';
import type { TextExample } from '../llm/text-examples.js';
import { AdapterConfig } from './adapter-config.js';
import type { AdapterId } from './adapter-id.js';
import { type AdapterMetadata, type AdapterVersion, versionOf } from './adapter-metadata.js';
import { AdapterVault } from './adapter-vault.js';
import { encodeMemory, encodeWeights } from './adapter-weights.js';
import { attempt, expecting, naming } from './attempt.js';
import { allOf, ensure, notBlank } from './checks.js';
import {
  type EngineOptions,
  type Evaluation,
  type MergeSummary,
  type OperationOptions,
  requireEngineOptions,
  type TrainingSummary,
  type TrainOptions,
} from './engine-options.js';
import { lessonOf } from './feedback-lessons.js';
import type { FeedbackSignal } from './feedback-signal.js';
import { LoadedAdapters } from './loaded-adapters.js';
import { MERGE_STRATEGIES, type MergeStrategy } from './merge-strategy.js';
import { type MergeOptions, mergeModules } from './merging.js';
import { failure, type Result, success, type Unit } from './result.js';
import type { AdapterBlobStorage, AdapterStorage } from './storage.js';
import { asText, holdBack, learn, performanceOf } from './training.js';
import type { TrainingConfig } from './training-config.js';
import type { TrainingExample } from './training-example.js';
import { Turns } from './turns.js';

const MOST_HELD_BACK = 50;

interface Stored {
  metadata: AdapterMetadata;
  state: LanguageAdapterState;
}

/**
 * Every operation gives a Result, of which the messages are documented in docs/learning.md; none throws. Operations on one
 * adapter run one after another; between processes the metadata storage decides who was first. What fails or is cancelled has
 * changed nothing.
 */
export class AdapterLearningEngine {
  readonly #model: LanguageModel;
  readonly #metadata: AdapterStorage;
  readonly #vault: AdapterVault;
  readonly #options: Required<EngineOptions>;
  readonly #turns = new Turns();
  readonly #loaded: LoadedAdapters;

  /** Throws ERR_INVALID_ARGUMENT for a missing part and ERR_INVALID_CONFIG naming an option. */
  constructor(
    model: LanguageModel,
    metadataStorage: AdapterStorage,
    blobStorage: AdapterBlobStorage,
    options: EngineOptions = {},
  ) {
    for (const [name, part] of Object.entries({ model, metadataStorage, blobStorage })) {
      if (typeof part !== 'object' || part === null) fail('ERR_INVALID_ARGUMENT', name, part, 'an object');
    }
    this.#model = model;
    this.#metadata = metadataStorage;
    this.#options = requireEngineOptions(options);
    this.#vault = new AdapterVault(metadataStorage, blobStorage, model.hash, this.#options.keptVersions);
    this.#loaded = new LoadedAdapters(this.#options.loadedAdapters);
  }

  /** A new adapter, which changes nothing yet. */
  createAdapter(
    taskName: string,
    config: AdapterConfig,
    { signal }: OperationOptions = {},
  ): Promise<Result<AdapterId>> {
    return attempt(signal, async () => {
      const checked = allOf(
        () => notBlank('Task name', taskName),
        () => config.validate(),
      );
      if (checked.isFailure) return failure(checked.error);
      const state = await expecting('Failed to initialize adapter', signal, () => this.#fresh(config));
      if (state.isFailure) return failure(state.error);
      return this.#vault.storeNew(taskName, config, state.value, {}, signal);
    });
  }

  /** Trains on examples; the present version goes to the history. */
  trainAdapter(
    id: AdapterId,
    examples: readonly TrainingExample[],
    config: TrainingConfig,
    options: TrainOptions = {},
  ): Promise<Result<TrainingSummary>> {
    return attempt(options.signal, async () => {
      const checked = allOf(
        () => ensure(Array.isArray(examples) && examples.length > 0, 'Training examples cannot be empty'),
        () => config.validate(),
        () => allOf(...examples.map((each) => () => naming('Invalid training example', each.validate()))),
      );
      if (checked.isFailure) return failure(checked.error);
      const { heldBackShare, seed } = this.#options;
      const { training, heldBack } = holdBack(examples, heldBackShare, MOST_HELD_BACK, seed);
      const lessons = training.map(asText);
      return this.#train(id, lessons, training, heldBack, config, { ...options, learningRateShare: 1 });
    });
  }

  /** The answer to a prompt, with an adapter or by the base model alone. */
  generateWithAdapter(
    prompt: string,
    id?: AdapterId,
    options: Omit<GenerateOptions, 'adapter'> = {},
  ): Promise<Result<string>> {
    return attempt(options.signal, async () => {
      const checked = notBlank('Prompt', prompt);
      if (checked.isFailure) return failure(checked.error);
      return this.#withAdapter(id, options.signal, (adapter) =>
        expecting('Generation failed', options.signal, async () => {
          const { text } = await this.#model.generate(prompt, { ...options, adapter });
          return text;
        }),
      );
    });
  }

  /** Learns from what a user thinks of a generation, holding on to what the adapter knows. A score of 0 changes nothing. */
  learnFromFeedback(
    prompt: string,
    generation: string,
    feedback: FeedbackSignal,
    id: AdapterId,
    options: OperationOptions = {},
  ): Promise<Result<Unit>> {
    return attempt(options.signal, async () => {
      const checked = allOf(
        () => notBlank('Prompt', prompt),
        () => notBlank('Generation', generation),
        () => feedback.validate(),
      );
      if (checked.isFailure) return failure(checked.error);
      const lesson = lessonOf(prompt, generation, feedback);
      if (!lesson) return (await this.#vault.read(id, options.signal)).map(() => undefined);
      const config = { batchSize: 1, epochs: this.#options.feedbackSteps, incrementalUpdate: true };
      const settings = { ...options, learningRateShare: lesson.strength };
      return (await this.#train(id, [lesson.example], [], [], config, settings)).map(() => undefined);
    });
  }

  /** A new adapter from at least two others. */
  mergeAdapters(
    ids: readonly AdapterId[],
    strategy: MergeStrategy,
    options: OperationOptions & MergeOptions & { taskName?: string } = {},
  ): Promise<Result<MergeSummary>> {
    const { signal, taskName = `merged_${strategy}`, ...mergeOptions } = options;
    return attempt(signal, async () => {
      const checked = allOf(
        () => ensure(Array.isArray(ids) && ids.length >= 2, 'At least 2 adapters are required for merging'),
        () => ensure(new Set(ids).size === ids.length, 'An adapter can be merged only once'),
        () =>
          ensure(MERGE_STRATEGIES.includes(strategy), `Merge strategy must be one of ${MERGE_STRATEGIES.join(', ')}`),
        () => notBlank('Task name', taskName),
      );
      if (checked.isFailure) return failure(checked.error);
      const sources: Stored[] = [];
      for (const id of ids) {
        const metadata = (await this.#metadata.getMetadata(id, { signal })).mapError(
          (error) => `Adapter ${id} not found: ${error}`,
        );
        if (metadata.isFailure) return failure(metadata.error);
        const state = await this.#vault.weightsOf(
          `Failed to retrieve weights for adapter ${id}`,
          metadata.value,
          signal,
        );
        if (state.isFailure) return failure(state.error);
        sources.push({ metadata: metadata.value, state: state.value });
      }
      const merged = await expecting('Merge failed', signal, () => this.#merge(sources, strategy, mergeOptions));
      if (merged.isFailure) return failure(merged.error);
      if (merged.value.isFailure) return failure(`Merge failed: ${merged.value.error}`);
      const { state, residual } = merged.value.value;
      const config = configOf(state, sources[0].metadata.config);
      const origin = { parents: [...ids], mergeStrategy: strategy };
      const stored = await this.#vault.storeNew(taskName, config, state, origin, signal, 'merged ');
      return stored.map((id) => ({ id, parents: [...ids], strategy, residual }));
    });
  }

  /** All adapters, or those of a task, the oldest first. */
  listAdapters(options: OperationOptions & { taskName?: string } = {}): Promise<Result<AdapterMetadata[]>> {
    const { signal, taskName } = options;
    return attempt(signal, () =>
      taskName === undefined
        ? this.#metadata.listAdapters({ signal })
        : this.#metadata.getAdaptersByTask(taskName, { signal }),
    );
  }

  getAdapter(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<AdapterMetadata>> {
    return attempt(signal, () => this.#vault.read(id, signal));
  }

  /** Removes the adapter with all its versions; succeeds also where there is none. */
  deleteAdapter(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<Unit>> {
    return attempt(signal, () => this.#turns.run(id, () => this.#vault.delete(id, signal)));
  }

  /** The versions that an adapter can go back to, the newest first, with the present one in front. */
  versions(id: AdapterId, options: OperationOptions = {}): Promise<Result<AdapterVersion[]>> {
    return attempt(options.signal, async () =>
      (await this.#vault.read(id, options.signal)).map((metadata) => [versionOf(metadata), ...metadata.history]),
    );
  }

  /** Makes an earlier version, by default the last one, the present one again, under a new number. */
  rollback(id: AdapterId, options: OperationOptions & { version?: number } = {}): Promise<Result<AdapterMetadata>> {
    const { signal, version } = options;
    return attempt(signal, () =>
      this.#turns.run(id, async () => {
        const metadata = await this.#vault.read(id, signal);
        if (metadata.isFailure) return metadata;
        const { history } = metadata.value;
        const target = version === undefined ? history[0] : history.find((each) => each.version === version);
        if (!target) {
          const known = history.map((each) => each.version).join(', ') || 'none';
          return failure(`Version not found: ${version ?? 'an earlier one'} (known: ${known})`);
        }
        return this.#vault.update(metadata.value.withVersion(target), signal);
      }),
    );
  }

  /** How well an adapter, or the base model, predicts the outputs of examples. */
  evaluate(
    examples: readonly TrainingExample[],
    id?: AdapterId,
    { signal }: OperationOptions = {},
  ): Promise<Result<Evaluation>> {
    return attempt(signal, async () => {
      const checked = allOf(
        () => ensure(Array.isArray(examples) && examples.length > 0, 'Evaluation examples cannot be empty'),
        () => allOf(...examples.map((each) => () => naming('Invalid evaluation example', each.validate()))),
      );
      if (checked.isFailure) return failure(checked.error);
      return this.#withAdapter(id, signal, (adapter) =>
        expecting('Evaluation failed', signal, async () => {
          const performanceScore = (await performanceOf(this.#model, adapter, examples, signal)) as number;
          return { loss: -Math.log(performanceScore), performanceScore };
        }),
      );
    });
  }

  /** Writes the adapter as a PEFT folder. */
  exportAdapter(id: AdapterId, folder: string, { signal }: OperationOptions = {}): Promise<Result<Unit>> {
    return attempt(signal, () =>
      this.#withAdapter(id, signal, (adapter) =>
        expecting('Export failed', signal, async () => {
          await writePeft(folder, await (adapter as LanguageAdapter).modules());
          return undefined;
        }),
      ),
    );
  }

  /** A new adapter from a PEFT folder. */
  importAdapter(taskName: string, folder: string, { signal }: OperationOptions = {}): Promise<Result<AdapterId>> {
    return attempt(signal, async () => {
      const checked = notBlank('Task name', taskName);
      if (checked.isFailure) return failure(checked.error);
      const state = await expecting('Import failed', signal, async () => {
        const { modules } = await readPeft(folder);
        return stateOf(await this.#model.importAdapter(modules, { train: false }));
      });
      if (state.isFailure) return failure(state.error);
      return this.#vault.storeNew(taskName, configOf(state.value, AdapterConfig.default()), state.value, {}, signal);
    });
  }

  /** Whether the stored weights are whole and fit the model: their size in bytes. */
  validateAdapter(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<number>> {
    return attempt(signal, async () => {
      const metadata = await this.#vault.read(id, signal);
      if (metadata.isFailure) return failure(metadata.error);
      const state = await this.#vault.weightsOf('Validation failed', metadata.value, signal);
      if (state.isFailure) return failure(state.error);
      const fits = await expecting('Validation failed', signal, async () => {
        (await this.#open(state.value)).close();
        return undefined;
      });
      if (fits.isFailure) return failure(fits.error);
      return naming('Validation failed', await this.#vault.sizeOf(metadata.value, signal));
    });
  }

  /** Frees the adapters in memory; the model and the storages stay open. */
  close(): void {
    this.#loaded.clear();
  }

  async #fresh(config: AdapterConfig): Promise<LanguageAdapterState> {
    const { rank, useRSLoRA: rsLora } = config;
    const targetModules = config.modules().value;
    return stateOf(
      await this.#model.createAdapter({ rank, rsLora, targetModules, seed: this.#options.seed, train: false }),
    );
  }

  async #open(state: LanguageAdapterState): Promise<LanguageAdapter> {
    const adapter = this.#model.createEmptyAdapter(state.targets, { train: false });
    await adapter.restore(state);
    return adapter;
  }

  async #merge(sources: readonly Stored[], strategy: MergeStrategy, options: MergeOptions) {
    const modules = await Promise.all(
      sources.map(async ({ state }) => {
        const adapter = await this.#open(state);
        const own = await adapter.modules();
        adapter.close();
        return own;
      }),
    );
    const rank =
      options.rank ?? Math.max(...sources.flatMap(({ state }) => state.targets.map((target) => target.rank)));
    const scores = sources.map(({ metadata }) => metadata.performanceScore);
    const merged = mergeModules(modules, strategy, scores, { ...options, rank });
    if (merged.isFailure) return failure<{ state: LanguageAdapterState; residual: number }>(merged.error);
    const state = await stateOf(await this.#model.importAdapter(merged.value.modules, { train: false }));
    return success({ state, residual: merged.value.residual });
  }

  async #withAdapter<T>(
    id: AdapterId | undefined,
    signal: AbortSignal | undefined,
    use: (adapter: LanguageAdapter | undefined) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    if (id === undefined) return use(undefined);
    const metadata = await this.#vault.read(id, signal);
    if (metadata.isFailure) return failure(metadata.error);
    const { version, blobStoragePath } = metadata.value;
    let missing: Result<LanguageAdapterState> | undefined;
    try {
      return await this.#loaded.use(
        `${id} ${version} ${blobStoragePath}`,
        async () => {
          const state = await this.#vault.weightsOf('Failed to retrieve adapter weights', metadata.value, signal);
          if (state.isFailure) missing = state;
          return this.#open(state.value);
        },
        use,
      );
    } catch (error) {
      if (missing?.isFailure) return failure(missing.error);
      throw error;
    }
  }

  #train(
    id: AdapterId,
    lessons: readonly TextExample[],
    examples: readonly TrainingExample[],
    heldBack: readonly TrainingExample[],
    config: Pick<TrainingConfig, 'batchSize' | 'epochs' | 'incrementalUpdate'>,
    options: TrainOptions & { learningRateShare: number },
  ): Promise<Result<TrainingSummary>> {
    const { signal, onProgress, learningRateShare } = options;
    return this.#turns.run(id, async () => {
      if (signal?.aborted) return failure('Operation cancelled');
      const found = await this.#vault.read(id, signal);
      if (found.isFailure) return failure(found.error);
      const metadata = found.value;
      const state = await this.#vault.weightsOf('Failed to retrieve adapter weights', metadata, signal);
      if (state.isFailure) return failure(state.error);
      const memory = await this.#vault.memoryOf(metadata, signal);
      if (memory.isFailure) return failure(memory.error);
      const trained = await expecting('Training failed', signal, async () => {
        const plan = {
          learningRate: metadata.config.learningRate * learningRateShare,
          maxSteps: metadata.config.maxSteps,
          batchSize: config.batchSize,
          epochs: config.epochs,
          incremental: config.incrementalUpdate,
          seed: this.#options.seed,
          signal,
          onProgress,
        };
        const result = await learn(this.#model, state.value, memory.value, lessons, examples, plan, this.#options);
        const adapter = await this.#open(result.state);
        try {
          return { ...result, score: await performanceOf(this.#model, adapter, heldBack, signal) };
        } finally {
          adapter.close();
        }
      });
      if (trained.isFailure) return failure(trained.error);
      const { steps, tokens, losses, score } = trained.value;
      const weights = encodeWeights('Trained adapter', trained.value.state);
      if (weights.isFailure) return failure(weights.error);
      const memoryBytes = encodeMemory(trained.value.state, trained.value.memory);
      const next = (paths: { blobStoragePath: string; memoryStoragePath: string }) =>
        metadata.withTraining(examples.length || lessons.length, paths, score);
      const stored = await this.#vault.storeNext(id, weights.value, memoryBytes, next, signal);
      return stored.map(({ version }) => ({
        version,
        examples: lessons.length,
        steps,
        tokens,
        initialLoss: losses[0],
        finalLoss: losses[losses.length - 1],
        ...(score !== undefined && { performanceScore: score }),
      }));
    });
  }
}

async function stateOf(adapter: LanguageAdapter): Promise<LanguageAdapterState> {
  const state = await adapter.state();
  adapter.close();
  return state;
}

/** What a configuration says of an adapter that was not made from one: ranks may differ, the largest counts. */
function configOf({ targets }: LanguageAdapterState, base: AdapterConfig): AdapterConfig {
  return base.with({
    rank: Math.max(...targets.map(({ rank }) => rank)),
    targetModules: [...new Set(targets.map(({ module }) => module))].join(','),
  });
}
