import { afterAll, describe, expect, it } from 'vitest';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  createAdapterFeedback,
  createAdapterPool,
  createLoRAPersonalizationEngine,
  type FeedbackBatch,
  type PoolFeedback,
  type UserLoRAAdapter,
} from '../../src/index.js';
import { coded, feedbackRows, quiet, randomVector, watchEvent } from './samples.js';

const DIM = 16;
const small = { ...quiet, rank: 2, embeddingDim: DIM };

const opened: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(opened.map((pool) => pool.close())));

function newPool(options: AdapterPoolOptions = {}): AdapterPool {
  const pool = createAdapterPool({ ...small, ...options });
  opened.push(pool);
  return pool;
}

function newEngine(options: AdapterPoolOptions = {}) {
  const engine = createLoRAPersonalizationEngine({ ...small, ...options });
  opened.push(engine);
  return engine;
}

/** `count` rows of feedback of one user. */
function rowsOf(userId: string, count: number, seed: number): PoolFeedback[] {
  return feedbackRows(count, DIM, seed).map(({ contentEmbedding, targetEmbedding }) => ({
    userId,
    contentEmbedding,
    targetEmbedding,
  }));
}

/** What must agree between an adapter of the pool and one of the engine. */
function essence(adapter: UserLoRAAdapter | undefined) {
  if (!adapter) return undefined;
  const { totalSamples, avgLoss, learningRate } = adapter.metadata;
  const { createdAt, updatedAt, metadata, ...rest } = adapter;
  return { ...rest, totalSamples, avgLoss, learningRate };
}

