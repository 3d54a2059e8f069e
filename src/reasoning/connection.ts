/** An engine's connection to a ReasoningBank: one at a time, or none, exchangeable while updates run. */
import { randomBytes } from 'node:crypto';
import { describe, requireInteger, requireNumber } from '../checks.js';
import type { Logger } from '../logger.js';
import { type Advice, Advisor, type AdvisorSettings } from './advisor.js';
import {
  type AdaptationEpisode,
  type AdaptationSituation,
  type ReasoningBankInstance,
  requireReasoningBank,
} from './contract.js';
import { withDeadline } from './deadline.js';
import { type SimilarAdaptation, similarAdaptationOf } from './episode.js';
import { type EpisodeCounts, EpisodeRecorder, reasonOf } from './episode-recorder.js';
import type { ConfiguredSettings } from './hints.js';
import { QueryCache } from './query-cache.js';

export interface ReasoningBankStats {
  /** Whether a bank is connected. */
  enabled: boolean;
  /** One per engine; every episode carries it. */
  sessionId: string;
  /** Answers in the cache. */
  cacheSize: number;
  cacheHits: number;
  cacheMisses: number;
  /** Hits among all look-ups so far, 0 … 1; 0 before the first. */
  cacheHitRate: number;
  episodes: EpisodeCounts;
}

export interface ConsolidationResult {
  skillsCreated: number;
  /** Why it came to nothing; absent if it did not. */
  error?: Error;
}

export interface ConnectionSettings extends AdvisorSettings {
  maxPendingEpisodes: number;
}

/** Users whose last situation is kept. */
const MAX_SITUATIONS = 10_000;

export class BankConnection {
  readonly #sessionId = `lora-engine-${Date.now()}-${randomBytes(5).toString('hex').slice(0, 9)}`;
  readonly #settings: ConnectionSettings;
  readonly #logger: Logger;
  readonly #advisor: Advisor;
  readonly #recorder: EpisodeRecorder;
  /** The last update of each user, for searches that know his name only. */
  readonly #situations = new QueryCache<AdaptationSituation>(MAX_SITUATIONS, Infinity);
  #bank: ReasoningBankInstance | undefined;

  constructor(configured: ConfiguredSettings, settings: ConnectionSettings, logger: Logger) {
    this.#settings = settings;
    this.#logger = logger;
    this.#advisor = new Advisor(configured, settings, logger);
    this.#recorder = new EpisodeRecorder(this.#sessionId, logger, settings.maxPendingEpisodes);
  }

  get bank(): ReasoningBankInstance | undefined {
    return this.#bank;
  }

  get stats(): ReasoningBankStats {
    const { size, hits, misses } = this.#advisor.counts;
    return {
      enabled: this.#bank !== undefined,
      sessionId: this.#sessionId,
      cacheSize: size,
      cacheHits: hits,
      cacheMisses: misses,
      cacheHitRate: hits + misses === 0 ? 0 : hits / (hits + misses),
      episodes: this.#recorder.counts,
    };
  }

  /** Throws ERR_INVALID_ARGUMENT, and keeps the bank that is connected, for one that lacks a method. */
  connect(bank: ReasoningBankInstance): void {
    this.#bank = requireReasoningBank('bank', bank);
    this.#advisor.clear();
    this.#logger.info('🔗 ReasoningBank: connected');
  }

  disconnect(): void {
    this.#bank = undefined;
    this.#advisor.clear();
    this.#logger.info('🔌 ReasoningBank: disconnected');
  }

  clearCache(): void {
    this.#advisor.clear();
    this.#logger.info('🧹 ReasoningBank: cache cleared');
  }

  advise(bank: ReasoningBankInstance, situation: AdaptationSituation): Advice | Promise<Advice> {
    this.#situations.set(situation.userId, situation);
    return this.#advisor.advise(bank, situation);
  }

  /** See EpisodeRecorder.record. */
  record(bank: ReasoningBankInstance, episode: AdaptationEpisode): Promise<void> | undefined {
    return this.#recorder.record(bank, episode);
  }

  flush(): Promise<void> {
    return this.#recorder.flush();
  }

  /** Users whom the bank names, each once; none without a bank that can, or if it fails. */
  similarUsers(situation: AdaptationSituation, k: number): string[] {
    const bank = this.#bank;
    if (typeof bank?.similarUsers !== 'function') return [];
    try {
      const named: unknown = bank.similarUsers(situation, k);
      if (named instanceof Promise) named.catch(() => undefined);
      if (!Array.isArray(named)) throw new TypeError(`similarUsers gave ${describe(named)}, expected an array`);
      return [...new Set(named.filter((userId) => typeof userId === 'string'))].slice(0, k);
    } catch (error) {
      this.#logger.warn(`⚠️ ReasoningBank: no similar users (${reasonOf(error)})`);
      return [];
    }
  }

  /** Null without a bank. The bank takes its arguments in another order. */
  async consolidate(
    minSuccessRate: number,
    minUses: number,
    lookbackDays: number,
  ): Promise<ConsolidationResult | null> {
    requireNumber('minSuccessRate', minSuccessRate, { min: 0, max: 1 }, 'ERR_OUT_OF_RANGE');
    requireInteger('minUses', minUses, 1, Number.MAX_SAFE_INTEGER, 'ERR_OUT_OF_RANGE');
    requireNumber('lookbackDays', lookbackDays, { above: 0, infinity: true }, 'ERR_OUT_OF_RANGE');
    const bank = this.#bank;
    if (!bank) {
      this.#logger.warn('⚠️ ReasoningBank: none is connected, there is nothing to consolidate');
      return null;
    }
    this.#logger.info('🔄 ReasoningBank: Consolidating adaptation patterns');
    try {
      await this.#recorder.flush();
      const { skillsCreated } = await bank.autoConsolidate(minUses, minSuccessRate, lookbackDays);
      // what was advised before did not know the skills
      this.#advisor.clear();
      return { skillsCreated };
    } catch (thrown) {
      const error = thrown instanceof Error ? thrown : new Error(String(thrown));
      this.#logger.error(`❌ ReasoningBank: consolidation failed (${error.message})`);
      return { skillsCreated: 0, error };
    }
  }

  /** Null without a bank, or if it fails. Patterns that cannot be read are left out, one by one. */
  async similar(topK: number, otherwise: SimilarAdaptation): Promise<SimilarAdaptation[] | null> {
    requireInteger('topK', topK, 1, Number.MAX_SAFE_INTEGER, 'ERR_OUT_OF_RANGE');
    const bank = this.#bank;
    if (!bank) return null;
    try {
      const query = `lora_adaptation_user_${otherwise.userId}`;
      const situation = this.#situations.get(otherwise.userId);
      const options = { k: topK, minReward: 0.7, onlySuccesses: true, ...(situation && { situation }) };
      const found = await withDeadline('ReasoningBank', this.#settings.timeoutMs, () =>
        bank.retrievePatterns(query, options),
      );
      return found.flatMap((pattern) => this.#readable(() => similarAdaptationOf(pattern, otherwise)));
    } catch (error) {
      this.#logger.warn(`⚠️ ReasoningBank: no similar adaptations (${reasonOf(error)})`);
      return null;
    }
  }

  #readable<T>(read: () => T): T[] {
    try {
      return [read()];
    } catch (error) {
      this.#logger.debug(`ReasoningBank: left out a pattern that cannot be read (${describe(reasonOf(error))})`);
      return [];
    }
  }
}
