/** A store that does what the test says, services that are closed after the test, and feedback for them. */
import { afterEach } from 'vitest';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  type AdapterStore,
  createAdapterPool,
  createPersonalizationService,
  type PersonalizationService,
  type PersonalizationServiceOptions,
  type StoredAdapter,
} from '../../../src/index.js';
import { MemoryAdapterStore } from '../../../src/stores/memory-adapters.js';
import { quiet, randomVector } from '../samples.js';

export const DIM = 8;
export const poolOptions = { ...quiet, rank: 2, embeddingDim: DIM, threads: 1, backend: 'js' } as const;

type Method = keyof AdapterStore;

/** A memory store; `before` runs ahead of every call and may wait or throw, `after` once it is done. */
export class ScriptedStore implements AdapterStore {
  readonly memory = new MemoryAdapterStore();
  before: (method: Method, ids: readonly string[]) => unknown = () => {};
  after: (method: Method, ids: readonly string[]) => unknown = () => {};
  readonly calls: { method: Method; ids: readonly string[] }[] = [];

  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    return this.#run('load', ids, () => this.memory.load(ids));
  }

  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    const ids = adapters.map(({ id }) => id);
    return this.#run('save', ids, () => this.memory.save(adapters));
  }

  async delete(ids: readonly string[]): Promise<void> {
    return this.#run('delete', ids, () => this.memory.delete(ids));
  }

  async #run<T>(method: Method, ids: readonly string[], call: () => Promise<T>): Promise<T> {
    this.calls.push({ method, ids });
    await this.before(method, ids);
    const result = await call();
    await this.after(method, ids);
    return result;
  }
}

const pools: AdapterPool[] = [];
afterEach(() => Promise.all(pools.splice(0).map((pool) => pool.close())));

export function newPool(options: AdapterPoolOptions = {}): AdapterPool {
  const pool = createAdapterPool({ ...poolOptions, ...options });
  pools.push(pool);
  return pool;
}

export function newService(options: Partial<PersonalizationServiceOptions> & { capacity?: number } = {}): {
  service: PersonalizationService;
  store: ScriptedStore;
} {
  const { capacity = 4, ...rest } = options;
  const store = new ScriptedStore();
  const service = createPersonalizationService({ pool: newPool({ capacity }), store, ...rest });
  return { service, store: (rest.store as ScriptedStore) ?? store };
}

/** `rows` rows of one user, different for every seed. */
export function rowsOf(userId: string, seed: number, rows = 1) {
  const userIds = Array<string>(rows).fill(userId);
  return {
    userIds,
    content: randomVector(DIM * rows, 2 * seed + 1),
    target: randomVector(DIM * rows, 2 * seed + 2),
  };
}

/** A promise and what settles it. */
export function deferred<T = void>() {
  let resolve!: (value: T) => void;
  let reject!: (error: unknown) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** Lets everything happen that needs no outside help. */
export async function settle(turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => setImmediate(resolve));
}

/** 'pending', or how the promise has settled. */
export async function stateOf(promise: Promise<unknown>): Promise<'pending' | 'fulfilled' | 'rejected'> {
  const pending = Symbol('pending');
  return Promise.race([promise, Promise.resolve(pending)]).then(
    (value) => (value === pending ? 'pending' : 'fulfilled'),
    () => 'rejected',
  );
}
