/** One run of training: examples → importance → training → golden gate → version. */
import { basename } from 'node:path';
import { LorakeetError } from '../../../errors.js';
import { tokensOf } from '../../../llm/batches.js';
import type { LanguageAdapter, LanguageModel, TextExample, TokenExample } from '../../../llm/index.js';
import { type TrainingReport, trainLanguageAdapter } from '../../../llm/trainer.js';
import { readTrainingFile } from '../../feedback/training-files.js';
import type { Job, Json } from '../../jobs/job.js';
import type { JobContext } from '../../jobs/worker.js';
import type { JobProgress, TrainingResult } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { Checkpoints } from './checkpoints.js';
import { type Curve, CurveRecorder } from './curve.js';
import { EwcLoss } from './ewc-loss.js';
import { diagnosticsOfFile, drawExamples, encodeTexts, isKept, readTexts, type TrainingData } from './examples.js';
import { gateSettings, judge } from './gate.js';
import { type Importance, prepareImportance } from './importance.js';
import { datesOf, planOf, type TrainingJob, type TrainingPlan } from './plan.js';
import { publishedRun, type Trained } from './provenance.js';
import { approveAndDeploy, publishTrained } from './publishing.js';
import { activeVersion, openStart, type Start } from './start.js';

export interface RunOptions {
  /** Between checkpoints, ms. Default 30,000. */
  checkpointEveryMs?: number;
  /** Between two steps of a phase that are told, ms; its first and last always are. Default 100. */
  progressMs?: number;
}

/** Losses before and after the training are of so many examples, the same ones. */
const SCORED_EXAMPLES = 256;
const CHECKPOINT_MS = 30_000;
const PROGRESS_MS = 100;

export async function runTraining(
  parts: ServiceParts,
  job: Job,
  payload: TrainingJob,
  context: JobContext,
  { checkpointEveryMs = CHECKPOINT_MS, progressMs = PROGRESS_MS }: RunOptions,
): Promise<TrainingResult> {
  const { signal } = context;
  const published = await parts.versions.findPublished(job.id);
  const startVersion = await activeVersion(parts.versions);
  const checkpoints = new Checkpoints(job, context, parts, { startVersion }, checkpointEveryMs);
  try {
    const result = published
      ? await approveAndDeploy(parts, published.version, publishedRun(published), signal)
      : await new TrainingRun(parts, job, payload, context, checkpoints, progressMs).run();
    await checkpoints.removeAll();
    return result;
  } catch (error) {
    const isCancelled = signal.aborted && (signal.reason as LorakeetError | undefined)?.code === 'ERR_ABORTED';
    if (isCancelled) await checkpoints.removeAll();
    throw error;
  }
}

class TrainingRun {
  readonly #parts: ServiceParts;
  readonly #job: Job;
  readonly #payload: TrainingJob;
  readonly #context: JobContext;
  readonly #checkpoints: Checkpoints;
  readonly #plan: TrainingPlan;
  readonly #began: number;
  readonly #progressMs: number;
  #told = Number.NEGATIVE_INFINITY;
  #curve: Curve | undefined;

  constructor(
    parts: ServiceParts,
    job: Job,
    payload: TrainingJob,
    context: JobContext,
    checkpoints: Checkpoints,
    progressMs: number,
  ) {
    this.#parts = parts;
    this.#job = job;
    this.#payload = payload;
    this.#context = context;
    this.#checkpoints = checkpoints;
    this.#plan = planOf(job, payload, checkpoints.state.begunAt, parts.config);
    this.#began = parts.clock.now();
    this.#progressMs = progressMs;
  }

