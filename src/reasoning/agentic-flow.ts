/**
 * A bridge from the contract to the banks that agentic-flow's users have. What it guards against was seen with version
 * 2.1.3; docs/reasoning.md has the list.
 */
import { describe, fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { requireConsolidation, requirePattern, requireRetrieval, requireText } from './bank-arguments.js';
import type {
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
  RetrievedPattern,
} from './contract.js';
import { requireReasoningBank } from './contract.js';
import { PatternIndex } from './embedded/pattern-index.js';
import { TEXT_DIMENSIONS, writeTextVector } from './embedded/text-vector.js';

/** A bank, or what makes one when it is first needed: agentic-flow's constructor may throw until its database is ready. */
export type AgenticFlowBank = object | (() => object | Promise<object>);

/** Patterns remembered, so that their fields can be given back; the bank's own memory has no such bound. */
const MAX_REMEMBERED = 10_000;
/** The bank is asked for this many times k, since it may not have kept to the filters. */
const SURPLUS = 4;
const STRATEGY_PATTERNS = 10;

/**
 * Adapts `bank` to the contract. Ids become numbers; filters are kept to; fields that the bank loses are added again;
 * patterns whose reward or success nobody knows are left out. Throws ERR_INVALID_ARGUMENT for an object without the four
 * methods; if a function is given instead, its errors and its results' come as rejections of each call, with
 * ERR_REASONING_BANK_UNAVAILABLE, until it succeeds.
 */
export function fromAgenticFlow(bank: AgenticFlowBank): ReasoningBankInstance {
  if (typeof bank === 'function') return new AgenticFlowBridge(bank as () => object | Promise<object>);
  if (typeof bank !== 'object' || bank === null) fail('ERR_INVALID_ARGUMENT', 'bank', bank, 'a bank or a function');
  const checked = requireReasoningBank('bank', bank);
  return new AgenticFlowBridge(() => checked);
}

class AgenticFlowBridge implements ReasoningBankInstance {
  readonly #make: () => object | Promise<object>;
  #bank: Promise<ReasoningBankInstance> | undefined;
  readonly #patterns = new Map<number, ReasoningBankPattern>();
  /** The bank's ids, as texts, to the contract's. */
  readonly #ids = new Map<string, number>();
  #lastId = 0;
  readonly #index = new PatternIndex();

  constructor(make: () => object | Promise<object>) {
    this.#make = make;
  }

  async storePattern(pattern: ReasoningBankPattern): Promise<number> {
    const checked = requirePattern(pattern);
    const bank = await this.#open();
    const foreignId: unknown = await bank.storePattern(wrapped(checked));
    const id = this.#idOf(foreignId);
    this.#remember(id, checked);
    return id;
  }

  async retrievePatterns(query: string, options: ReasoningBankOptions = {}): Promise<RetrievedPattern[]> {
    const text = requireText('query', query);
    const { k, situation, ...filters } = requireRetrieval(options);
    const bank = await this.#open();
    // no minReward: agentic-flow compares it with something else, and remembers the answer for other values too
    const { onlySuccesses, onlyFailures } = filters;
    const answers: unknown = await bank.retrievePatterns(text, { k: SURPLUS * k, onlySuccesses, onlyFailures });
    const found = new Map<number, RetrievedPattern>();
    // its own answers may be a minute old, so what was stored since comes from here
    for (const { id, similarity } of this.#index.search({ text, k, ...filters })) {
      found.set(id, { ...(this.#patterns.get(id) as ReasoningBankPattern), id, similarity });
    }
    for (const pattern of this.#completed(answers, text)) {
      if (passes(pattern, filters) && !found.has(pattern.id)) found.set(pattern.id, pattern);
    }
    return [...found.values()].sort((a, b) => (b.similarity as number) - (a.similarity as number)).slice(0, k);
  }

  async learnStrategy(task: string): Promise<LearnedStrategy> {
    const bank = await this.#open();
    const answer: unknown = await bank.learnStrategy(requireText('task', task));
    const patterns = await this.retrievePatterns(task, { k: STRATEGY_PATTERNS, onlySuccesses: true });
    const { causality = null, confidence, recommendation } = (answer ?? {}) as Partial<LearnedStrategy>;
    return {
      patterns,
      causality,
      confidence: typeof confidence === 'number' && confidence >= 0 ? Math.min(1, confidence) : 0,
      recommendation: typeof recommendation === 'string' ? recommendation : '',
    };
  }

  async autoConsolidate(minUses = 5, minSuccessRate = 0.85, lookbackDays = 30): Promise<{ skillsCreated: number }> {
    requireConsolidation(minUses, minSuccessRate, lookbackDays);
    const bank = await this.#open();
    const answer: unknown = await bank.autoConsolidate(minUses, minSuccessRate, lookbackDays);
    const created = (answer as { skillsCreated?: unknown } | null)?.skillsCreated;
    return { skillsCreated: typeof created === 'number' && created > 0 ? created : 0 };
  }

  /** Makes the bank once; after a failure the next call tries again. */
  #open(): Promise<ReasoningBankInstance> {
    this.#bank ??= this.#create().catch((cause) => {
      this.#bank = undefined;
      const reason = cause instanceof Error ? cause.message : describe(cause);
      throw new LorakeetError('ERR_REASONING_BANK_UNAVAILABLE', `the bank could not be made: ${reason}`, { cause });
    });
    return this.#bank;
  }

  async #create(): Promise<ReasoningBankInstance> {
    return requireReasoningBank('bank', await this.#make());
  }

  #idOf(foreignId: unknown): number {
    const key = String(foreignId);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#lastId += 1;
    this.#ids.set(key, this.#lastId);
    return this.#lastId;
  }

  #remember(id: number, pattern: ReasoningBankPattern): void {
    this.#patterns.set(id, pattern);
    this.#index.add({ id, task: pattern.task, success: pattern.success, reward: pattern.reward });
    if (this.#patterns.size <= MAX_REMEMBERED) return;
    const oldest = [...this.#patterns.keys()].slice(0, MAX_REMEMBERED / 10);
    for (const one of oldest) this.#patterns.delete(one);
    this.#index.remove(new Set(oldest));
  }

  #completed(answers: unknown, query: string): (RetrievedPattern & { id: number })[] {
    if (!Array.isArray(answers)) return [];
    return answers.flatMap((answer: unknown) => {
      if (typeof answer !== 'object' || answer === null) return [];
      const given = answer as Record<string, unknown>;
      const id = this.#idOf(given.id);
      const pattern = this.#patterns.get(id) ?? unwrapped(given);
      return pattern ? [{ ...pattern, id, similarity: likeness(query, pattern.task) }] : [];
    });
  }
}

