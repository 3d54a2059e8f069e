/** Asks a bank how to do an update: both questions at once, within a time limit, and not again while the answer is fresh. */
import type { Logger } from '../logger.js';
import {
  type AdaptationHints,
  type AdaptationSituation,
  adaptationTask,
  type LearnedStrategy,
  type ReasoningBankInstance,
} from './contract.js';
import { withDeadline } from './deadline.js';
import { reasonOf } from './episode-recorder.js';
import { type ConfiguredSettings, hintsOf } from './hints.js';
import { type CacheCounts, QueryCache } from './query-cache.js';

export interface AdvisorSettings {
  timeoutMs: number;
  minConfidence: number;
  useCache: boolean;
  cacheSize: number;
  cacheTtlMs: number;
}

/** What the bank contributes to one update. */
export interface Advice {
  hints: AdaptationHints;
  /** For the log, one line each. */
  lines: readonly string[];
}

/** The documented query for similar adaptations. */
const SIMILAR = { k: 5, minReward: 0.7, onlySuccesses: true } as const;

/** A bank that failed or did not answer is left alone for so long, so that it does not delay every update. */
const RETRY_AFTER_MS = 1000;

const NO_HINTS: AdaptationHints = Object.freeze({});

export class Advisor {
  readonly #configured: ConfiguredSettings;
  readonly #settings: AdvisorSettings;
  readonly #logger: Logger;
  readonly #cache: QueryCache<Advice>;
  /** Questions being asked, so that nobody asks the same at the same time. */
  readonly #asking = new Map<string, Promise<Advice>>();
  /** Whoever answers for an earlier one was asked before a clear(). */
  #generation = 0;
  #leftAloneUntil = 0;

  constructor(configured: ConfiguredSettings, settings: AdvisorSettings, logger: Logger) {
    this.#configured = configured;
    this.#settings = settings;
    this.#logger = logger;
    this.#cache = new QueryCache(settings.cacheSize, settings.cacheTtlMs);
  }

  get counts(): CacheCounts {
    return this.#cache.counts;
  }

  /** Forgets all answers, those on their way included. */
  clear(): void {
    this.#generation += 1;
    this.#cache.clear();
    this.#asking.clear();
    this.#leftAloneUntil = 0;
  }

  /** Never rejects; at once, and not as a promise, when the answer is known. Writes what the bank contributed to the log. */
  advise(bank: ReasoningBankInstance, situation: AdaptationSituation): Advice | Promise<Advice> {
    const key = situationKey(situation);
    const known = this.#settings.useCache ? this.#cache.get(key) : undefined;
    if (known) return this.#say(known);
    if (performance.now() < this.#leftAloneUntil) return this.#say(nothing('it failed a moment ago'));
    return this.#ask(key, bank, situation).then((advice) => this.#say(advice));
  }

  #say(advice: Advice): Advice {
    for (const line of advice.lines) this.#logger.info(line);
    return advice;
  }

  #ask(key: string, bank: ReasoningBankInstance, situation: AdaptationSituation): Promise<Advice> {
    const asking = this.#asking.get(key);
    if (asking) return asking;
    const generation = this.#generation;
    const answer = withDeadline('ReasoningBank', this.#settings.timeoutMs, async () => {
      const task = adaptationTask(situation);
      const [patterns, strategy] = await Promise.all([
        bank.retrievePatterns(task, { ...SIMILAR, situation }),
        bank.learnStrategy(task, situation),
      ]);
      if (!Array.isArray(patterns)) throw new TypeError(`retrievePatterns gave ${patterns}, expected an array`);
      const { advice, isEmpty } = this.#adviceFrom(patterns.length, strategy);
      // also when it comes late: the next update will be glad of it. An empty answer is asked for again, as it may soon
      // have grown.
      if (generation === this.#generation && !isEmpty && this.#settings.useCache) this.#cache.set(key, advice);
      return advice;
    }).catch((error) => {
      const reason = reasonOf(error);
      this.#logger.warn(`⚠️ ReasoningBank: query failed, going on with the configured settings (${reason})`);
      if (generation === this.#generation) this.#leftAloneUntil = performance.now() + RETRY_AFTER_MS;
      return nothing('the query failed');
    });
    this.#asking.set(key, answer);
    return answer.finally(() => {
      if (this.#asking.get(key) === answer) this.#asking.delete(key);
    });
  }

  #adviceFrom(count: number, strategy: LearnedStrategy | null | undefined) {
    const confidence = strategy?.confidence;
    const isSure = typeof confidence === 'number' && confidence >= this.#settings.minConfidence;
    const hints = strategy && isSure ? hintsOf(strategy, this.#configured) : NO_HINTS;
    const found = `🧠 ReasoningBank: Found ${count} similar adaptation patterns`;
    const lines = [count > 0 ? found : `${found}, none to draw on yet`];
    if (isSure) lines.push(`💡 ReasoningBank: Strategy confidence ${(100 * confidence).toFixed(1)}%`);
    const { suggestedLearningRate, suggestedClipThreshold, suggestedEwcLambda } = hints;
    for (const [name, value] of [
      ['learning rate', suggestedLearningRate],
      ['clip threshold', suggestedClipThreshold],
      ['EWC lambda', suggestedEwcLambda],
    ] as const) {
      if (value !== undefined) lines.push(`📈 ReasoningBank: Adjusted ${name} to ${Number(value.toPrecision(6))}`);
    }
    return { advice: { hints, lines }, isEmpty: count === 0 && !isSure };
  }
}

function nothing(why: string): Advice {
  return { hints: NO_HINTS, lines: [`🧠 ReasoningBank: Found 0 similar adaptation patterns, none was given (${why})`] };
}

/**
 * Tells apart the situations that a bank may answer differently. Amounts count by their octave, as feedback is never the
 * same twice and advice does not depend on its last digits; what the engine was configured with does not change.
 */
function situationKey(situation: AdaptationSituation): string {
  const { userId, rank, embeddingDim, batchSize, previousVersion, previousLoss, feedback } = situation;
  const { meanReward, targetShare, inputRms, residualRms, coherence } = feedback;
  return (
    `${rank} ${embeddingDim} ${batchSize} ${octave(previousVersion)} ${octave(previousLoss)} ` +
    `${octave(inputRms)} ${octave(residualRms)} ${octave(coherence)} ` +
    `${Math.round(4 * meanReward)} ${Math.round(4 * targetShare)} ${userId}`
  );
}

/** −Infinity for 0. */
function octave(amount: number): number {
  return Math.round(Math.log2(amount));
}
