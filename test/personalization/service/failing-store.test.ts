import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AdapterStore, LorakeetError, type UserLoRAAdapter } from '../../../src/index.js';
import { coded, randomVector } from '../samples.js';
import { DIM, deferred, newPool, newService, rowsOf, ScriptedStore, settle, stateOf } from './support.js';

const HANGING = { storeTimeoutMs: 1000 };

/** What becomes of the promise when storeTimeoutMs are over, of which nobody needs to wait for one: time is made up. */
async function afterTimeout<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  await settle();
  vi.advanceTimersByTime(1000);
  return promise;
}

/** Users a and b learned by a service of two places, both unsaved. */
async function full(options: Parameters<typeof newService>[0] = {}) {
  const set = newService({ capacity: 2, ...options });
  await set.service.learn(rowsOf('a', 1));
  await set.service.learn(rowsOf('b', 2));
  return set;
}

function failOn(store: ScriptedStore, ...methods: (keyof AdapterStore)[]): void {
  store.before = (method) => {
    if (methods.includes(method)) throw new Error(`${method} is broken`);
  };
}

function hangOn(store: ScriptedStore, ...methods: (keyof AdapterStore)[]): () => void {
  const { promise, resolve } = deferred();
  store.before = (method) => (methods.includes(method) ? promise : undefined);
  return () => {
    store.before = () => {};
    resolve();
  };
}

