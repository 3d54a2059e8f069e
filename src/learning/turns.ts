/** One operation after another, for each key by itself. */
export class Turns {
  readonly #last = new Map<string, Promise<unknown>>();

  /** Runs `operation` when those asked for before under the same key have ended, however they ended. */
  run<T>(key: string, operation: () => Promise<T>): Promise<T> {
    const before = this.#last.get(key) ?? Promise.resolve();
    const own = before.then(operation, operation);
    const settled = own.then(
      () => {},
      () => {},
    );
    this.#last.set(key, settled);
    void settled.then(() => {
      if (this.#last.get(key) === settled) this.#last.delete(key);
    });
    return own;
  }
}
