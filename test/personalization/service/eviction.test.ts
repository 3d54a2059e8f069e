import { describe, expect, it, vi } from 'vitest';
import { encodeAdapter } from '../../../src/adapter/codec.js';
import { createPersonalizationService } from '../../../src/index.js';
import { nativeInfo } from '../../../src/kernels/native.js';
import { stateOf as adapterStateOf } from '../../../src/personalization/adapter-record.js';
import { coded, randomVector } from '../samples.js';
import { DIM, newPool, newService, rowsOf, ScriptedStore } from './support.js';

const names = (count: number) => Array.from({ length: count }, (_, i) => `user-${i}`);

describe('users beyond the capacity', () => {
  it('leave in the order of their last use, saved, and come back as they were', async () => {
    const { service, store } = newService({ capacity: 16 });
    const users = names(16);
    for (const [i, user] of users.entries()) await service.learn(rowsOf(user, i));
    await service.getAdapter('user-0');
    await service.personalize(['user-1'], randomVector(DIM));
    expect(store.memory.size).toBe(0);
    const before = await service.getAdapter('user-2');
    await service.getAdapter('user-1');
    await service.getAdapter('user-0');
    await service.learn(rowsOf('user-16', 16));
    // a sixteenth of the capacity is one place
    expect(store.calls.filter(({ method }) => method === 'save')).toEqual([{ method: 'save', ids: ['user-3'] }]);
    await service.learn(rowsOf('user-17', 17));
    expect(store.calls.at(-2)).toEqual({ method: 'save', ids: ['user-4'] });
    for (let i = 18; i < 40; i++) await service.learn(rowsOf(`user-${i}`, i));
    expect(service.stats()).toMatchObject({ inMemory: 16, evictions: 24, reloads: 0, created: 40, unsaved: 16 });
    expect(await service.getAdapter('user-2')).toEqual(before);
    expect(service.stats()).toMatchObject({ evictions: 25, reloads: 1 });
  });

  it('keep Fisher, anchor, moments, dates, versions and statistics to the bit', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: 1e12 });
    try {
      const store = new ScriptedStore();
      const pool = newPool({ capacity: 1 });
      await pool.learn(rowsOf('full', 1));
      const adapter = pool.getAdapter('full');
      if (!adapter) throw new Error('not there');
      vi.setSystemTime(2e12);
      const full = {
        ...adapter,
        createdAt: new Date(1234567890123),
        fisherInformation: randomVector(adapter.matrixA.length * 2, 3).map(Math.abs),
        anchorWeights: randomVector(adapter.matrixA.length * 2, 4),
      };
      const service = createPersonalizationService({ pool, store });
      await service.setAdapter(full);
      await service.learn(rowsOf('other', 2));
      expect(pool.has('full')).toBe(false);
      expect(await store.memory.load(['full'])).toEqual([encodeAdapter(adapterStateOf(full))]);
      expect(await service.getAdapter('full')).toEqual(full);
      expect(adapter.optimizerState.moment1?.some((value) => value !== 0)).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });

  it.runIf(nativeInfo().available)('keep Fisher and anchor in bf16 to the bit', async () => {
    const pool = newPool({ backend: 'cpu', stateDtype: 'bf16', capacity: 1 });
    for (let round = 0; round < 3; round++) {
      await pool.learn(rowsOf('a', round));
      await pool.consolidate(rowsOf('a', 100 + round));
    }
    const adapter = pool.getAdapter('a');
    const { service } = newService({ pool });
    await service.learn(rowsOf('b', 1));
    expect(pool.has('a')).toBe(false);
    expect(await service.getAdapter('a')).toEqual(adapter);
    expect(adapter?.fisherInformation?.some((value) => value > 0)).toBe(true);
  });

  it('are none while everybody fits, however many come at once', async () => {
    const { service } = newService({ capacity: 3200, maxBatchRows: 3000 });
    await service.learn({ ...rowsOf('', 1, 100), userIds: names(100) });
    // making so many adapters takes several turns of the event loop, in each of which another user comes
    const newcomers = Array.from({ length: 3000 }, (_, i) => `new-${i}`);
    const calls = [service.learn({ ...rowsOf('', 2, 3000), userIds: newcomers })];
    for (let turn = 0; turn < 100; turn++) {
      await new Promise((resolve) => setImmediate(resolve));
      calls.push(service.learn(rowsOf(`late-${turn}`, turn)));
    }
    await Promise.all(calls);
    expect(service.stats()).toMatchObject({ inMemory: 3200, created: 3200, evictions: 0, saves: 0 });
  });

  it('are not saved again when nothing has changed', async () => {
    const { service, store } = newService({ capacity: 2 });
    for (const [i, user] of names(8).entries()) await service.learn(rowsOf(user, i));
    await service.save();
    const saves = () => store.calls.filter(({ method }) => method === 'save').length;
    const before = saves();
    for (let round = 0; round < 3; round++) await service.personalize(names(8), randomVector(8 * DIM));
    expect(saves()).toBe(before);
    expect(service.stats()).toMatchObject({ saves: 8, unsaved: 0 });
    expect(service.stats().evictions).toBeGreaterThan(20);
  });

  it('are read many at once, in and out of memory, unknown ones as they are', async () => {
    const { service } = newService({ capacity: 3 });
    const everybody = newPool();
    const users = names(10);
    for (const [i, user] of users.entries()) {
      await everybody.learn(rowsOf(user, i));
      await service.learn(rowsOf(user, i));
    }
    const userIds = [...users, 'nobody', ...users.toReversed(), 'nobody'];
    const x = randomVector(userIds.length * DIM);
    const out = new Float32Array(x.length);
    const y = await service.personalize(userIds, x, out);
    expect(y).toBe(out);
    expect(y).toEqual(everybody.personalize(userIds, x));
    expect(y.subarray(-DIM)).toEqual(x.subarray(-DIM));
    expect(service.stats()).toMatchObject({ waitingUsers: 0 });
    expect(await service.getAdapter('nobody')).toBeUndefined();
    await expect(service.personalize(userIds, x.subarray(1))).rejects.toEqual(coded('ERR_LENGTH_MISMATCH', 'content'));
  });

  it('who are in the pool already are served and saved', async () => {
    const pool = newPool({ capacity: 3 });
    await pool.learn(rowsOf('old', 1));
    const { service, store } = newService({ pool });
    expect(service.stats()).toMatchObject({ inMemory: 1, unsaved: 1 });
    await service.learn(rowsOf('old', 2));
    expect((await service.getAdapter('old'))?.version).toBe(3);
    expect(await service.save()).toBe(1);
    expect(await service.save()).toBe(0);
    expect(store.memory.size).toBe(1);
  });
});