describe('a store that fails', () => {
  it('to save: everybody stays in memory, the newcomer is refused, and all goes on when it works again', async () => {
    const { service, store } = await full();
    failOn(store, 'save');
    await expect(service.learn(rowsOf('c', 3))).rejects.toEqual(
      coded(
        'ERR_STORE_FAILURE',
        'feedback of 1 of 1 users was not learned ("c"): store.save of 1 adapters: save is broken',
      ),
    );
    await expect(service.getAdapter('c')).rejects.toEqual(coded('ERR_STORE_FAILURE'));
    await service.learn(rowsOf('a', 4));
    expect((await service.getAdapter('a'))?.version).toBe(3);
    expect((await service.getAdapter('b'))?.version).toBe(2);
    await expect(service.save()).rejects.toEqual(
      coded('ERR_STORE_FAILURE', '2 users could not be saved and stay in memory'),
    );
    expect(service.stats()).toMatchObject({ inMemory: 2, unsaved: 2, evictions: 0, waitingUsers: 0, queuedRows: 0 });
    expect(service.stats().failures).toEqual({ load: 0, save: 3, delete: 0, unusable: 0 });
    failOn(store);
    await service.learn(rowsOf('c', 3));
    const expected = newPool();
    for (const [user, seed] of [
      ['a', 1],
      ['a', 4],
      ['b', 2],
      ['c', 3],
    ] as const)
      await expected.learn(rowsOf(user, seed));
    const x = randomVector(3 * DIM);
    expect(await service.personalize(['a', 'b', 'c'], x)).toEqual(expected.personalize(['a', 'b', 'c'], x));
  });

  it('to read one record: that user is refused, and nobody who was asked for with him', async () => {
    const { service, store } = newService({ capacity: 4 });
    const users = ['a', 'b', 'c', 'd'];
    for (const [i, user] of users.entries()) await service.learn(rowsOf(user, i));
    for (const user of ['e', 'f', 'g', 'h']) await service.learn(rowsOf(user, 5));
    store.before = (method, ids) => {
      if (method !== 'load' || !ids.includes('b')) return;
      throw new LorakeetError('ERR_STORE_CORRUPT', 'the file of b is damaged at offset 7');
    };
    const loaded = await Promise.allSettled(users.map((user) => service.getAdapter(user)));
    expect(store.calls.some(({ method, ids }) => method === 'load' && ids.length > 1 && ids.includes('b'))).toBe(true);
    expect(loaded.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled', 'fulfilled']);
    expect((loaded[1] as PromiseRejectedResult).reason).toEqual(coded('ERR_STORE_FAILURE', 'damaged at offset 7'));
    expect((loaded[3] as PromiseFulfilledResult<UserLoRAAdapter>).value.version).toBe(2);
    store.before = () => {};
    expect((await service.getAdapter('b'))?.version).toBe(2);
  });

  it('to load: the feedback is refused whole and in order, and nothing else', async () => {
    const { service, store } = await full();
    await service.learn(rowsOf('c', 3));
    failOn(store, 'load');
    const calls = [service.learn(rowsOf('a', 4)), service.learn(rowsOf('a', 5)), service.learn(rowsOf('c', 6))];
    const states = (await Promise.allSettled(calls)).map(({ status }) => status);
    expect(states).toEqual(['rejected', 'rejected', 'fulfilled']);
    failOn(store);
    expect((await service.getAdapter('a'))?.version).toBe(2);
    await service.learn(rowsOf('a', 4));
    const expected = newPool();
    for (const seed of [1, 4]) await expected.learn(rowsOf('a', seed));
    expect((await service.getAdapter('a'))?.matrixB).toEqual(expected.getAdapter('a')?.matrixB);
  });

  it('to delete: the user is still there', async () => {
    const { service, store } = await full();
    failOn(store, 'delete');
    await expect(service.removeUser('a')).rejects.toEqual(coded('ERR_STORE_FAILURE', 'delete is broken'));
    expect((await service.getAdapter('a'))?.version).toBe(2);
    failOn(store);
    await service.removeUser('a');
    expect(await service.getAdapter('a')).toBeUndefined();
  });

  it('after it has deleted: what is in memory is saved again', async () => {
    const { service, store } = await full();
    await service.save();
    store.after = (method) => {
      if (method === 'delete') throw new Error('delete is broken');
    };
    await expect(service.removeUser('a')).rejects.toEqual(coded('ERR_STORE_FAILURE'));
    expect(service.stats()).toMatchObject({ unsaved: 1 });
    for (const user of ['c', 'd', 'e']) await service.learn(rowsOf(user, 3));
    expect((await service.getAdapter('a'))?.version).toBe(2);
  });

  it.each([
    ['nothing', undefined],
    ['too few', []],
    ['no bytes', [1]],
  ])('to answer as it should (%s)', async (_, answer) => {
    const store = new ScriptedStore();
    store.load = async () => answer as never;
    const { service } = newService({ store });
    await expect(service.learn(rowsOf('a', 1))).rejects.toEqual(coded('ERR_STORE_FAILURE', 'expected a Uint8Array'));
  });

  it('by throwing instead of rejecting', async () => {
    const store = new ScriptedStore();
    store.load = () => {
      throw new Error('thrown');
    };
    const { service } = newService({ store });
    await expect(service.learn(rowsOf('a', 1))).rejects.toEqual(coded('ERR_STORE_FAILURE', 'thrown'));
  });
});

describe('a store that hangs', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('while loading holds up nobody who is in memory, and its own for storeTimeoutMs', async () => {
    const { service, store } = await full({ capacity: 3, ...HANGING });
    await service.learn(rowsOf('c', 3));
    await service.learn(rowsOf('d', 4));
    const release = hangOn(store, 'load');
    const [missing, read] = [service.learn(rowsOf('a', 5)), service.personalize(['a'], randomVector(DIM))];
    read.catch(() => {});
    const pending = [missing, read];
    for (let i = 0; i < 5; i++) {
      await service.learn(rowsOf('d', 10 + i));
      await service.personalize(['d', 'c'], randomVector(2 * DIM));
    }
    expect(await Promise.all(pending.map(stateOf))).toEqual(['pending', 'pending']);
    await expect(afterTimeout(missing)).rejects.toEqual(
      coded('ERR_STORE_TIMEOUT', 'store.load of 1 adapters: no answer within 1000 ms'),
    );
    await expect(read).rejects.toEqual(coded('ERR_STORE_TIMEOUT'));
    release();
    await service.learn(rowsOf('a', 5));
    expect((await service.getAdapter('a'))?.version).toBe(3);
    expect(service.stats().failures.load).toBe(1);
  });

  it('while saving loses nothing, and its late answer overwrites nothing newer', async () => {
    const { service, store } = await full(HANGING);
    const release = hangOn(store, 'save');
    await expect(afterTimeout(service.learn(rowsOf('c', 3)))).rejects.toEqual(coded('ERR_STORE_TIMEOUT', 'store.save'));
    // the first save of a is still on its way; this step is newer
    await service.learn(rowsOf('a', 4));
    await expect(afterTimeout(service.save())).rejects.toEqual(coded('ERR_STORE_TIMEOUT'));
    await expect(afterTimeout(service.learn(rowsOf('c', 3)))).rejects.toEqual(coded('ERR_STORE_TIMEOUT'));
    const savesOfA = () => store.calls.filter(({ method, ids }) => method === 'save' && ids.includes('a')).length;
    expect(savesOfA()).toBe(1);
    release();
    await settle();
    await service.save();
    expect(savesOfA()).toBe(2);
    await service.learn(rowsOf('c', 3));
    const expected = newPool();
    for (const seed of [1, 4]) await expected.learn(rowsOf('a', seed));
    expect((await service.getAdapter('a'))?.matrixB).toEqual(expected.getAdapter('a')?.matrixB);
    await service.close();
    expect(store.memory.size).toBe(3);
  });

  it('for good while nobody can leave refuses newcomers without waiting again', async () => {
    const { service, store } = await full(HANGING);
    hangOn(store, 'save');
    await expect(afterTimeout(service.save())).rejects.toEqual(coded('ERR_STORE_TIMEOUT'));
    await expect(service.learn(rowsOf('c', 3))).rejects.toEqual(coded('ERR_STORE_TIMEOUT', 'no place for 1 users'));
    await service.learn(rowsOf('a', 4));
  });

  it('while deleting: a late deletion does not lose what was learned since', async () => {
    const { service, store } = await full(HANGING);
    await service.save();
    const release = hangOn(store, 'delete');
    await expect(afterTimeout(service.removeUser('a'))).rejects.toEqual(coded('ERR_STORE_TIMEOUT', 'store.delete'));
    await service.learn(rowsOf('a', 4));
    release();
    await settle();
    expect(store.memory.size).toBe(1);
    await service.close();
    expect(store.memory.size).toBe(2);
  });

  it('while deleting a user who is not in memory: he waits for the answer before he is loaded', async () => {
    const { service, store } = await full(HANGING);
    await service.learn(rowsOf('c', 3));
    const release = hangOn(store, 'delete');
    await expect(afterTimeout(service.removeUser('a'))).rejects.toEqual(coded('ERR_STORE_TIMEOUT', 'store.delete'));
    await expect(afterTimeout(service.getAdapter('a'))).rejects.toEqual(coded('ERR_STORE_TIMEOUT'));
    const learning = service.learn(rowsOf('a', 9));
    await settle();
    expect(await stateOf(learning)).toBe('pending');
    release();
    await learning;
    expect((await service.getAdapter('a'))?.version).toBe(2);
  });
});