describe('learn', () => {
  it("takes createAdapterFeedback's results as they are: the event says whose they are", async () => {
    const x = randomVector(DIM, 7);
    const rows = ['ann', 'bob', 'ann'].map((userId) => createAdapterFeedback(watchEvent({ userId }), x));
    const pool = newPool();
    expect(await pool.learn(rows)).toMatchObject({ rows: 3, updates: 2, created: 2 });
    expect(pool.getAdapter('ann')?.metadata.totalSamples).toBe(2);
    expect(pool.getAdapter('bob')?.metadata.totalSamples).toBe(1);
  });

  it('refuses feedback that names two users, or none', async () => {
    const pool = newPool();
    const row = createAdapterFeedback(watchEvent({ userId: 'ann' }), randomVector(DIM));
    await expect(pool.learn([{ ...row, userId: 'bob' }])).rejects.toEqual(
      coded('ERR_USER_MISMATCH', 'feedback[0].watchEvent.userId: got "ann", expected "bob"'),
    );
    await expect(pool.learn([{ ...row, watchEvent: undefined }])).rejects.toEqual(
      coded('ERR_INVALID_ARGUMENT', 'feedback[0].userId'),
    );
    expect(pool.size).toBe(0);
  });

  it('takes the same steps as the engine, user by user', async () => {
    const pool = newPool();
    const engine = newEngine();
    let [ann, bob] = [engine.createAdapter('ann'), engine.createAdapter('bob')];
    for (let round = 1; round <= 4; round++) {
      const a = rowsOf('ann', 3, round);
      const b = rowsOf('bob', 2, 50 + round);
      const report = await pool.learn([a[0], b[0], a[1], a[2], b[1]]);
      const asFeedback = (rows: PoolFeedback[]) =>
        rows.map((row) => ({
          contentEmbedding: row.contentEmbedding!,
          targetEmbedding: row.targetEmbedding,
          reward: 1,
          timestamp: new Date(),
        }));
      ann = await engine.updateAdapter(ann, asFeedback(a));
      bob = await engine.updateAdapter(bob, asFeedback(b));
      expect(report).toMatchObject({ updates: 2, rows: 5, created: round === 1 ? 2 : 0, rejected: [] });
      const losses = [ann, bob].map((adapter) => adapter.metadata.lastBatch!.lossBefore);
      expect(report.meanLoss).toBeCloseTo((losses[0] + losses[1]) / 2, 12);
    }
    expect(essence(pool.getAdapter('ann'))).toEqual(essence(ann));
    expect(essence(pool.getAdapter('bob'))).toEqual(essence(bob));
    expect(pool.getAdapter('ann')?.metadata.lastBatch).toBeUndefined();
  });

  it('gives the same for a list, for columns, and for items by number', async () => {
    const items = randomVector(10 * DIM, 5);
    const item = (i: number) => items.slice(i * DIM, (i + 1) * DIM);
    const userIds = ['a', 'b', 'a', 'c'];
    const numbers = Uint32Array.of(3, 9, 0, 3);
    const target = randomVector(4 * DIM, 6);
    const targetOf = (i: number) => target.slice(i * DIM, (i + 1) * DIM);
    const content = Float32Array.from([...numbers].flatMap((number) => [...item(number)]));
    const forms: (readonly PoolFeedback[] | FeedbackBatch)[] = [
      { userIds, content, target },
      { userIds, content: numbers, target },
      userIds.map((userId, i) => ({ userId, item: numbers[i], targetEmbedding: targetOf(i) })),
      userIds.map((userId, i) => ({ userId, contentEmbedding: item(numbers[i]), targetEmbedding: targetOf(i) })),
      userIds.map((userId, i) => ({
        userId,
        ...(i % 2 ? { item: numbers[i] } : { contentEmbedding: item(numbers[i]) }),
        targetEmbedding: targetOf(i),
      })),
    ];
    const results = await Promise.all(
      forms.map(async (form) => {
        const pool = newPool({ items });
        await pool.learn(form);
        return pool.userIds().map((userId) => essence(pool.getAdapter(userId)));
      }),
    );
    expect(results[0].map((adapter) => adapter?.userId)).toEqual(['a', 'b', 'c']);
    for (const result of results) expect(result).toEqual(results[0]);
  });

  it('makes the target from the reward, of an item too', async () => {
    const items = randomVector(2 * DIM);
    const x = items.slice(DIM);
    const [byReward, byTarget] = [newPool({ items }), newPool({ items })];
    await byReward.learn([{ userId: 'u', item: 1, reward: 0.25 }]);
    await byTarget.learn([{ userId: 'u', contentEmbedding: x, targetEmbedding: x.map((value) => 0.25 * value) }]);
    expect(essence(byReward.getAdapter('u'))).toEqual(essence(byTarget.getAdapter('u')));
    await byTarget.learn({ userIds: ['v'], content: Uint32Array.of(0), target: Uint32Array.of(1) });
    expect(byTarget.getAdapter('v')?.version).toBe(2);
  });

  it('weighs rows, and leaves a user without weight as he was', async () => {
    const [weighted, plain] = [newPool(), newPool()];
    const [first, second] = rowsOf('u', 2, 1);
    const report = await weighted.learn([
      { ...first, weight: 1 },
      { ...second, weight: 0 },
      ...rowsOf('idle', 1, 2).map((row) => ({ ...row, weight: 0 })),
    ]);
    await plain.learn([first]);
    expect(report).toMatchObject({ updates: 1, rows: 3, created: 2, rejected: [] });
    expect(weighted.getAdapter('u')?.matrixB).toEqual(plain.getAdapter('u')?.matrixB);
    expect(weighted.getAdapter('idle')).toMatchObject({ version: 1, metadata: { totalSamples: 0, avgLoss: 0 } });
  });

  it('copies the feedback before it returns', async () => {
    const [changed, kept] = [newPool(), newPool()];
    const row = rowsOf('u', 1, 1)[0];
    const learning = changed.learn([row]);
    await kept.learn([structuredClone(row)]);
    row.contentEmbedding!.fill(9);
    await learning;
    expect(essence(changed.getAdapter('u'))).toEqual(essence(kept.getAdapter('u')));
  });

  it('leaves users alone whose gradient overflows, and says so', async () => {
    const warnings: string[] = [];
    const pool = newPool({ logger: { ...quiet.logger, warn: (message) => warnings.push(message) } });
    warnings.length = 0;
    const bad = {
      userId: 'bad',
      contentEmbedding: randomVector(DIM),
      targetEmbedding: new Float32Array(DIM).fill(3e38),
    };
    const report = await pool.learn([bad, ...rowsOf('good', 1, 1)]);
    expect(report).toMatchObject({ updates: 1, rejected: ['bad'] });
    expect(Number.isFinite(report.meanLoss)).toBe(true);
    expect(pool.getAdapter('bad')?.version).toBe(1);
    expect(pool.getAdapter('good')?.version).toBe(2);
    expect(warnings).toEqual([expect.stringContaining('bad')]);
  });

  it('counts clipped users', async () => {
    const pool = newPool({ gradientClipThreshold: 1e-6 });
    expect(await pool.learn(rowsOf('u', 2, 1))).toMatchObject({ updates: 1, clipped: 1 });
  });

  it('takes an empty batch', async () => {
    const none = { updates: 0, rows: 0, created: 0, clipped: 0, rejected: [], meanLoss: 0 };
    expect(await newPool().learn([])).toEqual(none);
    expect(await newPool().learn({ userIds: [], content: new Float32Array(0), target: new Float32Array(0) })).toEqual(
      none,
    );
  });

  it('serves thousands of users in one call', async () => {
    const users = Array.from({ length: 5000 }, (_, i) => `user-${i}`);
    const pool = newPool({ rank: 4, embeddingDim: 64 });
    const content = randomVector(64 * users.length);
    const report = await pool.learn({ userIds: users, content, target: randomVector(64 * users.length, 2) });
    expect(report).toMatchObject({ updates: 5000, created: 5000 });
    const y = pool.personalize(users, content);
    const engine = newEngine({ rank: 4, embeddingDim: 64 });
    for (const i of [0, 2500, 4999]) {
      const x = content.slice(64 * i, 64 * (i + 1));
      const adapter = pool.getAdapter(users[i]) as UserLoRAAdapter;
      expect(adapter.matrixA).not.toEqual(pool.getAdapter(users[i - 1] ?? users[1])?.matrixA);
      expect(y.slice(64 * i, 64 * (i + 1))).toEqual(engine.computeLoRAForward(x, adapter));
    }
  });
});

