import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { decodeAdapter } from '../../src/adapter/codec.js';
import { decodeSnapshot } from '../../src/adapter/snapshot.js';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  type AdapterStore,
  createAdapterPool,
  type StoredAdapter,
} from '../../src/index.js';
import { MemoryAdapterStore } from '../../src/stores/memory.js';
import { coded, quiet, randomVector } from './samples.js';

const DIM = 16;
const config = { ...quiet, rank: 2, embeddingDim: DIM };
const newPool = (options: AdapterPoolOptions = {}) => createAdapterPool({ ...config, capacity: 2000, ...options });
const users = Array.from({ length: 1500 }, (_, i) => `user-${i}`);

async function learn(pool: AdapterPool, userIds: string[], seed = 1): Promise<void> {
  const [content, target] = [1, 2].map((kind) => randomVector(userIds.length * DIM, 10 * seed + kind));
  await pool.learn({ userIds, content, target });
}

/** Every adapter's bytes as a hash, by user: comparing millions of numbers one by one takes its time. */
function contentOf(pool: AdapterPool): Record<string, string> {
  const blobs = decodeSnapshot(pool.snapshot());
  return Object.fromEntries(
    blobs.map((bytes) => [decodeAdapter(bytes).meta.userId, createHash('sha256').update(bytes).digest('hex')]),
  );
}

/** A store that counts what it is told to save, and checks that the bytes stay as they are until it says so. */
class CountingStore extends MemoryAdapterStore {
  readonly ids: string[] = [];
  calls = 0;
  underWay = 0;
  mostUnderWay = 0;

  override async save(adapters: readonly StoredAdapter[]): Promise<void> {
    this.calls += 1;
    this.underWay += 1;
    this.mostUnderWay = Math.max(this.mostUnderWay, this.underWay);
    const before = adapters.map(({ bytes }) => Buffer.from(bytes));
    for (let turn = 0; turn < 30; turn++) await nextTurn();
    adapters.forEach(({ id, bytes }, i) => {
      expect(Buffer.compare(before[i], bytes), id).toBe(0);
    });
    await super.save(adapters);
    this.ids.push(...adapters.map(({ id }) => id));
    this.underWay -= 1;
  }
}

