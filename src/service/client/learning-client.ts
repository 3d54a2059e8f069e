/** A learning engine service that runs elsewhere, as programs ask it: the operations of the service over HTTP. */
import type {
  AdapterDetails,
  AdapterSummary,
  FisherRequest,
  GenerateAnswer,
  GenerateRequest,
  GoldenRequest,
  Health,
  LoraRequest,
  LoraResult,
  LoraStatus,
  Overview,
  QuarantineRequest,
  TrainFileRequest,
  TrainingStatus,
  TrainRequest,
} from '../engine/operations.js';
import type { FeedbackInput, JsonObject } from '../feedback/feedback.js';
import { feedbackOfRow, rowOfFeedback } from '../feedback/feedback-rows.js';
import type {
  AppendedFeedback,
  FeedbackCounts,
  FeedbackPage,
  FeedbackStore,
  FeedbackWindow,
} from '../feedback/feedback-store.js';
import type { GoldenReport } from '../golden/gate.js';
import type { Job, JobListOptions, JobPage } from '../jobs/job.js';
import { fromWire, toWire } from '../wire.js';
import { readAnswer } from './event-stream.js';
import { type CallOptions, type ClientOptions, type RequestOptions, Transport } from './transport.js';

/** Bodies of POST /feedback: half of what the service takes where its configuration does not say otherwise. */
const BATCH_BYTES = 2 ** 19;
/** Of a model, and of everything that is judged by what a model answers. */
const HOUR_MS = 3_600_000;

/**
 * Every method rejects with ERR_SERVICE_UNAVAILABLE where the service does not answer or is busy, ERR_ABORTED, and the code that
 * it answers with, or ERR_SERVICE_REFUSED for one that is not known here; the `cause` has the status.
 */
export class LearningClient {
  readonly #transport: Transport;

  /** Throws ERR_INVALID_CONFIG. */
  constructor(options: ClientOptions = {}) {
    this.#transport = new Transport(options);
  }

  /** Without a slash at its end. */
  get baseUrl(): string {
    return this.#transport.baseUrl;
  }

  /** Also of a service that is unhealthy. */
  health(options?: CallOptions): Promise<Health> {
    return this.#get('/health', { ...options, expected: [503] });
  }

  overview(options?: CallOptions): Promise<Overview> {
    return this.#get('/overview', options);
  }

  train(request: TrainRequest = {}, options?: CallOptions): Promise<Job> {
    return this.#start('/train', request, options);
  }

  trainFile(request: TrainFileRequest, options?: CallOptions): Promise<Job> {
    return this.#start('/train/jsonl', request, options);
  }

  calculateFisher(request: FisherRequest = {}, options?: CallOptions): Promise<Job> {
    return this.#start('/fisher/calculate', request, options);
  }

  /** Paths are those of the service. */
  validate(request: GoldenRequest, options?: CallOptions): Promise<GoldenReport> {
    return this.#post('/validation/golden-set', request, { ...options, usualTimeoutMs: HOUR_MS });
  }

  async trainingStatus(options?: CallOptions): Promise<TrainingStatus> {
    const status = await this.#get<TrainingStatus>('/training/status', options);
    const schedules = status.schedules.map((one) => withDates(one, ['nextRunAt', 'lastTickAt']));
    const jobOrNone = (job: Job | undefined | null) => (job ? jobOf(job) : undefined);
    return { ...status, schedules, currentJob: jobOrNone(status.currentJob), lastJob: jobOrNone(status.lastJob) };
  }

  async jobs(list: JobListOptions = {}, options?: CallOptions): Promise<JobPage> {
    const { states, queue, limit, before } = list;
    const query = { state: states, queue, limit, before };
    const { jobs, next } = await this.#get<JobPage>('/jobs', { ...options, query });
    return { jobs: jobs.map(jobOf), next: next ?? undefined };
  }