describe('learn rejects, and changes nothing,', () => {
  const items = randomVector(3 * DIM);
  const row = rowsOf('u', 1, 1)[0];
  const good = { userIds: ['u', 'v'], content: randomVector(2 * DIM), target: randomVector(2 * DIM) };
  const infinite = randomVector(DIM).with(DIM - 1, Infinity);
  const rows = Math.ceil(50_000 / DIM);
  const many = {
    userIds: Array.from({ length: rows }, (_, i) => `user-${i % 10}`),
    content: randomVector(rows * DIM),
    target: randomVector(rows * DIM),
  };
  const cases: [string, unknown, Parameters<typeof coded>][] = [
    ['no feedback', undefined, ['ERR_INVALID_ARGUMENT', 'feedback']],
    ['a row that is none', [row, null], ['ERR_INVALID_ARGUMENT', 'feedback[1]']],
    ['a row without user', [{ ...row, userId: '' }], ['ERR_INVALID_ARGUMENT', 'feedback[0].userId']],
    [
      'a row without content',
      [{ ...row, contentEmbedding: undefined }],
      ['ERR_INVALID_ARGUMENT', 'item or contentEmbedding'],
    ],
    ['a row with both', [{ ...row, item: 1 }], ['ERR_INVALID_ARGUMENT', 'item or contentEmbedding']],
    [
      'a row without target and reward',
      [{ ...row, targetEmbedding: undefined }],
      ['ERR_INVALID_ARGUMENT', 'feedback[0].reward'],
    ],
    [
      'a NaN in the content',
      [{ ...row, contentEmbedding: randomVector(DIM).with(1, Number.NaN) }],
      ['ERR_NOT_FINITE', 'feedback[0].contentEmbedding[1]'],
    ],
    [
      'an infinity in the target of scattered rows',
      ['u', 'v', 'u', 'v'].map((userId, i) => ({
        ...rowsOf(userId, 1, i)[0],
        ...(i === 2 && { targetEmbedding: infinite }),
      })),
      ['ERR_NOT_FINITE', `feedback[2].targetEmbedding[${DIM - 1}]`],
    ],
    [
      'a short target',
      [row, { ...row, targetEmbedding: randomVector(DIM - 1) }],
      ['ERR_LENGTH_MISMATCH', 'feedback[1].targetEmbedding'],
    ],
    ['a negative weight', [{ ...row, weight: -1 }], ['ERR_OUT_OF_RANGE', 'feedback[0].weight']],
    ['a weight beyond float32', [{ ...row, weight: 1e39 }], ['ERR_OUT_OF_RANGE', 'feedback[0].weight']],
    ['an item beyond the table', [{ userId: 'u', item: 3, reward: 1 }], ['ERR_ITEM_OUT_OF_RANGE', 'feedback[0].item']],
    ['half an item', [{ userId: 'u', item: 0.5, reward: 1 }], ['ERR_ITEM_OUT_OF_RANGE', 'feedback[0].item']],
    ['columns: no users', { ...good, userIds: 'u' }, ['ERR_INVALID_ARGUMENT', 'feedback.userIds']],
    ['columns: a number for a user', { ...good, userIds: ['u', 5] }, ['ERR_INVALID_ARGUMENT', 'feedback.userIds[1]']],
    ['columns: short content', { ...good, content: randomVector(DIM) }, ['ERR_LENGTH_MISMATCH', 'feedback.content']],
    ['columns: an array for content', { ...good, content: [1] }, ['ERR_INVALID_ARGUMENT', 'feedback.content']],
    [
      'columns: NaN in the content',
      { ...good, content: good.content.with(DIM + 2, Number.NaN) },
      ['ERR_NOT_FINITE', `feedback.content[${DIM + 2}]`],
    ],
    [
      'columns: an infinity far in the target of scattered rows',
      { userIds: many.userIds, content: many.content, target: many.target.with(40_000, -Infinity) },
      ['ERR_NOT_FINITE', 'feedback.target[40000]'],
    ],
    [
      'columns: item beyond the table',
      { ...good, content: Uint32Array.of(0, 3) },
      ['ERR_ITEM_OUT_OF_RANGE', 'feedback.content[1]'],
    ],
    [
      'columns: too many targets',
      { ...good, target: Uint32Array.of(0, 1, 2) },
      ['ERR_LENGTH_MISMATCH', 'feedback.target'],
    ],
    [
      'columns: infinite weight',
      { ...good, weight: Float32Array.of(1, Infinity) },
      ['ERR_NOT_FINITE', 'feedback.weight[1]'],
    ],
    [
      'columns: negative weight',
      { ...good, weight: Float32Array.of(1, -1) },
      ['ERR_OUT_OF_RANGE', 'feedback.weight[1]'],
    ],
  ];
  for (const [name, feedback, [code, text]] of cases) {
    it(name, async () => {
      const pool = newPool({ items });
      await pool.learn(good);
      const before = pool.snapshot();
      await expect(pool.learn(feedback as PoolFeedback[])).rejects.toEqual(coded(code, text));
      expect(pool.snapshot()).toEqual(before);
    });
  }

  it('items without a table', async () => {
    await expect(newPool().learn([{ userId: 'u', item: 0, reward: 1 }])).rejects.toEqual(coded('ERR_NO_ITEMS'));
    await expect(newPool().learn({ ...good, content: Uint32Array.of(0, 0) })).rejects.toEqual(coded('ERR_NO_ITEMS'));
  });

  it('more users than it can hold', async () => {
    const pool = newPool({ capacity: 2 });
    await pool.learn(rowsOf('a', 1, 1));
    const before = pool.snapshot();
    await expect(pool.learn([...rowsOf('a', 1, 2), ...rowsOf('b', 1, 2), ...rowsOf('c', 1, 2)])).rejects.toEqual(
      coded('ERR_POOL_FULL', '2'),
    );
    expect(pool.snapshot()).toEqual(before);
    expect(await pool.learn([...rowsOf('a', 1, 2), ...rowsOf('b', 1, 2)])).toMatchObject({ updates: 2, created: 1 });
    expect(() => pool.setAdapter(newEngine().createAdapter('c'))).toThrow(coded('ERR_POOL_FULL'));
    expect(pool.removeUser('a')).toBe(true);
    pool.setAdapter(newEngine().createAdapter('c'));
    expect(pool.userIds()).toEqual(['b', 'c']);
  });
});

