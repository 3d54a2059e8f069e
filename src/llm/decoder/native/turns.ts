/** The order of calls on objects that several of them share: who only reads waits for who changes, and the other way round. */

/** Of one object: what has to be waited for. */
export class Turns {
  #change: Promise<unknown> = Promise.resolve();
  #reads: Promise<unknown>[] = [];

  waitToRead(): Promise<unknown> {
    return this.#change;
  }

  waitToChange(): Promise<unknown> {
    return Promise.all([this.#change, ...this.#reads]);
  }

  reading(done: Promise<unknown>): void {
    this.#reads.push(done);
    done.then(() => {
      this.#reads = this.#reads.filter((other) => other !== done);
    });
  }

  changing(done: Promise<unknown>): void {
    this.#change = done;
    this.#reads = [];
  }
}

export interface Uses {
  reads?: readonly Turns[];
  changes?: readonly Turns[];
}

/** Runs `call` when everything asked for before that uses the same objects has settled. */
export function inTurn<T>({ reads = [], changes = [] }: Uses, call: () => T | Promise<T>): Promise<T> {
  const before = [...reads.map((turns) => turns.waitToRead()), ...changes.map((turns) => turns.waitToChange())];
  const result = Promise.all(before).then(call);
  const done = result.then(
    () => {},
    () => {}, // a failed call does not stop those behind it
  );
  for (const turns of reads) turns.reading(done);
  for (const turns of changes) turns.changing(done);
  return result;
}
