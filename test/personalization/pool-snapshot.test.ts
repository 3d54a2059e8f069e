import { describe, expect, it } from 'vitest';
import { encodeSnapshot } from '../../src/adapter/snapshot.js';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  createAdapterPool,
  createLoRAPersonalizationEngine,
} from '../../src/index.js';
import { coded, quiet, randomVector } from './samples.js';

const DIM = 16;
const config = { ...quiet, rank: 2, embeddingDim: DIM };
const newPool = (options: AdapterPoolOptions = {}) => createAdapterPool({ ...config, ...options });
const users = Array.from({ length: 12 }, (_, i) => `user-${i}`);

async function learnRounds(pool: AdapterPool, from: number, to: number, userIds = users): Promise<void> {
  for (let round = from; round < to; round++) {
    const [content, target] = [1, 2].map((kind) => randomVector(userIds.length * DIM, 10 * round + kind));
    await pool.learn({ userIds, content, target });
  }
}

const adaptersOf = (pool: AdapterPool) => pool.userIds().map((userId) => pool.getAdapter(userId));
/** Dates differ between two runs. */
const undated = (pool: AdapterPool) =>
  adaptersOf(pool).map((adapter) => ({
    ...adapter,
    createdAt: 0,
    updatedAt: 0,
    metadata: { ...adapter?.metadata, lastTrainedAt: 0 },
  }));

describe('a restored pool', () => {
  it('is the same pool', async () => {
    const pool = newPool();
    await learnRounds(pool, 0, 3);
    const copy = newPool();
    expect(copy.restore(pool.snapshot())).toBe(12);
    expect(adaptersOf(copy)).toEqual(adaptersOf(pool));
    expect(copy.snapshot()).toEqual(pool.snapshot());
  });

  for (const optimizer of ['adamw', 'sgd'] as const) {
    it(`learns on as if there had been no break (${optimizer})`, async () => {
      const through = newPool({ optimizer });
      await learnRounds(through, 0, 8);
      let broken = newPool({ optimizer });
      for (let round = 0; round < 8; round++) {
        await learnRounds(broken, round, round + 1);
        const next = newPool({ optimizer });
        next.restore(broken.snapshot());
        await broken.close();
        broken = next;
      }
      expect(undated(broken)).toEqual(undated(through));
    });
  }

  it('keeps the users that the snapshot does not have', async () => {
    const [a, b] = [newPool(), newPool()];
    await learnRounds(a, 0, 1, ['x', 'y']);
    await learnRounds(b, 5, 6, ['y', 'z']);
    b.restore(a.snapshot());
    expect(b.userIds().sort()).toEqual(['x', 'y', 'z']);
    expect(b.getAdapter('y')).toEqual(a.getAdapter('y'));
  });
});

describe('a pool that keeps its state in bf16', () => {
  /** As a pool in single precision has learned it, with a Fisher and an anchor that 8 bits cannot hold. */
  async function snapshotOfSinglePrecision(): Promise<Uint8Array> {
    const pool = newPool();
    await learnRounds(pool, 0, 2);
    for (const adapter of adaptersOf(pool)) {
      const anchorWeights = randomVector(2 * 2 * DIM, 7);
      pool.setAdapter({ ...adapter, fisherInformation: anchorWeights.map((x) => x * x + 1), anchorWeights } as never);
    }
    return pool.snapshot();
  }

  it('writes files that hold its numbers exactly, and any pool reads', async () => {
    const original = await snapshotOfSinglePrecision();
    const [single, half] = [newPool(), newPool({ stateDtype: 'bf16' })];
    single.restore(original);
    half.restore(original);
    await learnRounds(half, 2, 4);
    const [copy, other] = [newPool({ stateDtype: 'bf16' }), newPool()];
    copy.restore(half.snapshot());
    other.restore(half.snapshot());
    for (const pool of [copy, other]) {
      expect(adaptersOf(pool)).toEqual(adaptersOf(half));
      expect(pool.snapshot()).toEqual(half.snapshot());
    }
    await learnRounds(half, 4, 6);
    await learnRounds(copy, 4, 6);
    expect(undated(copy)).toEqual(undated(half));
    users.forEach((user) => {
      const [exact, kept] = [single.getAdapter(user)?.fisherInformation, half.getAdapter(user)?.fisherInformation];
      const errors = kept?.map((value, i) => Math.abs(value / (exact as Float32Array)[i] - 1)) ?? [Number.NaN];
      expect(Math.max(...errors)).toBeGreaterThan(0);
      expect(Math.max(...errors)).toBeLessThanOrEqual(2 ** -8);
    });
  });
});

