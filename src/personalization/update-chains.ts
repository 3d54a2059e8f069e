/** What makes concurrent updates of one adapter follow each other instead of losing all but one. */

/** Updates that build on each other, from the first one's adapter to the newest. */
interface Chain<T> {
  /** Result of the update called last, or of the one before it where that failed; never rejects. */
  newest: Promise<T>;
  /** Updates called so far. */
  calls: number;
  /** Whoever updates one of these joins the chain. */
  members: T[];
}

/**
 * An update called while another one of the same object runs starts from that one's result. Once all of them are done
 * nothing is remembered: whoever updates an old object then, wants to start from it.
 */
export class UpdateChains<T extends object> {
  readonly #chains = new Map<T, Chain<T>>();

  /** `update`'s result; it runs at once, on `adapter`, unless an earlier update has to end first. */
  run(adapter: T, update: (newest: T) => Promise<T>): Promise<T> {
    const running = this.#chains.get(adapter);
    if (running) return this.#follow(running, running.newest.then(update));
    const result = update(adapter);
    const chain = { newest: Promise.resolve(adapter), calls: 0, members: [adapter] };
    this.#chains.set(adapter, chain);
    return this.#follow(chain, result);
  }

  #follow(chain: Chain<T>, update: Promise<T>): Promise<T> {
    const before = chain.newest;
    const call = ++chain.calls;
    // part of the promise that is handed out, so that it is done before anybody sees the result
    const settle = (next: T | undefined): void => {
      if (call === chain.calls) {
        for (const member of chain.members) this.#chains.delete(member);
      } else if (next) {
        chain.members.push(next);
        this.#chains.set(next, chain);
      }
    };
    const result = update.then(
      (next) => {
        settle(next);
        return next;
      },
      (error) => {
        settle(undefined);
        throw error;
      },
    );
    chain.newest = result.catch(() => before);
    return result;
  }
}
