/** Similar users as the engine finds them, among those it remembers or those it is given. */
import { fail, requireInteger, requireOneOf } from '../checks.js';
import { recordOf, stateOf } from './adapter-record.js';
import { gatherFeedback } from './feedback.js';
import type { ResolvedConfig } from './options.js';
import type { StepRows } from './training-step.js';
import { DEFAULT_SIMILAR, mostSimilar, RememberedAdapters, startAmong } from './transfer.js';
import type { AdapterFeedback, SimilarUser, UserLoRAAdapter, WarmStartOptions } from './types.js';

export class SimilarUsers {
  readonly #config: ResolvedConfig;
  readonly #lossOf: (adapter: UserLoRAAdapter, rows: StepRows) => number;
  readonly #remembered = new RememberedAdapters();

  /** `lossOf` tells an adapter's mean squared error on rows, of which there is at least one. */
  constructor(config: ResolvedConfig, lossOf: (adapter: UserLoRAAdapter, rows: StepRows) => number) {
    this.#config = config;
    this.#lossOf = lossOf;
  }

  remember(adapter: UserLoRAAdapter): void {
    this.#remembered.remember(adapter);
  }

  /** What a new user starts from who would otherwise start from `start`. */
  startFrom(start: UserLoRAAdapter, options: WarmStartOptions = {}): UserLoRAAdapter {
    const { warmStart = 'prior', feedback = [], among = this.#remembered.others(start.userId) } = options;
    if (requireOneOf('warmStart', warmStart, ['prior', 'similar']) === 'prior') return start;
    requireArray('among', among);
    const similar = this.#rank(feedback, start.userId, [start, ...among], 1 + DEFAULT_SIMILAR);
    const others = similar.map(({ adapter }) => ({ loraA: adapter.matrixA, loraB: adapter.matrixB }));
    const weights = similar.map(({ weight }) => weight);
    return recordOf(startAmong(stateOf(start), others, weights, this.#config.prior !== undefined));
  }

  /** As the engine's findSimilarUsers. */
  find(
    feedback: readonly AdapterFeedback[],
    topK: number = DEFAULT_SIMILAR,
    among?: readonly UserLoRAAdapter[],
  ): SimilarUser[] {
    requireArray('feedback', feedback);
    requireInteger('topK', topK, 1, Number.MAX_SAFE_INTEGER, 'ERR_OUT_OF_RANGE');
    const userId = feedback[0]?.watchEvent?.userId;
    return this.#rank(feedback, userId, among ?? this.#remembered.others(userId), topK);
  }

  #rank(
    feedback: readonly AdapterFeedback[],
    userId: string | undefined,
    among: readonly UserLoRAAdapter[],
    topK: number,
  ): SimilarUser[] {
    const { embeddingDim, targetPolicy } = this.#config;
    requireArray('feedback', feedback);
    requireArray('among', among);
    const rows = gatherFeedback(feedback, userId ?? '', embeddingDim, targetPolicy);
    const losses = among.map((adapter) => (rows.count === 0 ? 0 : this.#lossOf(adapter, rows)));
    return mostSimilar(losses, rows.count, topK).map(({ index, loss, weight }) => {
      return { adapter: among[index], loss, weight };
    });
  }
}

function requireArray(name: string, value: unknown): void {
  if (!Array.isArray(value)) fail('ERR_INVALID_ARGUMENT', name, value, 'an array');
}
