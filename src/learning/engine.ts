/** The adapter learning engine: creates, trains, uses, merges and keeps adapters of one language model. */
import { fail } from '../checks.js';
import type { LanguageAdapter, LanguageAdapterState } from '../llm/language-adapter.js';
import type { LanguageModel } from '../llm/language-model.js';
import type { AdapterConfig } from './adapter-config.js';
import type { AdapterId } from './adapter-id.js';
import { type AdapterMetadata, type AdapterVersion, versionOf } from './adapter-metadata.js';
import {
  configOf,
  freshState,
  modulesOf,
  openState,
  readFolder,
  stateOfModules,
  withState,
  writeFolder,
} from './adapter-states.js';
import { AdapterVault, type NewAdapter } from './adapter-vault.js';
import { attempt, expecting, failureOf, naming, untilAborted } from './attempt.js';
import { allOf, ensure, notBlank } from './checks.js';
import {
  type AdapterGenerateOptions,
  type EngineOptions,
  type Evaluation,
  type MergeAdaptersOptions,
  type MergeSummary,
  type OperationOptions,
  requireEngineOptions,
  type TrainingSummary,
  type TrainOptions,
} from './engine-options.js';
import { lessonOf } from './feedback-lessons.js';
import type { FeedbackSignal } from './feedback-signal.js';
import { type HeldAdapter, LoadedAdapters } from './loaded-adapters.js';
import { MERGE_STRATEGIES, type MergeStrategy } from './merge-strategy.js';
import { mergeModules } from './merging.js';
import { failure, type Result, success, type Unit } from './result.js';
import type { AdapterBlobStorage, AdapterStorage } from './storage.js';
import { asText, holdBack, type LessonPlan, type Lessons, performanceOf } from './training.js';
import type { TrainingConfig } from './training-config.js';
import { TrainingExample } from './training-example.js';
import { runTraining } from './training-run.js';
import { Turns } from './turns.js';

const MOST_HELD_BACK = 50;