describe('changedSince', () => {
  it('leaves out what has not changed', async () => {
    const pool = newPool();
    await learnRounds(pool, 0, 1);
    const revision = pool.revision;
    expect(newPool().restore(pool.snapshot({ changedSince: revision }))).toBe(0);
    await learnRounds(pool, 1, 2, ['user-3', 'user-5']);
    pool.setAdapter(createLoRAPersonalizationEngine(config).createAdapter('new'));
    const copy = newPool();
    copy.restore(pool.snapshot({ changedSince: revision }));
    expect(copy.userIds().sort()).toEqual(['new', 'user-3', 'user-5']);
    expect(copy.getAdapter('user-3')).toEqual(pool.getAdapter('user-3'));
  });

  it('lets a caller save bit by bit and restore all of it', async () => {
    const pool = newPool();
    const saved: Uint8Array[] = [];
    let lastSaved = -1;
    for (let round = 0; round < 6; round++) {
      await learnRounds(pool, round, round + 1, users.slice(round, round + 4));
      const revision = pool.revision;
      saved.push(pool.snapshot({ changedSince: lastSaved }));
      lastSaved = revision;
    }
    const copy = newPool();
    for (const bytes of saved) copy.restore(bytes);
    expect(adaptersOf(copy)).toEqual(adaptersOf(pool));
  });

  it('must be a number', () => {
    expect(() => newPool().snapshot({ changedSince: Number.NaN })).toThrow(
      coded('ERR_NOT_FINITE', 'options.changedSince'),
    );
    expect(() => newPool().snapshot({ since: 1 } as object)).toThrow(coded('ERR_INVALID_CONFIG', 'options.since'));
  });
});

describe('restore takes all or nothing', () => {
  const attempt = async (bytes: Uint8Array, code: Parameters<typeof coded>[0], options: AdapterPoolOptions = {}) => {
    const pool = newPool(options);
    await learnRounds(pool, 0, 1, ['x']);
    const before = pool.snapshot();
    expect(() => pool.restore(bytes)).toThrow(coded(code));
    expect(pool.snapshot()).toEqual(before);
    await learnRounds(pool, 1, 2, ['x']);
    expect(pool.getAdapter('x')?.version).toBe(3);
  };
  const engine = createLoRAPersonalizationEngine(config);
  const other = createLoRAPersonalizationEngine({ ...config, rank: 3 });
  const blobs = users.map((userId) => engine.serializeAdapter(engine.createAdapter(userId)));

  it('of bytes that are no snapshot', () => attempt(Uint8Array.of(1, 2, 3), 'ERR_ADAPTER_CORRUPT'));
  it('of a damaged snapshot', async () => {
    const bytes = encodeSnapshot(blobs);
    await attempt(bytes.with(1000, bytes[1000] ^ 4), 'ERR_ADAPTER_CORRUPT');
  });
  it('of one with a user twice', () => attempt(encodeSnapshot([blobs[0], blobs[1], blobs[0]]), 'ERR_ADAPTER_CORRUPT'));
  it('of one with an adapter of another shape', () =>
    attempt(encodeSnapshot([...blobs, other.serializeAdapter(other.createAdapter('odd'))]), 'ERR_ADAPTER_MISMATCH'));
  it('of more users than fit', () => attempt(encodeSnapshot(blobs), 'ERR_POOL_FULL', { capacity: 12 }));
});
