/** A bank that does as the contract says, in a few lines, and copies of it with one mistake each. */
import type {
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
  RetrievedPattern,
} from '../../src/reasoning/contract.js';

export class MemoryBank implements ReasoningBankInstance {
  protected readonly patterns: RetrievedPattern[] = [];
  readonly #skills = new Set<string>();

  async storePattern(pattern: ReasoningBankPattern): Promise<number> {
    if (typeof pattern?.task !== 'string' || !(pattern.reward >= 0)) throw new TypeError('not a pattern');
    this.patterns.push({ ...pattern, id: this.patterns.length + 1 });
    return this.patterns.length;
  }

  async retrievePatterns(query: string, options: ReasoningBankOptions = {}): Promise<RetrievedPattern[]> {
    const { k = 5, minReward = 0, onlySuccesses, onlyFailures } = options;
    return this.patterns
      .filter(
        ({ reward, success }) => reward >= minReward && !(onlySuccesses && !success) && !(onlyFailures && success),
      )
      .map((pattern) => ({ ...pattern, similarity: pattern.task === query ? 1 : 0 }))
      .sort((a, b) => b.similarity - a.similarity)
      .slice(0, k);
  }

  async learnStrategy(task: string): Promise<LearnedStrategy> {
    const patterns = await this.retrievePatterns(task);
    return { patterns, causality: null, confidence: Math.min(1, patterns.length / 10), recommendation: '' };
  }

  async autoConsolidate(minUses = 5, minSuccessRate = 0.85): Promise<{ skillsCreated: number }> {
    let skillsCreated = 0;
    for (const task of new Set(this.patterns.map((pattern) => pattern.task))) {
      const group = this.patterns.filter((pattern) => pattern.task === task);
      const rate = group.filter(({ success }) => success).length / group.length;
      if (group.length < minUses || rate < minSuccessRate || this.#skills.has(task)) continue;
      this.#skills.add(task);
      skillsCreated += 1;
    }
    return { skillsCreated };
  }
}

export const MUTANTS: Record<string, () => ReasoningBankInstance> = {
  'string ids': () =>
    new (class extends MemoryBank {
      override async storePattern(pattern: ReasoningBankPattern): Promise<number> {
        return String(await super.storePattern(pattern)) as unknown as number;
      }
    })(),
  'the same id always': () =>
    new (class extends MemoryBank {
      override async storePattern(pattern: ReasoningBankPattern): Promise<number> {
        return (await super.storePattern(pattern)) && 1;
      }
    })(),
  'forgets the reward': () =>
    new (class extends MemoryBank {
      override async retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]> {
        const found = await super.retrievePatterns(query, options);
        return found.map(({ reward, ...rest }) => rest as RetrievedPattern);
      }
    })(),
  'ignores onlySuccesses': () =>
    new (class extends MemoryBank {
      override retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]> {
        return super.retrievePatterns(query, { ...options, onlySuccesses: false });
      }
    })(),
  'ignores minReward': () =>
    new (class extends MemoryBank {
      override retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]> {
        return super.retrievePatterns(query, { ...options, minReward: 0 });
      }
    })(),
  'ignores k': () =>
    new (class extends MemoryBank {
      override retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]> {
        return super.retrievePatterns(query, { ...options, k: 1000 });
      }
    })(),
  'least similar first': () =>
    new (class extends MemoryBank {
      override async retrievePatterns(query: string, options?: ReasoningBankOptions): Promise<RetrievedPattern[]> {
        return (await super.retrievePatterns(query, options)).reverse();
      }
    })(),
  'takes the success rate first': () =>
    new (class extends MemoryBank {
      override autoConsolidate(first?: number, second?: number): Promise<{ skillsCreated: number }> {
        return super.autoConsolidate(second, first);
      }
    })(),
  'no confidence': () =>
    new (class extends MemoryBank {
      override async learnStrategy(task: string): Promise<LearnedStrategy> {
        return { ...(await super.learnStrategy(task)), confidence: Number.NaN };
      }
    })(),
  'throws instead of rejecting': () =>
    new (class extends MemoryBank {
      override storePattern(pattern: ReasoningBankPattern): Promise<number> {
        if (!(pattern?.reward >= 0)) throw new TypeError('not a pattern');
        return super.storePattern(pattern);
      }
    })(),
  'drops a rejected promise': () =>
    new (class extends MemoryBank {
      override storePattern(pattern: ReasoningBankPattern): Promise<number> {
        void Promise.reject(new Error('nobody awaits this'));
        return super.storePattern(pattern);
      }
    })(),
};