describe('saveTo and restoreFrom', () => {
  for (const options of [{}, { useEWC: false, optimizer: 'sgd' }, { optimizer: 'adamw' }] as const) {
    it(`bring back the same pool: ${JSON.stringify(options)}`, async () => {
      const pool = newPool(options);
      await learn(pool, users);
      const store = new MemoryAdapterStore();
      expect(await pool.saveTo(store)).toEqual({ users: 1500, revision: pool.revision });
      const copy = newPool(options);
      await learn(copy, ['user-7', 'somebody else'], 3);
      expect(await copy.restoreFrom(store)).toBe(1500);
      expect(copy.size).toBe(1501);
      copy.removeUser('somebody else');
      expect(contentOf(copy)).toEqual(contentOf(pool));
    });
  }

  it('keep what a pool has no use for', async () => {
    const [pool, without, third] = [newPool(), newPool({ useEWC: false, optimizer: 'sgd' }), newPool()];
    await learn(pool, users.slice(0, 20));
    const [store, other] = [new MemoryAdapterStore(), new MemoryAdapterStore()];
    await pool.saveTo(store);
    await without.restoreFrom(store);
    await without.saveTo(other);
    await third.restoreFrom(other);
    expect(contentOf(third)).toEqual(contentOf(pool));
  });

  it('save in calls of some MiB, two at a time, each user once', async () => {
    const pool = newPool({ embeddingDim: 256, rank: 4 });
    const userIds = users.slice(0, 600);
    const content = randomVector(userIds.length * 256, 1);
    await pool.learn({ userIds, content, target: content });
    const store = new CountingStore();
    await pool.saveTo(store);
    // 600 adapters of 40 KiB and more
    expect(store.calls).toBeGreaterThan(2);
    expect(store.mostUnderWay).toBe(2);
    expect(store.ids.toSorted()).toEqual(userIds.toSorted());
    const copy = newPool({ embeddingDim: 256, rank: 4 });
    await copy.restoreFrom(store);
    expect(contentOf(copy)).toEqual(contentOf(pool));
  });

  it('save adapters that are larger than a call', async () => {
    const pool = newPool({ embeddingDim: 4096, rank: 128, capacity: 3 });
    for (const userId of ['a', 'b']) pool.createAdapter(userId);
    const store = new CountingStore();
    expect(await pool.saveTo(store)).toEqual({ users: 2, revision: pool.revision });
    expect(store.ids).toEqual(['a', 'b']);
    await pool.close();
  });

  it('save only what has changed since a revision', async () => {
    const pool = newPool();
    await learn(pool, users);
    const store = new CountingStore();
    let { revision } = await pool.saveTo(store);
    expect(store.ids.splice(0).length).toBe(1500);
    await learn(pool, ['user-3', 'user-1400', 'new'], 4);
    ({ revision } = await pool.saveTo(store, { changedSince: revision }));
    expect(store.ids.splice(0)).toEqual(['user-3', 'user-1400', 'new']);
    expect(await pool.saveTo(store, { changedSince: revision })).toEqual({ users: 0, revision });
    expect(store.ids).toEqual([]);
  });

  it('let learning go on, whose steps the next call saves', async () => {
    const pool = newPool();
    await learn(pool, users);
    const store = new CountingStore();
    const saving = pool.saveTo(store);
    const learning = Promise.all([2, 3, 4, 5].map((seed) => learn(pool, users, seed)));
    const { revision } = await saving;
    expect(revision).toBeLessThan(pool.revision);
    await learning;
    const between = newPool();
    await between.restoreFrom(store);
    for (const userId of users) expect([2, 3, 4, 5, 6]).toContain(between.getAdapter(userId)?.version);
    await pool.saveTo(store, { changedSince: revision });
    const copy = newPool();
    await copy.restoreFrom(store);
    expect(contentOf(copy)).toEqual(contentOf(pool));
  });

  it('do not bring back who is removed meanwhile', async () => {
    const pool = newPool({ embeddingDim: 256, rank: 4 });
    // three full calls, and the start of a fourth
    const userIds = users.slice(0, 700);
    const content = randomVector(userIds.length * 256, 1);
    await pool.learn({ userIds, content, target: content });
    const calls: string[][] = [];
    let release = () => {};
    const released = new Promise<void>((resolve) => {
      release = resolve;
    });
    const store = {
      save: async (adapters: readonly StoredAdapter[]) => {
        calls.push(adapters.map(({ id }) => id));
        await released;
      },
    };
    const saving = pool.saveTo(store);
    while (calls.length < 2) await nextTurn();
    // until the third one is full and waits
    for (let turn = 0; turn < 100; turn++) await nextTurn();
    const removed = userIds.filter((_, i) => i % 3 === 0);
    for (const userId of removed) pool.removeUser(userId);
    release();
    const { users: saved } = await saving;
    expect(calls.length).toBe(4);
    const late = calls.slice(2).flat();
    expect(late.length).toBeGreaterThan(100);
    expect(late.filter((userId) => removed.includes(userId))).toEqual([]);
    expect(new Set(calls.flat()).size).toBe(saved);
  });

  it('follow one another, so that no older adapter is saved over a newer one', async () => {
    const pool = newPool();
    await learn(pool, users.slice(0, 50));
    const store = new CountingStore();
    const first = pool.saveTo(store);
    await learn(pool, users.slice(0, 50), 2);
    await Promise.all([first, pool.saveTo(store)]);
    expect(store.mostUnderWay).toBe(1);
    const copy = newPool();
    await copy.restoreFrom(store);
    expect(contentOf(copy)).toEqual(contentOf(pool));
  });

  it('hand on the error of a store, and wait until it uses nothing any more', async () => {
    const pool = newPool({ embeddingDim: 256, rank: 4 });
    const userIds = users.slice(0, 600);
    const content = randomVector(userIds.length * 256, 1);
    await pool.learn({ userIds, content, target: content });
    let ended = 0;
    const failing: Pick<AdapterStore, 'save'> = {
      save: async () => {
        for (let turn = 0; turn < 5; turn++) await nextTurn();
        ended += 1;
        if (ended === 1) throw new Error('the disk is full');
      },
    };
    await expect(pool.saveTo(failing)).rejects.toThrow('the disk is full');
    const atEnd = ended;
    for (let turn = 0; turn < 20; turn++) await nextTurn();
    expect(ended).toBe(atEnd);
    // and saving works again
    const store = new MemoryAdapterStore();
    expect((await pool.saveTo(store)).users).toBe(600);
  });

  it('refuse what is no store, no revision, another user, another shape, too many users, a closed pool', async () => {
    const pool = newPool();
    const store = new MemoryAdapterStore();
    for (const bad of [undefined, null, {}, { save: 1 }] as never[]) {
      await expect(pool.saveTo(bad)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'store'));
      await expect(pool.restoreFrom(bad)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'store'));
    }
    await expect(pool.saveTo(store, { changedSince: -2 })).rejects.toEqual(coded('ERR_OUT_OF_RANGE'));
    await expect(pool.saveTo(store, { since: 1 } as never)).rejects.toEqual(coded('ERR_INVALID_CONFIG', 'since'));
    await learn(pool, ['a', 'b']);
    await pool.saveTo(store);
    const [a, b] = (await store.load(['a', 'b'])) as Uint8Array[];
    await store.save([{ id: 'a', bytes: b }]);
    await expect(newPool().restoreFrom(store)).rejects.toEqual(coded('ERR_USER_MISMATCH', 'the stored adapter of "a"'));
    await store.save([{ id: 'a', bytes: a.map((byte, i) => (i === 200 ? byte ^ 1 : byte)) }]);
    await expect(newPool().restoreFrom(store)).rejects.toEqual(coded('ERR_ADAPTER_CORRUPT', '"a"'));
    await store.save([{ id: 'a', bytes: a }]);
    await expect(newPool({ rank: 3 }).restoreFrom(store)).rejects.toEqual(coded('ERR_ADAPTER_MISMATCH'));
    await expect(newPool({ capacity: 1 }).restoreFrom(store)).rejects.toEqual(coded('ERR_POOL_FULL'));

    const saving = pool.saveTo(store);
    await pool.close();
    expect((await saving).users).toBe(2);
    await expect(pool.saveTo(store)).rejects.toEqual(coded('ERR_POOL_CLOSED'));
    await expect(pool.restoreFrom(store)).rejects.toEqual(coded('ERR_POOL_CLOSED'));
  });
});
