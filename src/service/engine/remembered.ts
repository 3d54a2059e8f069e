/** An answer that costs something to get, and that may be a moment old. */
export class Remembered<T> {
  readonly #ask: () => Promise<T>;
  readonly #forMs: number;
  #answer: Promise<T> | undefined;
  #goodUntil = 0;
  #latest: { value: T; at: number } | undefined;

  constructor(ask: () => Promise<T>, forMs: number) {
    this.#ask = ask;
    this.#forMs = forMs;
  }

  /** One question at a time, however many ask; a failure is remembered like an answer. */
  get(): Promise<T> {
    if (this.#answer && performance.now() < this.#goodUntil) return this.#answer;
    const answer = this.#ask();
    this.#answer = answer;
    this.#goodUntil = Number.POSITIVE_INFINITY; // until it is there
    const got = () => {
      if (this.#answer === answer) this.#goodUntil = performance.now() + this.#forMs;
    };
    answer.then((value) => {
      got();
      this.#latest = { value, at: performance.now() };
    }, got);
    return answer;
  }

  /** The last answer that came within so many ms, for who cannot wait. */
  latest(withinMs: number): T | undefined {
    return this.#latest && performance.now() - this.#latest.at <= withinMs ? this.#latest.value : undefined;
  }

  /** This is the answer now. */
  set(value: T): void {
    this.#answer = Promise.resolve(value);
    this.#goodUntil = performance.now() + this.#forMs;
    this.#latest = { value, at: performance.now() };
  }
}