describe('personalize', () => {
  it('maps each row by its user, and leaves it to unknown users as it is', async () => {
    const items = randomVector(4 * DIM);
    const pool = newPool({ items });
    await pool.learn([...rowsOf('a', 2, 1), ...rowsOf('b', 2, 2)]);
    const users = ['a', 'nobody', 'b', 'a'];
    const y = pool.personalize(users, items);
    const engine = newEngine();
    users.forEach((userId, i) => {
      const x = items.slice(i * DIM, (i + 1) * DIM);
      const adapter = pool.getAdapter(userId);
      expect(y.slice(i * DIM, (i + 1) * DIM)).toEqual(adapter ? engine.computeLoRAForward(x, adapter) : x);
    });
    const out = new Float32Array(4 * DIM);
    expect(pool.personalize(users, Uint32Array.of(0, 1, 2, 3), out)).toBe(out);
    expect(out).toEqual(y);
    expect(pool.personalize([], new Float32Array(0))).toEqual(new Float32Array(0));
    expect(pool.has('nobody')).toBe(false);
  });

  it('rejects what does not fit', () => {
    const pool = newPool({ items: randomVector(DIM) });
    const x = randomVector(DIM);
    expect(() => pool.personalize('u' as unknown as string[], x)).toThrow(coded('ERR_INVALID_ARGUMENT', 'userIds'));
    expect(() => pool.personalize(['u', 7 as unknown as string], randomVector(2 * DIM))).toThrow(
      coded('ERR_INVALID_ARGUMENT', 'userIds[1]'),
    );
    expect(() => pool.personalize(['u'], randomVector(2 * DIM))).toThrow(coded('ERR_LENGTH_MISMATCH', 'content'));
    expect(() => pool.personalize(['u'], Uint32Array.of(1))).toThrow(coded('ERR_ITEM_OUT_OF_RANGE'));
    expect(() => pool.personalize(['u'], x, new Float32Array(3))).toThrow(coded('ERR_LENGTH_MISMATCH'));
    expect(() => pool.personalize(['u'], [1] as unknown as Float32Array)).toThrow(coded('ERR_INVALID_ARGUMENT'));
    expect(() => newPool().personalize(['u'], Uint32Array.of(0))).toThrow(coded('ERR_NO_ITEMS'));
  });
});