  async run(): Promise<TrainingResult> {
    const { config, versions } = this.#parts;
    this.#tell({ phase: 'load', done: 0, total: 1 });
    const model = await this.#parts.model.load();
    const data = await this.#load(model);
    const { examples, diagnostics } = data;
    const { minimumSamples } = config.training;
    const { force } = this.#plan;
    const enoughSamples = examples.length >= minimumSamples;
    const train = examples.length > 0 && (enoughSamples || force);
    const known = {
      datasetId: this.#plan.datasetId,
      datasetSize: examples.length,
      diagnostics,
      decision: { force, enoughSamples, train, minimumSamples },
    };
    if (!train) {
      const few = examples.length === 0 ? 'there are no examples' : `fewer than training.minimumSamples`;
      const reason = `${few}: ${examples.length} of ${diagnostics.rawExamples} were kept, ${minimumSamples} are needed`;
      return { status: 'skipped', reason, ...known, durationSeconds: this.#seconds() };
    }
    const start = await openStart(model, versions, this.#checkpoints.state.startVersion, config);
    try {
      if (start.note) this.#parts.logger.warn(`job ${this.#job.id}: ${start.note}`);
      return await this.#trainAndPublish(model, start, data, known);
    } finally {
      start.adapter.close();
    }
  }

  async #trainAndPublish(
    model: LanguageModel,
    start: Start,
    data: TrainingData,
    known: Pick<TrainingResult, 'datasetId' | 'datasetSize' | 'diagnostics' | 'decision'>,
  ): Promise<TrainingResult> {
    const { signal } = this.#context;
    const history = await this.#history();
    const replay = await this.#drawReplay(model, history, data.examples.length);
    const { report, importance, ewcLoss } = await this.#train(model, start, data.examples, history, replay);
    const gate = gateSettings(this.#parts.config, this.#payload.request);
    const verdict = await judge(this.#parts, model, start.adapter, gate, {
      name: this.#job.id,
      signal,
      onProgress: (done, total) => this.#tell({ phase: 'validate', done, total }),
    });
    signal.throwIfAborted();
    if (verdict.report) this.#parts.events.validationFinished(verdict.report);
    this.#tell({ phase: 'publish', done: 0, total: 1 });
    const notes = [start.note, importance.source === 'none' && this.#plan.ewcLambda > 0 && NO_EWC].filter(isText);
    const result: TrainingResult = {
      status: 'success',
      ...(verdict.reason !== undefined && { reason: verdict.reason }),
      ...known,
      startVersion: start.version,
      importance,
      ewcLambda: importance.source === 'none' ? 0 : this.#plan.ewcLambda,
      ...(notes.length > 0 && { notes }),
      initialLoss: report.validationLoss?.before,
      finalLoss: report.validationLoss?.after,
      ewcLoss,
      steps: report.steps,
      durationSeconds: this.#seconds(),
      ...(verdict.report && { golden: verdict.report }),
    };
    const { name = basename(this.#parts.config.model.folder ?? '') } = this.#parts.model;
    const trained: Trained = {
      job: this.#job,
      plan: this.#plan,
      payload: this.#payload,
      result,
      diagnostics: data.diagnostics,
      dataSha256: data.sha256,
      replayed: replay.length,
      importance,
      gate,
      verdict,
      backend: model.backend,
      baseModel: { name, sha256: model.hash },
      startNote: start.note,
      activeBefore: this.#checkpoints.state.startVersion,
    };
    const version = await publishTrained(this.#parts, start.adapter, trained);
    return approveAndDeploy(this.#parts, version, trained, signal);
  }

  async #load(model: LanguageModel): Promise<TrainingData> {
    const { config, feedback } = this.#parts;
    const { signal } = this.#context;
    const encoding = {
      ...this.#encoding(model),
      onProgress: (done: number, total: number) => this.#tell({ phase: 'load', done, total }),
    };
    if (this.#payload.kind === 'train-jsonl') {
      const { datasetPath } = this.#payload.request;
      const texts = await readTrainingFile(datasetPath, { maxBytes: config.feedback.maxImportBytes });
      return encodeTexts(texts, diagnosticsOfFile(texts), encoding);
    }
    const window = this.#plan.window && datesOf(this.#plan.window);
    const { texts, diagnostics } = await readTexts(feedback, window ?? {}, config, signal);
    return encodeTexts(texts, diagnostics, encoding);
  }

  /** Earlier feedback, cleaned; read where something of the run needs it. */
  async #history(): Promise<TextExample[]> {
    const { config, feedback } = this.#parts;
    const { history, ewcLambda } = this.#plan;
    if (!history || (ewcLambda === 0 && config.training.replayShare === 0)) return [];
    return (await readTexts(feedback, datesOf(history), config, this.#context.signal)).texts;
  }

  /** As many as all epochs have turns for. */
  #drawReplay(model: LanguageModel, history: readonly TextExample[], newExamples: number): Promise<TokenExample[]> {
    const { replayShare, seed } = this.#parts.config.training;
    const count = Math.ceil(replayShare * newExamples) * this.#plan.epochs;
    return drawExamples(history, count, { seed, purpose: 'replay' }, this.#encoding(model));
  }

  async #train(
    model: LanguageModel,
    start: Start,
    examples: readonly TokenExample[],
    history: readonly TextExample[],
    replay: readonly TokenExample[],
  ): Promise<{ report: TrainingReport; importance: Importance; ewcLoss: number }> {
    const resume = await this.#checkpoints.trained();
    const earlier = this.#checkpoints.state.training;
    if (resume && earlier) {
      try {
        return await this.#optimise(model, start.adapter, examples, replay, earlier.importance, resume);
      } catch (error) {
        if (!(error instanceof LorakeetError) || error.code !== 'ERR_ADAPTER_MISMATCH') throw error;
        this.#parts.logger.warn(`job ${this.#job.id}: the examples have changed: the training begins anew`);
      }
    }
    if (earlier) this.#checkpoints.forget();
    const importance = await this.#prepareImportance(model, start, history);
    return this.#optimise(model, start.adapter, examples, replay, importance);
  }

  #prepareImportance(model: LanguageModel, start: Start, history: readonly TextExample[]): Promise<Importance> {
    if (this.#plan.ewcLambda === 0) return Promise.resolve({ source: 'none' });
    const { fisherSamples } = this.#parts.config.ewc;
    const { seed } = this.#parts.config.training;
    const draw = () =>
      drawExamples(history.filter(isKept), fisherSamples, { seed, purpose: 'fisher' }, this.#encoding(model));
    return prepareImportance(this.#parts, model, start, draw, {
      signal: this.#context.signal,
      onProgress: (done, total) => this.#tell({ phase: 'fisher', done, total }),
    });
  }

  async #optimise(
    model: LanguageModel,
    adapter: LanguageAdapter,
    examples: readonly TokenExample[],
    replay: readonly TokenExample[],
    importance: Importance,
    resume?: Uint8Array,
  ) {
    const { training, lora } = this.#parts.config;
    const { batchSize, learningRate, epochs } = this.#plan;
    const ewcLambda = importance.source === 'none' ? 0 : this.#plan.ewcLambda;
    const longest = [...examples, ...replay].reduce((most, example) => Math.max(most, tokensOf(example)), 1);
    const curve = new CurveRecorder(resume ? this.#checkpoints.state.training?.curve : undefined);
    const penalty = new EwcLoss(ewcLambda);
    const began = performance.now();
    let tokens = 0;
    let steps = Number.NaN;
    const report = await trainLanguageAdapter(model.decoder, adapter, examples, {
      contextLength: model.config.contextLength,
      epochs,
      batchSize: batchSize * training.accumulation,
      maxPassTokens: batchSize * longest,
      learningRate,
      warmupSteps: training.warmupSteps,
      dropout: lora.dropout,
      ewcLambda,
      seed: training.seed,
      replay,
      replayShare: training.replayShare,
      validation: examples.slice(0, SCORED_EXAMPLES),
      signal: this.#context.signal,
      ...(resume && { resume }),
      checkpoint: this.#checkpoints.target(
        (step) => step === steps || (step === 0 && importance.source === 'computed'),
        (step) => ({ curve: curve.curve(step), importance }),
      ),
      onProgress: async (progress) => {
        steps = progress.steps;
        tokens += progress.tokens;
        const { step, loss, gradNorm } = progress;
        const ewcLoss = await penalty.of(adapter);
        curve.add(step, loss, ewcLoss);
        this.#tell({ phase: 'train', done: step, total: steps, loss, ewcLoss, gradNorm, ...speed(tokens, began) }, () =>
          curve.curve(),
        );
      },
    });
    return { report, importance, ewcLoss: await penalty.of(adapter) };
  }

  #encoding(model: LanguageModel) {
    return { model, maxLength: this.#parts.config.training.maxLength, signal: this.#context.signal };
  }

  /** Not every step of a quick phase, but the last one. */
  #tell(progress: JobProgress, curve?: () => Curve): void {
    const now = performance.now();
    if (now - this.#told < this.#progressMs && progress.done > 0 && progress.done < progress.total) return;
    this.#told = now;
    // it stays to be seen in the phases after training, and when the job has ended
    if (curve) this.#curve = curve();
    const whole = { ...progress, ...(this.#curve && { curve: this.#curve }) };
    this.#context.progress(whole as unknown as Json);
    this.#parts.events.trainingProgress(whole);
  }

  #seconds(): number {
    return (this.#parts.clock.now() - this.#began) / 1000;
  }
}

const NO_EWC = 'without EWC: there is no earlier feedback, and the version it starts from has no importance';

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function speed(tokens: number, began: number): { tokensPerSecond: number } {
  return { tokensPerSecond: tokens / Math.max((performance.now() - began) / 1000, 1e-3) };
}