/**
 * What the bank is given. Input and output go into one text, and none goes into `output`: agentic-flow links successful
 * episodes that have both, in a promise that it does not await and that is rejected, which ends the process. The text also
 * holds what its answers leave out.
 */
function wrapped(pattern: ReasoningBankPattern): ReasoningBankPattern {
  const { output, ...rest } = pattern;
  return { ...rest, input: JSON.stringify({ lorakeetPattern: pattern }) };
}

/** The pattern that an earlier process stored, or some other program; undefined if it cannot be known. */
function unwrapped(given: Record<string, unknown>): ReasoningBankPattern | undefined {
  try {
    const { lorakeetPattern } = JSON.parse(given.input as string) as { lorakeetPattern?: ReasoningBankPattern };
    if (lorakeetPattern) return requirePattern(lorakeetPattern);
  } catch {
    // not of ours
  }
  try {
    return requirePattern({ sessionId: '', ...given } as unknown as ReasoningBankPattern);
  } catch {
    return undefined;
  }
}

function passes(
  { success, reward }: ReasoningBankPattern,
  { minReward = -Infinity, onlySuccesses, onlyFailures }: ReasoningBankOptions,
): boolean {
  return reward >= minReward && !(onlySuccesses && !success) && !(onlyFailures && success);
}

/** As the index has it, so that its hits and the bank's can stand in one order. */
function likeness(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => {
    const vector = new Float32Array(TEXT_DIMENSIONS);
    writeTextVector(text, vector, 0);
    return vector;
  });
  return 1 / (1 + (1 - x.reduce((sum, value, j) => sum + value * y[j], 0)));
}
