/** The store as the service calls it: whatever goes wrong there is a coded error, counted and logged, and nothing hangs. */
import { types } from 'node:util';
import { describe } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { Logger } from '../../logger.js';
import type { AdapterStore, StoredAdapter } from '../../versions/adapter-store.js';
import type { Counters } from './counters.js';

type Method = 'load' | 'save' | 'delete';

export class StoreCalls {
  readonly #store: AdapterStore;
  readonly #timeoutMs: number;
  readonly #counters: Counters;
  readonly #logger: Logger;

  constructor(store: AdapterStore, timeoutMs: number, counters: Counters, logger: Logger) {
    this.#store = store;
    this.#timeoutMs = timeoutMs;
    this.#counters = counters;
    this.#logger = logger;
  }

  /** Bytes or undefined for each id. Rejects with ERR_STORE_FAILURE or ERR_STORE_TIMEOUT. */
  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    const call = this.#call('load', ids.length, async () => {
      const found = await this.#store.load(ids);
      const ok = Array.isArray(found) && found.length === ids.length;
      const bad = ok ? found.find((bytes) => bytes !== undefined && !types.isUint8Array(bytes)) : found;
      if (!ok || bad !== undefined) {
        throw new TypeError(`got ${describe(bad)}, expected a Uint8Array or undefined for each of ${ids.length} ids`);
      }
      return found;
    });
    return this.inTime(call, 'load', ids.length);
  }

  /** Settles when the store's own promise does, however long that takes; ERR_STORE_FAILURE. */
  save(adapters: readonly StoredAdapter[]): Promise<void> {
    return this.#call('save', adapters.length, async () => {
      await this.#store.save(adapters);
      this.#counters.saves += adapters.length;
    });
  }

  /** As save. */
  delete(ids: readonly string[]): Promise<void> {
    return this.#call('delete', ids.length, () => this.#store.delete(ids));
  }

  /** As `call`, but with ERR_STORE_TIMEOUT once that takes too long. */
  async inTime<T>(call: Promise<T>, method: Method, count: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const text = `store.${method} of ${count} adapters: no answer within ${this.#timeoutMs} ms`;
        reject(this.#failed(method, new LorakeetError('ERR_STORE_TIMEOUT', text)));
      }, this.#timeoutMs);
    });
    try {
      return await Promise.race([call, timeout]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #call<T>(method: Method, count: number, call: () => Promise<T>): Promise<T> {
    try {
      return await call();
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : describe(cause);
      const text = `store.${method} of ${count} adapters: ${reason}`;
      throw this.#failed(method, new LorakeetError('ERR_STORE_FAILURE', text, { cause }));
    }
  }

  #failed(method: Method, error: LorakeetError): LorakeetError {
    this.#counters.failures[method] += 1;
    this.#logger.error(`lorakeet: ${error.message}`);
    return error;
  }
}