  async job(id: string, options?: CallOptions): Promise<Job> {
    return jobOf(await this.#get<Job>(`/jobs/${encodeURIComponent(id)}`, options));
  }

  async cancelJob(id: string, options?: CallOptions): Promise<Job> {
    return jobOf(await this.#post<Job>(`/jobs/${encodeURIComponent(id)}/cancel`, {}, options));
  }

  async adapters(options?: CallOptions): Promise<AdapterSummary[]> {
    return (await this.#get<{ adapters: AdapterSummary[] }>('/adapters', options)).adapters;
  }

  adapter(version: string, options?: CallOptions): Promise<AdapterDetails> {
    return this.#get(`/adapters/${encodeURIComponent(version)}`, options);
  }

  /** As activate(), with another reason where none is given. */
  async deploy({ adapterVersion, ...request }: LoraRequest & { adapterVersion: string }, options?: CallOptions) {
    const path = `/adapters/${encodeURIComponent(adapterVersion)}/deploy`;
    const { fromVersion, toVersion, durationMs, targetMs, withinTarget, lora } = await this.#post<
      LoraResult & { lora: LoraStatus }
    >(path, request, options);
    return { status: lora, fromVersion, toVersion, durationMs, targetMs, withinTarget } satisfies LoraResult;
  }

  quarantine({ adapterVersion, reason }: QuarantineRequest, options?: CallOptions): Promise<LoraStatus> {
    return this.#post(`/adapters/${encodeURIComponent(adapterVersion)}/quarantine`, { reason }, options);
  }

  release({ adapterVersion, reason }: QuarantineRequest, options?: CallOptions): Promise<LoraStatus> {
    return this.#post(`/adapters/${encodeURIComponent(adapterVersion)}/release`, { reason }, options);
  }

  loraStatus(options?: CallOptions): Promise<LoraStatus> {
    return this.#get('/lora/status', options);
  }

  activate(request: LoraRequest & { adapterVersion: string }, options?: CallOptions): Promise<LoraResult> {
    return this.#post('/lora/activate', request, options);
  }

  enable(request: LoraRequest & { adapterVersion: string }, options?: CallOptions): Promise<LoraResult> {
    return this.#post('/lora/enable', request, options);
  }

  disable(request: LoraRequest = {}, options?: CallOptions): Promise<LoraResult> {
    return this.#post('/lora/disable', request, options);
  }

  rollback(request: LoraRequest = {}, options?: CallOptions): Promise<LoraResult> {
    return this.#post('/lora/rollback', request, options);
  }

  promote(request: LoraRequest & { adapterVersion: string }, options?: CallOptions): Promise<LoraStatus> {
    return this.#post('/lora/promote', request, options);
  }

  /**
   * Rows without an id get a random one from the service, so that only rows with ids may be sent again. More than 512 KiB of
   * them go in several requests, and what was appended before one fails stays.
   */
  async appendFeedback(rows: readonly FeedbackInput[], options?: CallOptions): Promise<AppendedFeedback> {
    const ids: string[] = [];
    let added = 0;
    for (const feedback of batchesOf(rows.map(rowOfFeedback))) {
      const answer = await this.#post<AppendedFeedback>('/feedback', { feedback }, options, (body) => body);
      ids.push(...answer.ids);
      added += answer.added;
    }
    return { ids, added };
  }

  countFeedback(window: FeedbackWindow = {}, options?: CallOptions): Promise<FeedbackCounts> {
    return this.#get('/feedback/count', { ...options, query: queryOf(window) });
  }

  async feedback(
    window: FeedbackWindow,
    { limit, after, ...options }: { limit: number; after?: string } & CallOptions,
  ): Promise<FeedbackPage> {
    const request = { ...options, query: { ...queryOf(window), limit, after } };
    const answer = (await this.#transport.json('GET', '/feedback', request)) as {
      feedback: JsonObject[];
      next?: string;
    };
    return { rows: answer.feedback.map(feedbackOfRow), next: answer.next ?? undefined };
  }

  /** The feedback of the service as a store, for importFeedback and exportFeedback. */
  feedbackStore(options?: CallOptions): FeedbackStore {
    return {
      append: (rows) => this.appendFeedback(rows, options),
      page: (window, page) => this.feedback(window, { ...page, ...options }),
      count: (window) => this.countFeedback(window, options),
      close: async () => {},
    };
  }

  /** With `onText` the answer is streamed: it is called with each piece. */
  async generate(
    request: GenerateRequest,
    { onText, ...options }: CallOptions & { onText?: (text: string) => void } = {},
  ): Promise<GenerateAnswer> {
    const call = { ...options, usualTimeoutMs: HOUR_MS };
    if (!onText) return this.#post('/generate', request, call);
    const body = { ...(toWire(request) as object), stream: true };
    return this.#transport.open('POST', '/generate', { ...call, body, accept: 'text/event-stream' }, (response) =>
      readAnswer(response, onText),
    );
  }

  /** Prometheus text. */
  metrics(options?: CallOptions): Promise<string> {
    return this.#transport.text('GET', '/metrics', { ...options, accept: 'text/plain' });
  }

  async #get<T>(path: string, options?: RequestOptions): Promise<T> {
    return fromWire(await this.#transport.json('GET', path, options)) as T;
  }

  async #post<T>(path: string, body: unknown, options?: RequestOptions, convert = toWire): Promise<T> {
    return fromWire(await this.#transport.json('POST', path, { ...options, body: convert(body) })) as T;
  }

  async #start(path: string, request: unknown, options?: CallOptions): Promise<Job> {
    return jobOf((await this.#post<{ job: Job }>(path, request, options)).job);
  }
}

function queryOf({ since, until }: FeedbackWindow) {
  return { since: since?.toISOString(), until: until?.toISOString() };
}

function jobOf(job: Job): Job {
  return withDates(job, ['createdAt', 'runAt', 'startedAt', 'finishedAt', 'leaseEndsAt']);
}

/** JSON has them as text; null, for fields that say so, is undefined. */
function withDates<T extends object>(value: T, names: readonly (keyof T)[]): T {
  const dates = names.map((name) => [name, value[name] ? new Date(value[name] as string) : undefined]);
  return { ...value, ...Object.fromEntries(dates) };
}

function* batchesOf(rows: readonly JsonObject[]): Generator<JsonObject[]> {
  let batch: JsonObject[] = [];
  let bytes = 0;
  for (const row of rows) {
    const size = Buffer.byteLength(JSON.stringify(row));
    if (batch.length > 0 && bytes + size > BATCH_BYTES) {
      yield batch;
      [batch, bytes] = [[], 0];
    }
    batch.push(row);
    bytes += size;
  }
  if (batch.length > 0) yield batch;
}
