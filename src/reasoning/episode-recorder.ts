/** Stores episodes in the background: in order, in a bounded queue, and without anybody having to wait or to fail. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Logger } from '../logger.js';
import type { AdaptationEpisode, ReasoningBankInstance } from './contract.js';
import { withDeadline } from './deadline.js';
import { patternOf } from './episode.js';

export interface EpisodeCounts {
  /** Waiting to be stored, or being stored. */
  pending: number;
  stored: number;
  /** Refused by the bank. */
  failed: number;
  /** Given up because the queue was full or the bank did not answer. */
  dropped: number;
}

interface Pending {
  bank: ReasoningBankInstance;
  episode: AdaptationEpisode;
}

/** Episodes handed to a bank together, so that it can store them in one transaction. */
const AT_A_TIME = 64;

/** A bank that takes longer for them is not answering. */
const STORE_TIMEOUT_MS = 5000;

export class EpisodeRecorder {
  readonly #sessionId: string;
  readonly #logger: Logger;
  readonly #maxPending: number;
  readonly #storeTimeoutMs: number;
  #queue: Pending[] = [];
  #storing = 0;
  #running: Promise<void> | undefined;
  #sinceTurn = 0;
  readonly #counts = { stored: 0, failed: 0, dropped: 0 };

  constructor(sessionId: string, logger: Logger, maxPending: number, storeTimeoutMs = STORE_TIMEOUT_MS) {
    this.#sessionId = sessionId;
    this.#logger = logger;
    this.#maxPending = maxPending;
    this.#storeTimeoutMs = storeTimeoutMs;
  }

  get counts(): EpisodeCounts {
    return { pending: this.#queue.length + this.#storing, ...this.#counts };
  }

  /**
   * Queues the episode; the oldest one goes if there is no room. A result is for the caller to wait for before the next
   * episode: a loop that awaits nothing but updates would otherwise never let the background run.
   */
  record(bank: ReasoningBankInstance, episode: AdaptationEpisode): Promise<void> | undefined {
    this.#queue.push({ bank, episode });
    if (this.#queue.length > this.#maxPending) {
      this.#queue.shift();
      this.#counts.dropped += 1;
    }
    this.#running ??= this.#storeAll();
    this.#sinceTurn += 1;
    return this.#sinceTurn >= Math.min(AT_A_TIME, this.#maxPending) ? nextTurn() : undefined;
  }

  /** Once every episode recorded so far is stored or given up. */
  async flush(): Promise<void> {
    await this.#running;
  }

  async #storeAll(): Promise<void> {
    while (this.#queue.length > 0) {
      await nextTurn();
      this.#sinceTurn = 0;
      const some = this.#queue.splice(0, AT_A_TIME);
      this.#storing = some.length;
      await this.#storeSome(some);
      this.#storing = 0;
    }
    this.#running = undefined;
  }

  async #storeSome(some: readonly Pending[]): Promise<void> {
    let left = some.length;
    const store = async (pending: Pending): Promise<void> => {
      const stored = await this.#store(pending);
      // after the deadline it has been counted as dropped
      if (left === 0) return;
      left -= 1;
      this.#counts[stored ? 'stored' : 'failed'] += 1;
    };
    try {
      await withDeadline('storePattern', this.#storeTimeoutMs, () => Promise.all(some.map(store)));
    } catch (error) {
      // what waits behind them would wait as long
      const dropped = left + this.#queue.splice(0).length;
      left = 0;
      this.#counts.dropped += dropped;
      this.#logger.warn(`⚠️ ReasoningBank: Failed to store ${dropped} adaptation episodes (${reasonOf(error)})`);
    }
  }

  /** Whether the bank took it. */
  async #store({ bank, episode }: Pending): Promise<boolean> {
    try {
      const pattern = patternOf(episode, this.#sessionId);
      const id = await bank.storePattern(pattern);
      this.#logger.info(`💾 ReasoningBank: Stored adaptation episode #${id} (reward: ${pattern.reward.toFixed(2)})`);
      return true;
    } catch (error) {
      this.#logger.warn(`⚠️ ReasoningBank: Failed to store an adaptation episode (${reasonOf(error)})`);
      return false;
    }
  }
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
