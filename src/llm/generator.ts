/** Texts of tokens from many requests at once: each in its own sequence and with its own adapter, all in one decode call. */
import { hashSeed, Random } from '../adapter/random.js';
import { fail, requireInteger } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { DecodeEntry, DecoderCache, DecoderModel } from './decoder/contract.js';
import type { LanguageAdapter } from './language-adapter.js';
import { requireSampling, type Sampling, type SamplingOptions, sampleToken } from './sampling.js';

export interface GeneratorOptions {
  /** Requests that run at once; others wait. Default 4. */
  sequences?: number;
  /** Tokens of prompt and answer together that a sequence can hold. */
  positions: number;
  /** Prompt tokens of one request that go into one call, so that a long prompt does not hold up the others. Default 256. */
  promptTokens?: number;
}

export interface TokenRequest {
  /** At least one token. */
  prompt: Uint32Array;
  adapter?: LanguageAdapter;
  /** Default: as many as there is room for. */
  maxNewTokens?: number;
  sampling?: SamplingOptions;
  /** Tokens that end the answer; they are not part of it. */
  stopTokens?: readonly number[];
  signal?: AbortSignal;
  /** Called with each token; true ends the answer with it. */
  onToken?: (token: number, logProbability: number) => unknown;
}

export interface GeneratedTokens {
  tokens: Uint32Array;
  /** Of each token, as the model itself has it: at temperature 1 and among all tokens. */
  logProbabilities: Float32Array;
  /** 'stop': a stop token, or onToken said so; 'length': maxNewTokens or the end of the room. */
  finishReason: 'stop' | 'length';
  /** Tokens of the prompt that were still known from an earlier request. */
  reusedTokens: number;
}

/** One sequence of the cache: what it holds, by which adapter, and the request that it works on. */
interface Seat {
  sequence: number;
  tokens: number[];
  adapter?: LanguageAdapter;
  revision?: number;
  job?: Job;
}

interface Job {
  request: TokenRequest;
  sampling: Sampling;
  random: Random;
  maxNewTokens: number;
  stopTokens: ReadonlySet<number>;
  /** Still to be decoded: the rest of the prompt, or the last token. */
  pending: Uint32Array;
  tokens: number[];
  logProbabilities: number[];
  reusedTokens: number;
  resolve: (generated: GeneratedTokens) => void;
  reject: (error: unknown) => void;
}

/**
 * Keeps the keys and values of what it has seen: a request that begins as an earlier one did, with the same adapter and the
 * same revision of it, goes on from there. An adapter that learns while an answer is being written changes the rest of it.
 */
export class Generator {
  readonly #model: DecoderModel;
  readonly #cache: DecoderCache;
  readonly #seats: Seat[];
  readonly #promptTokens: number;
  readonly #waiting: Job[] = [];
  #running = false;
  #open = true;

  /** Throws ERR_INVALID_CONFIG, ERR_OUT_OF_MEMORY. */
  constructor(model: DecoderModel, { sequences = 4, positions, promptTokens = 256 }: GeneratorOptions) {
    requireInteger('sequences', sequences, 1, 4096);
    requireInteger('positions', positions, 1, 2 ** 24);
    this.#promptTokens = requireInteger('promptTokens', promptTokens, 1, 2 ** 24);
    this.#model = model;
    this.#cache = model.createCache(sequences, positions);
    this.#seats = Array.from({ length: sequences }, (_, sequence) => ({ sequence, tokens: [] }));
  }

