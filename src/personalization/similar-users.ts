/** Similar users as the engine finds them, among those it remembers or those it is given. */
import { fail, requireInteger, requireOneOf } from '../checks.js';
import type { AdaptationSituation } from '../reasoning/contract.js';
import { situationOf } from './adaptation-situation.js';
import { recordOf, stateOf } from './adapter-record.js';
import { gatherFeedback } from './feedback.js';
import type { ResolvedConfig } from './options.js';
import type { FeedbackRows, StepRows } from './training-step.js';
import { DEFAULT_SIMILAR, MOST_CANDIDATES, mostSimilar, RememberedAdapters, startAmong } from './transfer.js';
import type { AdapterFeedback, SimilarUser, UserLoRAAdapter, WarmStartOptions } from './types.js';

export class SimilarUsers {
  readonly #config: ResolvedConfig;
  readonly #lossOf: (adapter: UserLoRAAdapter, rows: StepRows) => number;
  readonly #namesFor: (situation: AdaptationSituation, k: number) => readonly string[];
  readonly #remembered = new RememberedAdapters();

  /**
   * `lossOf` tells an adapter's mean squared error on rows, of which there is at least one; `namesFor` the users whom a
   * ReasoningBank holds to be promising in a situation, none if it knows none.
   */
  constructor(
    config: ResolvedConfig,
    lossOf: (adapter: UserLoRAAdapter, rows: StepRows) => number,
    namesFor: (situation: AdaptationSituation, k: number) => readonly string[],
  ) {
    this.#config = config;
    this.#lossOf = lossOf;
    this.#namesFor = namesFor;
  }

  remember(adapter: UserLoRAAdapter): void {
    this.#remembered.remember(adapter);
  }

  /** What a new user starts from who would otherwise start from `start`. */
  startFrom(start: UserLoRAAdapter, options: WarmStartOptions = {}): UserLoRAAdapter {
    const { warmStart = 'prior', feedback = [] } = options;
    if (requireOneOf('warmStart', warmStart, ['prior', 'similar']) === 'prior') return start;
    const among = options.among ?? this.#candidates(start, feedback, options.adapterOf);
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

  /** Those whom the bank names, as far as their adapters are at hand; if there are none, all that are remembered. */
  #candidates(
    start: UserLoRAAdapter,
    feedback: readonly AdapterFeedback[],
    adapterOf: WarmStartOptions['adapterOf'] = (userId) => this.#remembered.get(userId),
  ): UserLoRAAdapter[] {
    if (typeof adapterOf !== 'function') fail('ERR_INVALID_ARGUMENT', 'adapterOf', adapterOf, 'a function');
    requireArray('feedback', feedback);
    const rows = this.#rowsOf(feedback, start.userId);
    const names =
      rows.count > 0 ? this.#namesFor(situationOf(this.#config, start, feedback, rows), MOST_CANDIDATES) : [];
    const named = names.filter((userId) => userId !== start.userId).flatMap((userId) => adapterOf(userId) ?? []);
    return named.length > 0 ? named : this.#remembered.others(start.userId);
  }

  #rank(
    feedback: readonly AdapterFeedback[],
    userId: string | undefined,
    among: readonly UserLoRAAdapter[],
    topK: number,
  ): SimilarUser[] {
    requireArray('feedback', feedback);
    requireArray('among', among);
    const rows = this.#rowsOf(feedback, userId ?? '');
    const losses = among.map((adapter) => (rows.count === 0 ? 0 : this.#lossOf(adapter, rows)));
    return mostSimilar(losses, rows.count, topK).map(({ index, loss, weight }) => {
      return { adapter: among[index], loss, weight };
    });
  }

  #rowsOf(feedback: readonly AdapterFeedback[], userId: string): FeedbackRows {
    return gatherFeedback(feedback, userId, this.#config.embeddingDim, this.#config.targetPolicy);
  }
}

function requireArray(name: string, value: unknown): void {
  if (!Array.isArray(value)) fail('ERR_INVALID_ARGUMENT', name, value, 'an array');
}