type Source = { metadata: AdapterMetadata; state: LanguageAdapterState };

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
    const { keptVersions, logger, loadedAdapters } = this.#options;
    this.#vault = new AdapterVault(metadataStorage, blobStorage, { baseModel: model.hash, keptVersions, logger });
    this.#loaded = new LoadedAdapters(loadedAdapters);
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
      const state = await expecting('Failed to initialize adapter', signal, () =>
        freshState(this.#model, config, this.#options.seed),
      );
      if (state.isFailure) return failure(state.error);
      return this.#storeNew({ kind: 'adapter', taskName, config, state: state.value }, signal);
    });
  }

  /** Trains on examples; the present version goes to the history. */
  trainAdapter(
    id: AdapterId,
    examples: readonly TrainingExample[],
    config: TrainingConfig,
    options: TrainOptions = {},
  ): Promise<Result<TrainingSummary>> {
    const { signal, onProgress } = options;
    return attempt(signal, async () => {
      const checked = allOf(
        () => ensure(Array.isArray(examples) && examples.length > 0, 'Training examples cannot be empty'),
        () => config.validate(),
        () => allOf(...examples.map((each) => () => naming('Invalid training example', each.validate()))),
      );
      if (checked.isFailure) return failure(checked.error);
      const { heldBackShare, seed } = this.#options;
      const { training, heldBack } = holdBack(examples, heldBackShare, MOST_HELD_BACK, seed);
      const lessons = { texts: training.map(asText), remembered: training, consolidated: training };
      const { batchSize, epochs, incrementalUpdate: incremental } = config;
      const rest = { batchSize, epochs, incremental, onProgress };
      return this.#train(id, lessons, heldBack, signal, ({ learningRate }) => ({ learningRate, ...rest }));
    });
  }

  /** The answer to a prompt, with an adapter or by the base model alone. */
  generateWithAdapter(prompt: string, id?: AdapterId, options: AdapterGenerateOptions = {}): Promise<Result<string>> {
    const { signal } = options;
    return attempt(signal, async () => {
      const checked = notBlank('Prompt', prompt);
      if (checked.isFailure) return failure(checked.error);
      return this.#withAdapter(id, signal, 'Generation failed', async (adapter) => {
        const { text } = await this.#model.generate(prompt, { ...options, adapter });
        return text;
      });
    });
  }

  /** The answer in pieces, as it is written; a failure is the last one. Leaving the loop ends the generation. */
  async *streamWithAdapter(
    prompt: string,
    id?: AdapterId,
    options: Omit<AdapterGenerateOptions, 'onText'> = {},
  ): AsyncGenerator<Result<string>, void, undefined> {
    const { signal } = options;
    const checked = notBlank('Prompt', prompt);
    const held = checked.isFailure
      ? failure<HeldAdapter>(checked.error)
      : await attempt(signal, () => this.#hold(id, signal));
    if (held.isFailure) return yield failure(held.error);
    const { adapter, release } = held.value;
    try {
      for await (const piece of this.#model.stream(prompt, { ...options, adapter })) yield success(piece);
    } catch (error) {
      yield failureOf('Generation failed', error, signal);
    } finally {
      release();
    }
  }

  /** Learns from what a user thinks of a generation, holding on to what the adapter knows. A score of 0 changes nothing. */
  learnFromFeedback(
    prompt: string,
    generation: string,
    feedback: FeedbackSignal,
    id: AdapterId,
    { signal }: OperationOptions = {},
  ): Promise<Result<Unit>> {
    return attempt(signal, async () => {
      const checked = allOf(
        () => notBlank('Prompt', prompt),
        () => notBlank('Generation', generation),
        () => feedback.validate(),
      );
      if (checked.isFailure) return failure(checked.error);
      const lesson = lessonOf(prompt, generation, feedback);
      if (!lesson) return (await this.#vault.read(id, signal)).map(() => undefined);
      const { example, strength, wanted, unwanted } = lesson;
      const lessons: Lessons = {
        texts: [example],
        remembered: wanted === undefined ? [] : [new TrainingExample(prompt, wanted, strength)],
        unwanted: unwanted === undefined ? undefined : { input: prompt, output: unwanted },
        consolidated: [],
      };
      const { replayShare, feedbackSteps: epochs } = this.#options;
      // The lesson, and what is replayed with it.
      const rest = { batchSize: 1 + Math.ceil(replayShare), epochs, incremental: true };
      const trained = await this.#train(id, lessons, [], signal, ({ learningRate }) => ({
        learningRate: learningRate * strength,
        ...rest,
      }));
      return trained.map(() => undefined);
    });
  }

  /** A new adapter from at least two others. */
  mergeAdapters(
    ids: readonly AdapterId[],
    strategy: MergeStrategy,
    options: MergeAdaptersOptions = {},
  ): Promise<Result<MergeSummary>> {
    const { signal, taskName = `merged_${strategy}`, ...mergeOptions } = options;
    return attempt(signal, async () => {
      const strategies = MERGE_STRATEGIES.join(', ');
      const checked = allOf(
        () => ensure(Array.isArray(ids) && ids.length >= 2, 'At least 2 adapters are required for merging'),
        () => ensure(new Set(ids).size === ids.length, 'An adapter can be merged only once'),
        () => ensure(MERGE_STRATEGIES.includes(strategy), `Merge strategy must be one of ${strategies}`),
        () => notBlank('Task name', taskName),
      );
      if (checked.isFailure) return failure(checked.error);
      const sources: Source[] = [];
      for (const id of ids) {
        const source = await this.#source(id, signal);
        if (source.isFailure) return failure(source.error);
        sources.push(source.value);
      }
      const ranks = sources.flatMap(({ state }) => state.targets.map((target) => target.rank));
      const { rank = Math.max(...ranks) } = mergeOptions;
      const merged = await expecting('Merge failed', signal, async () => {
        const modules = await Promise.all(sources.map(({ state }) => modulesOf(this.#model, state)));
        const scores = sources.map(({ metadata }) => metadata.performanceScore);
        const result = mergeModules(modules, strategy, scores, { ...mergeOptions, rank });
        return { state: await stateOfModules(this.#model, result.modules), residual: result.residual };
      });
      if (merged.isFailure) return failure(merged.error);
      const { state, residual } = merged.value;
      const config = configOf(state, sources[0].metadata.config);
      const valid = naming('Merge failed', config.validate());
      if (valid.isFailure) return failure(valid.error);
      const adapter: NewAdapter = { kind: 'merged adapter', taskName, config, state };
      const stored = await this.#storeNew({ ...adapter, parents: [...ids], mergeStrategy: strategy }, signal);
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
    return this.#vault.read(id, signal);
  }

  /** Removes the adapter with all its versions; succeeds also where there is none. */
  deleteAdapter(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<Unit>> {
    return this.#inTurn(id, signal, async () =>
      this.#logged(await this.#vault.delete(id, signal), () => `Deleted adapter ${id}`),
    );
  }

  /** The versions that an adapter can go back to, the newest first, with the present one in front. */
  async versions(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<AdapterVersion[]>> {
    return (await this.#vault.read(id, signal)).map((metadata) => [versionOf(metadata), ...metadata.history]);
  }

  /** Makes an earlier version, by default the last one, the present one again, under a new number. */
  rollback(id: AdapterId, options: OperationOptions & { version?: number } = {}): Promise<Result<AdapterMetadata>> {
    const { signal, version } = options;
    return this.#inTurn(id, signal, async () => {
      const metadata = await this.#vault.read(id, signal);
      if (metadata.isFailure) return metadata;
      const { history } = metadata.value;
      const target = version === undefined ? history[0] : history.find((each) => each.version === version);
      if (!target) {
        const known = history.map((each) => each.version).join(', ') || 'none';
        return failure(`Version not found: ${version ?? 'an earlier one'} (known: ${known})`);
      }
      const stored = await this.#vault.update(metadata.value.withVersion(target), [], signal);
      return this.#logged(
        naming('Failed to store adapter metadata', stored),
        (next) => `Rolled adapter ${id} back to version ${target.version}, now version ${next.version}`,
      );
    });
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
      return this.#withAdapter(id, signal, 'Evaluation failed', async (adapter) => {
        const performanceScore = (await performanceOf(this.#model, adapter, examples, signal)) as number;
        return { loss: -Math.log(performanceScore), performanceScore };
      });
    });
  }

  /** Writes the adapter as a PEFT folder. */
  exportAdapter(id: AdapterId, folder: string, { signal }: OperationOptions = {}): Promise<Result<Unit>> {
    return attempt(signal, async () => {
      const what = 'Failed to retrieve adapter weights';
      const state = await this.#vault.atPresent(id, signal, (found) => this.#vault.weightsOf(what, found, signal));
      if (state.isFailure) return failure(state.error);
      const written = await expecting('Export failed', signal, () => writeFolder(this.#model, state.value, folder));
      return written.map(() => undefined);
    });
  }

  /** A new adapter from a PEFT folder. */
  importAdapter(taskName: string, folder: string, { signal }: OperationOptions = {}): Promise<Result<AdapterId>> {
    return attempt(signal, async () => {
      const checked = notBlank('Task name', taskName);
      if (checked.isFailure) return failure(checked.error);
      const state = await expecting('Import failed', signal, () => readFolder(this.#model, folder));
      if (state.isFailure) return failure(state.error);
      const config = configOf(state.value);
      const valid = naming('Import failed', config.validate());
      if (valid.isFailure) return failure(valid.error);
      return this.#storeNew({ kind: 'adapter', taskName, config, state: state.value }, signal);
    });
  }

  /** Whether the stored weights are whole and fit the model: their size in bytes. */
  validateAdapter(id: AdapterId, { signal }: OperationOptions = {}): Promise<Result<number>> {
    const what = 'Validation failed';
    return this.#vault.atPresent(id, signal, async (metadata) => {
      const state = await this.#vault.weightsOf(what, metadata, signal);
      if (state.isFailure) return failure(state.error);
      const fits = await expecting(what, signal, () => withState(this.#model, state.value, async () => undefined));
      if (fits.isFailure) return failure(fits.error);
      return naming(what, await this.#vault.sizeOf(metadata, signal));
    });
  }

  /** Frees the adapters in memory; the model and the storages stay open. */
  close(): void {
    this.#loaded.clear();
  }

  #inTurn<T>(id: AdapterId, signal: AbortSignal | undefined, operation: () => Promise<Result<T>>): Promise<Result<T>> {
    return attempt(signal, () => this.#turns.run(id, signal, operation));
  }

  #logged<T>(result: Result<T>, messageOf: (value: T) => string): Result<T> {
    if (result.isSuccess) this.#options.logger.info(messageOf(result.value));
    return result;
  }

  async #storeNew(adapter: NewAdapter, signal: AbortSignal | undefined): Promise<Result<AdapterId>> {
    const stored = await this.#vault.storeNew(adapter, signal);
    return this.#logged(stored, (id) => `Created ${adapter.kind} ${id} for task ${adapter.taskName}`);
  }

  async #source(id: AdapterId, signal: AbortSignal | undefined): Promise<Result<Source>> {
    let found = false;
    const what = `Failed to retrieve weights for adapter ${id}`;
    const source = await this.#vault.atPresent(id, signal, async (metadata) => {
      found = true;
      return (await this.#vault.weightsOf(what, metadata, signal)).map((state) => ({ metadata, state }));
    });
    return found ? source : naming(`Adapter ${id} not found`, source);
  }

  /** The adapter in memory, loaded where it is not there; none for the base model. */
  async #hold(id: AdapterId | undefined, signal: AbortSignal | undefined): Promise<Result<HeldAdapter>> {
    if (id === undefined) return success({ adapter: undefined, release: () => {} });
    return this.#vault.atPresent(id, signal, async (metadata) => {
      // Others may wait for the same adapter, so that it is loaded also where this caller gives up.
      const load = async (): Promise<Result<LanguageAdapter>> => {
        const what = 'Failed to retrieve adapter weights';
        const state = await this.#vault.weightsOf(what, metadata, undefined);
        if (state.isFailure) return failure(state.error);
        return expecting(what, undefined, () => openState(this.#model, state.value));
      };
      const held = this.#loaded.hold(`${id} ${metadata.version} ${metadata.blobStoragePath}`, load);
      const own = await attempt(signal, () => untilAborted(held, signal));
      if (own.isFailure) {
        const release = (late: Result<HeldAdapter>) => late.map((each) => each.release());
        void held.then(release, () => {});
      }
      return own;
    });
  }

  async #withAdapter<T>(
    id: AdapterId | undefined,
    signal: AbortSignal | undefined,
    what: string,
    use: (adapter: LanguageAdapter | undefined) => Promise<T>,
  ): Promise<Result<T>> {
    const held = await this.#hold(id, signal);
    if (held.isFailure) return failure(held.error);
    const { adapter, release } = held.value;
    // What goes on a little after an abort still needs the adapter.
    const work = use(adapter).finally(release);
    return expecting(what, signal, () => untilAborted(work, signal));
  }

  #train(
    id: AdapterId,
    lessons: Lessons,
    heldBack: readonly TrainingExample[],
    signal: AbortSignal | undefined,
    planOf: (config: AdapterConfig) => Omit<LessonPlan, 'maxSteps' | 'seed' | 'signal'>,
  ): Promise<Result<TrainingSummary>> {
    const fullPlanOf = ({ config }: AdapterMetadata) => {
      const { maxSteps } = config;
      return { ...planOf(config), maxSteps, seed: this.#options.seed, signal };
    };
    return this.#turns.run(id, signal, async () => {
      const parts = { model: this.#model, vault: this.#vault, options: this.#options };
      const trained = await runTraining(id, { ...parts, lessons, heldBack, planOf: fullPlanOf, signal });
      return this.#logged(trained, ({ version, steps, initialLoss, finalLoss }) => {
        const losses = `${initialLoss.toFixed(4)} to ${finalLoss.toFixed(4)}`;
        return `Trained adapter ${id} to version ${version}: ${steps} steps, loss from ${losses}`;
      });
    });
  }
}
