/** Banks for the tests: one that keeps patterns in a list, and ways for it to misbehave. */
import type { Logger } from '../../src/logger.js';
import type {
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
} from '../../src/reasoning/contract.js';

/** Finds the patterns that pass the filters, newest first, and recommends what it is told to. */
export class ListBank implements ReasoningBankInstance {
  readonly patterns: ReasoningBankPattern[] = [];
  readonly calls = { store: 0, retrieve: 0, strategy: 0 };
  readonly queries: [string, ReasoningBankOptions | undefined][] = [];
  readonly consolidations: unknown[][] = [];
  recommendation = '';
  confidence = 0.875;

  async storePattern(pattern: ReasoningBankPattern): Promise<number> {
    this.calls.store += 1;
    return this.patterns.push(pattern);
  }

  async retrievePatterns(query: string, options: ReasoningBankOptions = {}): Promise<ReasoningBankPattern[]> {
    this.calls.retrieve += 1;
    this.queries.push([query, options]);
    const { k = 5, minReward = 0, onlySuccesses = false } = options;
    return this.patterns
      .filter(({ reward, success }) => reward >= minReward && (success || !onlySuccesses))
      .slice(-k)
      .reverse();
  }

  async learnStrategy(): Promise<LearnedStrategy> {
    this.calls.strategy += 1;
    const { recommendation, confidence } = this;
    return { patterns: [], causality: null, confidence, recommendation };
  }

  async autoConsolidate(...args: unknown[]): Promise<{ skillsCreated: number }> {
    this.consolidations.push(args);
    return { skillsCreated: this.patterns.length };
  }
}

/** With `count` successful episodes of others in it. */
export function bankWith(count: number, recommendation = ''): ListBank {
  const bank = new ListBank();
  for (let i = 1; i <= count; i++) {
    bank.patterns.push({
      sessionId: 'earlier',
      task: `lora_adaptation_user_other-${i}_rank_4_samples_4`,
      input: JSON.stringify({ userId: `other-${i}`, rank: 4, learningRate: 0.002 * i }),
      output: JSON.stringify({ avgLoss: 0 }),
      success: true,
      reward: 0.9,
    });
  }
  bank.recommendation = recommendation;
  return bank;
}

const never = () => new Promise<never>(() => {});

/** Answers nothing, ever. */
export const hangingBank = (): ReasoningBankInstance => ({
  storePattern: never,
  retrievePatterns: never,
  learnStrategy: never,
  autoConsolidate: never,
});

/** Fails at everything; `throws`: before there is a promise. */
export function failingBank(throws = false): ReasoningBankInstance {
  const fail = throws
    ? () => {
        throw new Error('no database');
      }
    : () => Promise.reject(new Error('no database'));
  return { storePattern: fail, retrievePatterns: fail, learnStrategy: fail, autoConsolidate: fail };
}

/** Keeps its lines as `level: message`. */
export class ListLogger implements Logger {
  readonly lines: string[] = [];
  readonly debug = (message: string) => this.#add('debug', message);
  readonly info = (message: string) => this.#add('info', message);
  readonly warn = (message: string) => this.#add('warn', message);
  readonly error = (message: string) => this.#add('error', message);

  #add(level: string, message: string): void {
    this.lines.push(`${level}: ${message}`);
  }

  matching(pattern: RegExp): string[] {
    return this.lines.filter((line) => pattern.test(line));
  }
}