describe('adapters', () => {
  it('go in and come out unchanged', async () => {
    const engine = newEngine();
    const trained = await engine.updateAdapter(engine.createAdapter('u'), feedbackRows(3, DIM));
    const pool = newPool();
    pool.setAdapter(trained);
    expect(pool.getAdapter('u')).toEqual(trained);
    expect(pool.getAdapter('v')).toBeUndefined();
    expect([pool.size, pool.has('u'), pool.has('v'), pool.userIds()]).toEqual([1, true, false, ['u']]);
  });

  it('replace the one that is there', async () => {
    const pool = newPool();
    await pool.learn(rowsOf('u', 1, 1));
    const fresh = newEngine().createAdapter('u');
    pool.setAdapter(fresh);
    expect(pool.getAdapter('u')).toEqual(fresh);
    expect(pool.size).toBe(1);
  });

  it('keep what the pool itself does not use', async () => {
    const engine = newEngine();
    const trained = await engine.updateAdapter(engine.createAdapter('u'), feedbackRows(3, DIM));
    const bare = newPool({ useEWC: false, optimizer: 'sgd' });
    bare.setAdapter(trained);
    expect(bare.getAdapter('u')).toEqual(trained);
    const copy = newPool({ useEWC: false, optimizer: 'sgd' });
    copy.restore(bare.snapshot());
    expect(copy.getAdapter('u')).toEqual(trained);
    await bare.learn(rowsOf('u', 1, 1));
    expect(bare.getAdapter('u')?.fisherInformation).toEqual(trained.fisherInformation);
    expect(bare.getAdapter('u')?.optimizerState).toEqual({ step: 2 });
  });

  it('of another shape stay out', () => {
    const pool = newPool();
    const foreign = newEngine({ rank: 3 }).createAdapter('u');
    expect(() => pool.setAdapter(foreign)).toThrow(coded('ERR_ADAPTER_MISMATCH', 'rank'));
    expect(() => pool.setAdapter({ ...foreign, matrixA: new Float32Array(3) })).toThrow(coded('ERR_LENGTH_MISMATCH'));
    expect(pool.size).toBe(0);
  });

  it('are forgotten when their user is removed', async () => {
    const pool = newPool();
    await pool.learn(rowsOf('u', 2, 1));
    const x = randomVector(DIM);
    expect(pool.personalize(['u'], x)).not.toEqual(x);
    expect(pool.removeUser('u')).toBe(true);
    expect(pool.removeUser('u')).toBe(false);
    expect(pool.getAdapter('u')).toBeUndefined();
    expect(pool.personalize(['u'], x)).toEqual(x);
    await pool.learn(rowsOf('u', 2, 1));
    expect(pool.getAdapter('u')?.version).toBe(2);
  });
});

it('a closed pool refuses everything', async () => {
  const pool = newPool();
  const running = pool.learn(rowsOf('u', 3, 1));
  const closed = pool.close();
  expect(await running).toMatchObject({ updates: 1 });
  await closed;
  await pool.close();
  await expect(pool.learn([])).rejects.toEqual(coded('ERR_POOL_CLOSED'));
  const calls = [
    () => pool.personalize([], new Float32Array(0)),
    () => pool.getAdapter('u'),
    () => pool.setAdapter(newEngine().createAdapter('u')),
    () => pool.removeUser('u'),
    () => pool.snapshot(),
    () => pool.restore(new Uint8Array()),
  ];
  for (const call of calls) expect(call).toThrow(coded('ERR_POOL_CLOSED'));
});
