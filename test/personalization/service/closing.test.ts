import { describe, expect, it } from 'vitest';
import { createPersonalizationService, type PersonalizationServiceOptions } from '../../../src/index.js';
import { coded, randomVector } from '../samples.js';
import { DIM, deferred, newPool, newService, rowsOf, ScriptedStore } from './support.js';

const names = Array.from({ length: 30 }, (_, i) => `user-${i}`);

/** What a fresh service finds in the store. */
async function contents(store: ScriptedStore) {
  const { service } = newService({ store, capacity: 5 });
  return Promise.all(names.map((name) => service.getAdapter(name)));
}

function withoutDates(adapters: ({ version: number; matrixB: Float32Array } | undefined)[]) {
  return adapters.map((adapter) => adapter && [adapter.version, adapter.matrixB]);
}

describe('close', () => {
  it('in full flight finishes what was called before and saves everything', async () => {
    const { service, store } = newService({ capacity: 5, maxQueuedRows: 8, maxBatchRows: 4, maxDelayMs: 1e6 });
    const reference = newPool();
    const calls = [0, 1, 2].flatMap((round) => names.map((name, i) => service.learn(rowsOf(name, 100 * round + i))));
    const read = service.personalize(names, randomVector(names.length * DIM));
    const closing = service.close();
    expect(service.close()).toBe(closing);
    await expect(service.learn(rowsOf('late', 1))).rejects.toEqual(coded('ERR_SERVICE_CLOSED'));
    await closing;
    expect((await Promise.all(calls)).length).toBe(90);
    expect(await read).toHaveLength(names.length * DIM);
    for (let round = 0; round < 3; round++) {
      for (const [i, name] of names.entries()) await reference.learn(rowsOf(name, 100 * round + i));
    }
    const found = await contents(store);
    expect(withoutDates(found)).toEqual(withoutDates(names.map((name) => reference.getAdapter(name))));
    await service.close();
    expect(service.stats()).toMatchObject({ unsaved: 0, queuedRows: 0, updates: 90 });
  });

  it('closes the pool and refuses every later call', async () => {
    const pool = newPool();
    const { service } = newService({ pool });
    await service.learn(rowsOf('u', 1));
    const adapter = await service.getAdapter('u');
    await service.close();
    expect(() => pool.snapshot()).toThrow(coded('ERR_POOL_CLOSED'));
    const calls = [
      service.learn(rowsOf('u', 2)),
      service.personalize(['u'], randomVector(DIM)),
      service.getAdapter('u'),
      service.setAdapter(adapter as never),
      service.removeUser('u'),
      service.save(),
    ];
    for (const call of calls) await expect(call).rejects.toEqual(coded('ERR_SERVICE_CLOSED', 'expected an open one'));
    expect(service.stats()).toMatchObject({ updates: 1, saves: 1 });
  });

  it('is what aborting the signal does', async () => {
    const { signal, abort } = (() => {
      const controller = new AbortController();
      return { signal: controller.signal, abort: () => controller.abort() };
    })();
    const { service, store } = newService({ signal });
    const learning = service.learn(rowsOf('u', 1));
    abort();
    await expect(service.save()).rejects.toEqual(coded('ERR_SERVICE_CLOSED'));
    await service.close();
    await learning;
    expect(store.memory.size).toBe(1);

    const late = newService({ signal }).service;
    await expect(late.learn(rowsOf('u', 1))).rejects.toEqual(coded('ERR_SERVICE_CLOSED'));
  });

  it('with a store that fails keeps everything, says so, and can be tried again', async () => {
    const store = new ScriptedStore();
    const pool = newPool({ capacity: 30 });
    const controller = new AbortController();
    const messages: string[] = [];
    const logged = newPool({ logger: { ...pool.getConfig().logger, error: (message) => messages.push(message) } });
    const service = createPersonalizationService({ pool: logged, store, signal: controller.signal });
    await Promise.all(names.map((name, i) => service.learn(rowsOf(name, i))));
    store.before = (method) => {
      if (method === 'save') throw new Error('disk full');
    };
    await expect(service.close()).rejects.toEqual(
      coded(
        'ERR_STORE_FAILURE',
        '30 users could not be saved and stay in memory: store.save of 30 adapters: disk full',
      ),
    );
    expect(messages).toEqual(['lorakeet: store.save of 30 adapters: disk full']);
    await expect(service.learn(rowsOf('u', 1))).rejects.toEqual(coded('ERR_SERVICE_CLOSED'));
    expect(pool.restore(logged.snapshot())).toBe(30);
    store.before = () => {};
    await service.close();
    expect(withoutDates(await contents(store))).toEqual(withoutDates(names.map((name) => pool.getAdapter(name))));
  });

  it('with a store that hangs ends after storeTimeoutMs, once for all users', async () => {
    const { promise, resolve } = deferred();
    const store = new ScriptedStore();
    store.before = (method) => (method === 'save' ? promise : undefined);
    const { service } = newService({ store, capacity: 30, storeTimeoutMs: 5 });
    await Promise.all(names.map((name, i) => service.learn(rowsOf(name, i))));
    await expect(service.close()).rejects.toEqual(coded('ERR_STORE_TIMEOUT', '30 users could not be saved'));
    resolve();
    await service.close();
    expect(store.memory.size).toBe(30);
  });
});

describe('options', () => {
  const good = () => ({ pool: newPool(), store: new ScriptedStore() });
  it.each([
    ['pool', {}],
    ['store.load', { save() {}, delete() {} }],
    ['store.load', undefined],
    ['maxBatchRows', 0],
    ['maxBatchRows', 1.5],
    ['maxDelayMs', -1],
    ['maxDelayMs', Number.NaN],
    ['maxQueuedRows', 0],
    ['whenFull', 'drop'],
    ['steps', 'all'],
    ['storeTimeoutMs', 0],
    ['storeTimeoutMs', Infinity],
    ['signal', {}],
    ['maxDelay', 1],
  ])('are checked: %s', (name, value) => {
    const options = { ...good(), [name.split('.')[0]]: value } as unknown as PersonalizationServiceOptions;
    expect(() => createPersonalizationService(options)).toThrow(coded('ERR_INVALID_CONFIG', name));
  });

  it('must be there', () => {
    expect(() => createPersonalizationService(undefined as never)).toThrow(coded('ERR_INVALID_CONFIG', 'options'));
  });
});
