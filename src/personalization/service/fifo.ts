/** First in, first out, in constant time also for long queues, for which Array.shift is not. */
export class Fifo<T> {
  #items: T[] = [];
  #first = 0;

  get length(): number {
    return this.#items.length - this.#first;
  }

  push(item: T): void {
    this.#items.push(item);
  }

  peek(): T | undefined {
    return this.#items[this.#first];
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#first];
    this.#items[this.#first] = undefined as T;
    this.#first += 1;
    if (this.length === 0) {
      this.#items.length = 0;
      this.#first = 0;
    } else if (this.#first >= 1024 && this.#first > this.length) {
      this.#items = this.#items.slice(this.#first);
      this.#first = 0;
    }
    return item;
  }

  *[Symbol.iterator](): Generator<T> {
    for (let i = this.#first; i < this.#items.length; i++) yield this.#items[i];
  }

  /** Up to `count` from the front. */
  take(count: number): T[] {
    const taken: T[] = [];
    while (taken.length < count && this.length > 0) taken.push(this.shift() as T);
    return taken;
  }
}
