/** A bank with all that was seen of agentic-flow 2.1.3's HybridReasoningBank: see docs/reasoning.md. */
export class FlawedBank {
  /** Its database, which has to be initialised before the constructor is called. */
  static ready = true;
  readonly #episodes: Record<string, unknown>[] = [];
  readonly #cache = new Map<string, unknown[]>();

  constructor() {
    if (!FlawedBank.ready) throw new Error('Database not initialized');
  }

  async storePattern(pattern: Record<string, unknown>): Promise<string> {
    const id = `episode-${this.#episodes.length}`;
    this.#episodes.push({ ...pattern, id });
    // an edge to the next episode, which is not there yet; nobody awaits it
    if (pattern.input && pattern.output && pattern.success)
      void Promise.reject(new Error('FOREIGN KEY constraint failed'));
    return id;
  }

  /** Neither reward nor success nor input nor output; no filter is kept to; the order means nothing; cached for a minute. */
  async retrievePatterns(query: string, options: Record<string, unknown> = {}): Promise<unknown[]> {
    const key = `retrieve:${query}:${options.k}:${options.onlySuccesses}:${options.onlyFailures}`;
    const cached = this.#cache.get(key);
    if (cached) return cached;
    const found = this.#episodes
      .slice(0, options.k as number)
      .map(({ id, task }) => ({ id, task, similarity: Number.NaN, uplift: 0, type: 'episode' }))
      .filter(({ uplift }) => options.minReward === undefined || uplift >= (options.minReward as number));
    this.#cache.set(key, found);
    return found;
  }

  async learnStrategy(task: string): Promise<unknown> {
    return {
      patterns: await this.retrievePatterns(task, { k: 10 }),
      confidence: Number.NaN,
      recommendation: undefined,
    };
  }

  async autoConsolidate(): Promise<unknown> {
    return { skillsCreated: 0 };
  }
}