  /**
   * Rejects with ERR_INVALID_ARGUMENT, ERR_OUT_OF_RANGE, ERR_INVALID_CONFIG, ERR_CONTEXT_FULL for a prompt that leaves no
   * room for an answer, ERR_ABORTED, ERR_CLOSED. The same request and seed give the same answer, whatever else runs, up to
   * the rounding of the backend.
   */
  generate(request: TokenRequest): Promise<GeneratedTokens> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(this.#jobOf(request, resolve, reject));
      if (!this.#running) void this.#run();
    });
  }

  /** What waits or runs rejects with ERR_CLOSED. */
  close(): void {
    this.#open = false;
    const closed = () => new LorakeetError('ERR_CLOSED', 'generator: it has been closed');
    for (const job of this.#waiting.splice(0)) job.reject(closed());
    for (const seat of this.#seats) {
      seat.job?.reject(closed());
      seat.job = undefined;
    }
    this.#cache.close();
  }

  #jobOf(request: TokenRequest, resolve: Job['resolve'], reject: Job['reject']): Job {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'generator: it has been closed');
    const { prompt, stopTokens = [] } = request;
    if (!(prompt instanceof Uint32Array) || prompt.length === 0) {
      fail('ERR_INVALID_ARGUMENT', 'prompt', prompt, 'a Uint32Array with at least one token');
    }
    const { vocabSize } = this.#model.shape;
    const strange = prompt.findIndex((token) => token >= vocabSize);
    if (strange >= 0) fail('ERR_OUT_OF_RANGE', `prompt[${strange}]`, prompt[strange], `a token below ${vocabSize}`);
    const room = this.#cache.positions - prompt.length;
    if (room < 1) {
      const most = this.#cache.positions - 1;
      throw new LorakeetError('ERR_CONTEXT_FULL', `prompt: got ${prompt.length} tokens, expected at most ${most}`);
    }
    const maxNewTokens = requireInteger('maxNewTokens', request.maxNewTokens ?? room, 1, 2 ** 31);
    const sampling = requireSampling(request.sampling);
    return {
      request,
      sampling,
      random: new Random(hashSeed(sampling.seed, 'sampling')),
      maxNewTokens: Math.min(maxNewTokens, room),
      stopTokens: new Set(stopTokens),
      pending: prompt.slice(),
      tokens: [],
      logProbabilities: [],
      reusedTokens: 0,
      resolve,
      reject,
    };
  }

  async #run(): Promise<void> {
    this.#running = true;
    while (this.#open) {
      this.#dropAborted();
      this.#seatWaiting();
      const busy = this.#seats.filter((seat) => seat.job);
      if (busy.length === 0) break;
      await this.#advance(busy);
    }
    this.#running = false;
  }

  #dropAborted(): void {
    const isAborted = ({ request }: Job) => request.signal?.aborted ?? false;
    const abort = (job: Job) =>
      job.reject(new LorakeetError('ERR_ABORTED', 'the request was aborted', { cause: job.request.signal?.reason }));
    for (const job of this.#waiting.filter(isAborted)) {
      this.#waiting.splice(this.#waiting.indexOf(job), 1);
      abort(job);
    }
    for (const seat of this.#seats) {
      if (!seat.job || !isAborted(seat.job)) continue;
      abort(seat.job);
      seat.job = undefined;
    }
  }

  #seatWaiting(): void {
    for (let free = this.#freeSeats(); free.length > 0 && this.#waiting.length > 0; free = this.#freeSeats()) {
      const job = this.#waiting.shift() as Job;
      const { prompt, adapter } = job.request;
      const known = free.map((seat) => commonPrefix(seat, prompt, adapter));
      // What fits best; if nothing does, what is least worth keeping.
      const best = free.reduce(
        (best, _, i) =>
          known[i] > known[best] || (known[best] === 0 && free[i].tokens.length < free[best].tokens.length) ? i : best,
        0,
      );
      const seat = free[best];
      this.#cut(seat, known[best]);
      seat.adapter = adapter;
      seat.revision = adapter?.revision;
      seat.job = job;
      job.reusedTokens = known[best];
      job.pending = job.pending.subarray(known[best]);
    }
  }

  #freeSeats(): Seat[] {
    return this.#seats.filter((seat) => !seat.job);
  }

  #cut(seat: Seat, length: number): void {
    this.#cache.truncate(seat.sequence, length);
    seat.tokens.length = length;
  }

  async #advance(busy: readonly Seat[]): Promise<void> {
    const entries = busy.map((seat) => this.#entryOf(seat));
    let logits: Float32Array;
    try {
      logits = await this.#cache.decode(entries);
    } catch (error) {
      if (!this.#open) return;
      // One of them is at fault, perhaps by an adapter that was closed: each by itself.
      if (busy.length > 1) {
        for (const seat of busy) if (seat.job && this.#open) await this.#advance([seat]);
        return;
      }
      const [seat] = busy;
      seat.job?.reject(error);
      seat.job = undefined;
      this.#cut(seat, 0);
      return;
    }
    const { vocabSize } = this.#model.shape;
    busy.forEach((seat, i) => {
      seat.tokens.push(...entries[i].tokens);
      if (seat.job) this.#take(seat, seat.job, entries[i], logits.subarray(i * vocabSize, (i + 1) * vocabSize));
    });
  }

  #entryOf({ sequence, job, adapter }: Seat): DecodeEntry {
    const { pending } = job as Job;
    return { sequence, tokens: pending.subarray(0, this.#promptTokens), adapter: adapter?.decoder };
  }

  #take(seat: Seat, job: Job, { tokens }: DecodeEntry, logits: Float32Array): void {
    job.pending = job.pending.subarray(tokens.length);
    if (job.pending.length > 0) return; // more of the prompt to come
    const { token, logProbability } = sampleToken(logits, job.sampling, job.random);
    job.pending = Uint32Array.of(token);
    let stop = job.stopTokens.has(token);
    if (!stop) {
      job.tokens.push(token);
      job.logProbabilities.push(logProbability);
      try {
        stop = job.request.onToken?.(token, logProbability) === true;
      } catch (error) {
        seat.job = undefined;
        job.reject(error);
        return;
      }
    }
    if (stop) this.#finish(seat, job, 'stop');
    else if (job.tokens.length === job.maxNewTokens) this.#finish(seat, job, 'length');
  }

  #finish(seat: Seat, job: Job, finishReason: GeneratedTokens['finishReason']): void {
    seat.job = undefined;
    job.resolve({
      tokens: Uint32Array.from(job.tokens),
      logProbabilities: Float32Array.from(job.logProbabilities),
      finishReason,
      reusedTokens: job.reusedTokens,
    });
  }
}

/** Tokens of the prompt that the seat holds as this adapter makes them; the last one has to be decoded for its logits. */
function commonPrefix(seat: Seat, prompt: Uint32Array, adapter: LanguageAdapter | undefined): number {
  if (seat.adapter !== adapter || seat.revision !== adapter?.revision) return 0;
  const most = Math.min(seat.tokens.length, prompt.length - 1);
  let length = 0;
  while (length < most && seat.tokens[length] === prompt[length]) length++;
  return length;
}