describe('removeUser', () => {
  it('removes from memory and store, in its turn', async () => {
    const { service, store } = newService({ capacity: 2 });
    await service.learn(rowsOf('u', 1));
    await service.save();
    const results = [
      service.learn(rowsOf('u', 2)),
      service.removeUser('u'),
      service.learn(rowsOf('u', 3)),
      service.learn(rowsOf('u', 4)),
    ];
    await Promise.all(results);
    const fresh = newPool();
    await fresh.learn(rowsOf('u', 3));
    await fresh.learn(rowsOf('u', 4));
    expect((await service.getAdapter('u'))?.version).toBe(3);
    expect((await service.getAdapter('u'))?.matrixB).toEqual(fresh.getAdapter('u')?.matrixB);
    expect(store.memory.size).toBe(0);
  });

  it('removes what the pool remembers of his feedback', async () => {
    const learning = { replayRows: 4 };
    const [{ service }, fresh] = [newService({ pool: newPool(learning) }), newPool(learning)];
    await service.learn(rowsOf('u', 1));
    await service.removeUser('u');
    for (const seed of [2, 3]) {
      await service.learn(rowsOf('u', seed));
      await fresh.learn(rowsOf('u', seed));
    }
    expect((await service.getAdapter('u'))?.matrixB).toEqual(fresh.getAdapter('u')?.matrixB);
  });

  it('removes a user who is only in the store without loading him', async () => {
    const { service, store } = newService({ capacity: 1 });
    await service.learn(rowsOf('a', 1));
    await service.learn(rowsOf('b', 2));
    const before = store.calls.length;
    await service.removeUser('a');
    expect(store.calls.slice(before)).toEqual([{ method: 'delete', ids: ['a'] }]);
    expect(await service.getAdapter('a')).toBeUndefined();
    await service.removeUser('never-seen');
  });
});

describe('what lies in the store and cannot be used', () => {
  it('fails the calls of its user, and nobody else; removeUser clears it away', async () => {
    const store = new ScriptedStore();
    const other = newPool({ rank: 3 });
    await other.learn(rowsOf('rank', 1));
    const donor = newService({ store });
    await donor.service.learn(rowsOf('good', 1));
    await donor.service.learn(rowsOf('stranger', 1));
    await donor.service.close();
    const [good, stranger] = (await store.memory.load(['good', 'stranger'])) as Uint8Array[];
    const bad = good.slice();
    bad[100] ^= 1;
    const rank = encodeAdapter(adapterStateOf(other.getAdapter('rank') as never));
    const user = (id: string, bytes: Uint8Array) => ({ id, bytes });
    await store.memory.save([user('bad', bad), user('rank', rank), user('other', stranger)]);

    const { service } = newService({ store, capacity: 8 });
    const calls = ['good', 'bad', 'rank', 'other'].map((id) => service.learn(rowsOf(id, 2)));
    const results = await Promise.allSettled(calls);
    expect(results.map((result) => (result.status === 'rejected' ? result.reason : result.status))).toEqual([
      'fulfilled',
      coded('ERR_ADAPTER_CORRUPT', 'feedback of 1 of 1 users was not learned ("bad")'),
      coded('ERR_ADAPTER_MISMATCH', 'the stored adapter of "rank" cannot be used'),
      coded('ERR_USER_MISMATCH', 'got "stranger"'),
    ]);
    await expect(service.personalize(['good', 'bad'], randomVector(2 * DIM))).rejects.toEqual(
      coded('ERR_ADAPTER_CORRUPT'),
    );
    await expect(service.getAdapter('bad')).rejects.toEqual(coded('ERR_ADAPTER_CORRUPT'));
    expect(service.stats()).toMatchObject({ inMemory: 1, waitingUsers: 0, queuedRows: 0 });
    expect(service.stats().failures).toEqual({ load: 0, save: 0, delete: 0, unusable: 5 });

    // of a call with several users only what cannot be had is left out
    const both = { ...rowsOf('good', 3, 2), userIds: ['good', 'bad'] };
    await expect(service.learn(both)).rejects.toEqual(coded('ERR_ADAPTER_CORRUPT', '1 of 2 users'));
    expect((await service.getAdapter('good'))?.version).toBe(4);
    await service.removeUser('bad');
    await service.learn(rowsOf('bad', 4));
    expect((await service.getAdapter('bad'))?.version).toBe(2);
  });
});
