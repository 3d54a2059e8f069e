import { afterAll, describe, expect, it } from 'vitest';
import {
  type AdapterFeedback,
  createAdapterFeedback,
  createLoRAPersonalizationEngine,
  type LoRAConfig,
  type UserLoRAAdapter,
} from '../../src/index.js';
import { coded, feedbackRows, quiet, randomVector, watchEvent } from './samples.js';

const opened: { close(): Promise<void> }[] = [];
afterAll(() => Promise.all(opened.map((engine) => engine.close())));

function newEngine(config: LoRAConfig = {}) {
  const engine = createLoRAPersonalizationEngine({ ...quiet, ...config });
  opened.push(engine);
  return engine;
}

const engine = newEngine();

describe('a fresh adapter', () => {
  it('is the identity map', () => {
    const x = randomVector(64);
    expect(engine.computeLoRAForward(x, engine.createAdapter('u'))).toEqual(x);
  });

  it('has A within ±√(6/(d+r)), B zero, and the documented fields', () => {
    const before = Date.now();
    const adapter = engine.createAdapter('user-001');
    const bound = Math.sqrt(6 / 68);
    expect(Math.max(...adapter.matrixA.map(Math.abs))).toBeLessThanOrEqual(bound);
    expect(Math.max(...adapter.matrixA)).toBeGreaterThan(0.9 * bound);
    expect(adapter.matrixB).toEqual(new Float32Array(256));
    expect(adapter).toMatchObject({ userId: 'user-001', rank: 4, embeddingDim: 64, scalingFactor: 1, version: 1 });
    expect(adapter.createdAt.getTime()).toBeGreaterThanOrEqual(before);
    expect(adapter.updatedAt).toEqual(adapter.createdAt);
    expect(adapter.fisherInformation).toEqual(new Float32Array(512));
    expect(adapter.optimizerState).toEqual({ step: 0, moment1: new Float32Array(512), moment2: new Float32Array(512) });
    expect(adapter.metadata).toMatchObject({ totalSamples: 0, avgLoss: 0, learningRate: 0.001 });
    expect(adapter.metadata.lastBatch).toBeUndefined();
  });

  it('depends on seed and user only', () => {
    const a = engine.createAdapter('a');
    expect(newEngine().createAdapter('a').matrixA).toEqual(a.matrixA);
    expect(engine.createAdapter('b').matrixA).not.toEqual(a.matrixA);
    expect(newEngine({ seed: 1 }).createAdapter('a').matrixA).not.toEqual(a.matrixA);
  });

  it('has no Fisher with useEWC false and no moments with SGD', () => {
    const adapter = newEngine({ useEWC: false, optimizer: 'sgd' }).createAdapter('a');
    expect(adapter).not.toHaveProperty('fisherInformation');
    expect(adapter).not.toHaveProperty('anchorWeights');
    expect(adapter.optimizerState).toEqual({ step: 0 });
  });

  it('needs a user', () => {
    for (const userId of ['', undefined, 7]) {
      expect(() => engine.createAdapter(userId as string)).toThrow(coded('ERR_INVALID_ARGUMENT', 'userId'));
    }
  });
});

describe('forward', () => {
  const small = newEngine({ rank: 1, embeddingDim: 3 });
  const byHand = (): UserLoRAAdapter => ({
    ...small.createAdapter('u'),
    matrixA: Float32Array.of(0.5, 0.25, 0),
    matrixB: Float32Array.of(-1, 0.75, -0.25),
  });

  it('is base + (scalingFactor/rank)·B·(A·base)', () => {
    const adapter = byHand();
    expect(small.computeLoRAForward(Float32Array.of(1, 2, 3), adapter)).toEqual(Float32Array.of(0, 2.75, 2.75));
    const doubled = newEngine({ rank: 1, embeddingDim: 3, scalingFactor: 2 });
    expect(doubled.computeLoRAForward(Float32Array.of(1, 2, 3), { ...adapter, scalingFactor: 2 })).toEqual(
      Float32Array.of(-1, 3.5, 2.5),
    );
  });

  it('divides by the rank', () => {
    const two = newEngine({ rank: 2, embeddingDim: 2, scalingFactor: 3 });
    const matrixA = Float32Array.of(1, 0, 0, 1);
    const matrixB = Float32Array.of(1, 2, 0, -1);
    // A·x = (2, 4), B·(A·x) = (10, −4), times 3/2
    expect(two.computeLoRAForward(Float32Array.of(2, 4), { ...two.createAdapter('u'), matrixA, matrixB })).toEqual(
      Float32Array.of(17, -2),
    );
  });

  it('reads the weights anew every time, and changes nothing', () => {
    const adapter = byHand();
    const x = Float32Array.of(1, 2, 3);
    const copy = structuredClone(adapter);
    small.computeLoRAForward(x, adapter);
    expect(adapter).toEqual(copy);
    expect(x).toEqual(Float32Array.of(1, 2, 3));
    adapter.matrixB.fill(0);
    expect(small.computeLoRAForward(x, adapter)).toEqual(x);
  });

  it('of a batch equals the calls one by one', async () => {
    const adapter = await engine.updateAdapter(engine.createAdapter('u'), feedbackRows(8, 64));
    const list = Array.from({ length: 37 }, (_, i) => randomVector(64, i + 1));
    const one = list.map((x) => engine.computeLoRAForward(x, adapter));
    expect(one[0]).not.toEqual(list[0]);
    expect(engine.batchComputeLoRAForward(list, adapter)).toEqual(one);
    expect(engine.batchComputeLoRAForward([], adapter)).toEqual([]);
  });

  it('rejects what does not fit', () => {
    const adapter = engine.createAdapter('u');
    const x = randomVector(64);
    expect(() => engine.computeLoRAForward(randomVector(63), adapter)).toThrow(
      coded('ERR_LENGTH_MISMATCH', 'baseEmbedding'),
    );
    expect(() => engine.computeLoRAForward(x.with(3, Number.NaN), adapter)).toThrow(
      coded('ERR_NOT_FINITE', 'baseEmbedding[3]'),
    );
    expect(() => engine.computeLoRAForward([...x] as unknown as Float32Array, adapter)).toThrow(
      coded('ERR_INVALID_ARGUMENT'),
    );
    expect(() => engine.computeLoRAForward(x, { ...adapter, matrixA: adapter.matrixA.slice(1) })).toThrow(
      coded('ERR_LENGTH_MISMATCH', 'adapter.matrixA'),
    );
    expect(() => engine.computeLoRAForward(x, { ...adapter, scalingFactor: 2 })).toThrow(coded('ERR_ADAPTER_MISMATCH'));
    expect(() => engine.computeLoRAForward(x, undefined as unknown as UserLoRAAdapter)).toThrow(
      coded('ERR_INVALID_ARGUMENT', 'adapter'),
    );
    expect(() => engine.batchComputeLoRAForward([x, x.slice(1)], adapter)).toThrow(
      coded('ERR_LENGTH_MISMATCH', 'baseEmbeddings[1]'),
    );
  });
});

describe('an update', () => {
  it('leaves its input untouched bit for bit and returns the next version', async () => {
    const adapter = engine.createAdapter('u');
    const before = engine.serializeAdapter(adapter);
    const updated = await engine.updateAdapter(adapter, feedbackRows(3, 64));
    expect(engine.serializeAdapter(adapter)).toEqual(before);
    expect(updated.version).toBe(2);
    expect(updated.matrixB).not.toEqual(adapter.matrixB);
    expect(updated.createdAt).toEqual(adapter.createdAt);
    expect(updated.optimizerState.step).toBe(1);
    expect(updated.metadata.totalSamples).toBe(3);
    expect(updated.metadata.learningRate).toBe(0.01);
    expect(updated.metadata).not.toBe(adapter.metadata);
    expect(updated.metadata.performance).not.toBe(adapter.metadata.performance);
  });

  it('without feedback returns the very same object', async () => {
    const adapter = engine.createAdapter('u');
    expect(await engine.updateAdapter(adapter, [])).toBe(adapter);
  });

  it('does one SGD step on the mean squared error, checked by hand', async () => {
    const sgd = newEngine({
      rank: 1,
      embeddingDim: 2,
      optimizer: 'sgd',
      learningRate: 0.5,
      gradientClipThreshold: 100,
    });
    const adapter = {
      ...sgd.createAdapter('u'),
      matrixA: Float32Array.of(1, 2),
      matrixB: Float32Array.of(0.5, -1),
    };
    // x = (1, 1): z = 3, y = (2.5, −2), e = 2(y − t)/2 = (0.5, −2); ∂B = 3e, ∂A = (B·e)x = 2.25x
    const row = {
      contentEmbedding: Float32Array.of(1, 1),
      targetEmbedding: Float32Array.of(2, 0),
      reward: 1,
      timestamp: new Date(),
    };
    const updated = await sgd.updateAdapter(adapter, [row]);
    expect(updated.matrixB).toEqual(Float32Array.of(0.5 - 0.75, -1 + 3));
    expect(updated.matrixA).toEqual(Float32Array.of(1 - 1.125, 2 - 1.125));
    expect(updated.metadata.avgLoss).toBe(2.125);
  });

  it('uses reward · content as target when there is none', async () => {
    const contentEmbedding = randomVector(64);
    const event = watchEvent({ completionRate: 1 });
    const implicit = [createAdapterFeedback(event, contentEmbedding)];
    const explicit = [
      createAdapterFeedback(
        event,
        contentEmbedding,
        contentEmbedding.map((value) => 0.5 * value),
      ),
    ];
    const adapter = engine.createAdapter('user-001');
    const a = await engine.updateAdapter(adapter, implicit);
    const b = await engine.updateAdapter(adapter, explicit);
    expect(a.matrixB).toEqual(b.matrixB);
    expect(a.matrixB).not.toEqual(adapter.matrixB);
  });

  it('reports losses that are true', async () => {
    const feedback = feedbackRows(5, 64);
    const loss = (adapter: UserLoRAAdapter) => {
      const outputs = engine.batchComputeLoRAForward(
        feedback.map((row) => row.contentEmbedding),
        adapter,
      );
      const squares = outputs.flatMap((y, i) =>
        [...y].map((value, j) => (value - feedback[i].targetEmbedding![j]) ** 2),
      );
      return squares.reduce((sum, square) => sum + square, 0) / squares.length;
    };
    let adapter = engine.createAdapter('u');
    const losses: number[] = [];
    for (let update = 0; update < 4; update++) {
      const previous = adapter;
      adapter = await engine.updateAdapter(adapter, feedback);
      expect(adapter.metadata.lastBatch?.lossBefore).toBeCloseTo(loss(previous), 5);
      expect(adapter.metadata.lastBatch?.lossAfter).toBeCloseTo(loss(adapter), 5);
      expect(adapter.metadata.lastBatch!.lossAfter).toBeLessThan(adapter.metadata.lastBatch!.lossBefore);
      losses.push(adapter.metadata.lastBatch!.lossBefore);
      const weights = losses.map((_, i) => 0.9 ** (losses.length - 1 - i));
      const average = losses.reduce((sum, value, i) => sum + weights[i] * value, 0) / weights.reduce((a, b) => a + b);
      expect(adapter.metadata.avgLoss).toBeCloseTo(average, 12);
    }
    expect(adapter.metadata.totalSamples).toBe(20);
  });

  it('holds on to the anchor where Fisher says so', async () => {
    const adapter = engine.createAdapter('u');
    const anchorWeights = Float32Array.from([...adapter.matrixA, ...adapter.matrixB]);
    const held = { ...adapter, fisherInformation: new Float32Array(512).fill(1e6), anchorWeights };
    const free = await engine.updateAdapter(adapter, feedbackRows(4, 64));
    const bound = await engine.updateAdapter(held, feedbackRows(4, 64));
    const largest = (values: Float32Array) => Math.max(...values.map(Math.abs));
    expect(largest(bound.matrixB)).toBeLessThan(0.01 * largest(free.matrixB));
    expect(bound.fisherInformation).toEqual(held.fisherInformation);
    expect(bound.anchorWeights).toEqual(anchorWeights);
  });

  it('with useEWC false keeps a Fisher and anchor that are there, and does not apply them', async () => {
    const free = newEngine({ useEWC: false });
    const adapter = {
      ...engine.createAdapter('u'),
      fisherInformation: new Float32Array(512).fill(1e6),
      anchorWeights: new Float32Array(512).fill(3),
    };
    const updated = await free.updateAdapter(adapter, feedbackRows(4, 64));
    expect(updated.fisherInformation).toEqual(adapter.fisherInformation);
    expect(updated.fisherInformation).not.toBe(adapter.fisherInformation);
    expect(updated.anchorWeights).toEqual(adapter.anchorWeights);
    expect(updated.matrixB).toEqual((await free.updateAdapter(free.createAdapter('u'), feedbackRows(4, 64))).matrixB);
  });

  it('starts AdamW anew on an adapter that SGD has trained', async () => {
    const sgd = newEngine({ optimizer: 'sgd' });
    let adapter = await sgd.updateAdapter(sgd.createAdapter('u'), feedbackRows(2, 64));
    expect(adapter.optimizerState).toEqual({ step: 1 });
    adapter = await engine.updateAdapter(adapter, feedbackRows(2, 64));
    expect(adapter.optimizerState.step).toBe(1);
    expect(adapter.optimizerState.moment1).toHaveLength(512);
    expect(adapter.version).toBe(3);
  });

  it('goes on after serialization as if there had been none', async () => {
    const learn = async (reload: boolean) => {
      let adapter = engine.createAdapter('u');
      for (let update = 1; update <= 6; update++) {
        adapter = await engine.updateAdapter(adapter, feedbackRows(3, 64, update));
        if (reload) adapter = newEngine().deserializeAdapter(engine.serializeAdapter(adapter));
      }
      return adapter;
    };
    const [through, reloaded] = await Promise.all([learn(false), learn(true)]);
    expect(reloaded.matrixA).toEqual(through.matrixA);
    expect(reloaded.matrixB).toEqual(through.matrixB);
    expect(reloaded.optimizerState).toEqual(through.optimizerState);
    expect(reloaded.metadata.avgLoss).toBe(through.metadata.avgLoss);
  });

  it('may run beside others, long and short', async () => {
    const wide = newEngine({ rank: 8, embeddingDim: 128 });
    const users = ['a', 'b', 'c', 'd', 'e', 'f'].map((userId) => wide.createAdapter(userId));
    const feedback = users.map((_, i) => feedbackRows(i % 2 ? 3 : 700, 128, i + 1));
    const together = await Promise.all(users.map((adapter, i) => wide.updateAdapter(adapter, feedback[i])));
    for (const [i, adapter] of users.entries()) {
      const alone = await wide.updateAdapter(adapter, feedback[i]);
      expect(together[i].matrixB).toEqual(alone.matrixB);
      expect(together[i].metadata.lastBatch).toEqual(alone.metadata.lastBatch);
    }
  });
});

describe('an update rejects, and leaves the adapter as it was,', () => {
  const adapter = engine.createAdapter('user-001');
  const row = feedbackRows(1, 64)[0];
  const cases: [string, unknown, unknown, Parameters<typeof coded>][] = [
    [
      'NaN content',
      adapter,
      [{ ...row, contentEmbedding: row.contentEmbedding.with(5, Number.NaN) }],
      ['ERR_NOT_FINITE', 'feedback[0].contentEmbedding[5]'],
    ],
    [
      'an infinite target',
      adapter,
      [row, { ...row, targetEmbedding: new Float32Array(64).fill(Infinity) }],
      ['ERR_NOT_FINITE', 'feedback[1].targetEmbedding'],
    ],
    [
      'a short target',
      adapter,
      [{ ...row, targetEmbedding: new Float32Array(32) }],
      ['ERR_LENGTH_MISMATCH', 'feedback[0].targetEmbedding'],
    ],
    [
      'long content',
      adapter,
      [{ ...row, contentEmbedding: new Float32Array(65) }],
      ['ERR_LENGTH_MISMATCH', 'feedback[0].contentEmbedding'],
    ],
    ['a reward above 1', adapter, [{ ...row, reward: 1.01 }], ['ERR_OUT_OF_RANGE', 'feedback[0].reward']],
    ['a NaN reward', adapter, [{ ...row, reward: Number.NaN }], ['ERR_NOT_FINITE', 'feedback[0].reward']],
    [
      'another user',
      adapter,
      [{ ...row, watchEvent: watchEvent({ userId: 'user-002' }) }],
      ['ERR_USER_MISMATCH', 'user-002'],
    ],
    ['a hole in the list', adapter, new Array(1), ['ERR_INVALID_ARGUMENT', 'feedback[0]']],
    ['feedback that is no list', adapter, row, ['ERR_INVALID_ARGUMENT', 'feedback']],
    ['another rank', newEngine({ rank: 8 }).createAdapter('u'), [row], ['ERR_ADAPTER_MISMATCH', 'rank']],
    [
      'another dimension',
      newEngine({ embeddingDim: 32 }).createAdapter('u'),
      [row],
      ['ERR_ADAPTER_MISMATCH', 'inFeatures'],
    ],
    ['another scaling', { ...adapter, scalingFactor: 2 }, [row], ['ERR_ADAPTER_MISMATCH', 'scaling']],
    [
      'NaN weights',
      { ...adapter, matrixB: new Float32Array(256).fill(Number.NaN) },
      [row],
      ['ERR_NOT_FINITE', 'adapter.matrixB[0]'],
    ],
    [
      'Fisher of a wrong length',
      { ...adapter, fisherInformation: new Float32Array(3) },
      [row],
      ['ERR_LENGTH_MISMATCH', 'adapter.fisher'],
    ],
    ['Fisher without an anchor', { ...adapter, anchorWeights: undefined }, [row], ['ERR_INVALID_ARGUMENT', 'anchor']],
    [
      'no optimizer state',
      { ...adapter, optimizerState: undefined },
      [row],
      ['ERR_INVALID_ARGUMENT', 'adapter.optimizerState'],
    ],
    ['version 0', { ...adapter, version: 0 }, [row], ['ERR_INVALID_ARGUMENT', 'adapter.version']],
    ['a date as text', { ...adapter, createdAt: '2025-01-01' }, [row], ['ERR_INVALID_ARGUMENT', 'adapter.createdAt']],
    ['no adapter', null, [row], ['ERR_INVALID_ARGUMENT', 'adapter']],
    [
      'an overflow',
      adapter,
      [{ ...row, targetEmbedding: new Float32Array(64).fill(3e38) }],
      ['ERR_NOT_FINITE', 'loss'],
    ],
  ];
  for (const [name, given, feedback, [code, text]] of cases) {
    it(name, async () => {
      const before = given && structuredClone(given);
      await expect(engine.updateAdapter(given as UserLoRAAdapter, feedback as AdapterFeedback[])).rejects.toEqual(
        coded(code, text),
      );
      expect(given).toEqual(before);
    });
  }

  it('and works as before afterwards', async () => {
    await expect(
      engine.updateAdapter(adapter, [{ ...row, targetEmbedding: new Float32Array(64).fill(3e38) }]),
    ).rejects.toThrow();
    const updated = await engine.updateAdapter(adapter, [row]);
    expect(updated.matrixB).toEqual((await newEngine().updateAdapter(adapter, [row])).matrixB);
  });
});

describe('serialization', () => {
  it('brings back every field, bit for bit, and tells the size beforehand', async () => {
    let adapter = engine.createAdapter('Zoë ☃ \u{1f600}');
    for (const stage of [1, 2, 3]) {
      const bytes = engine.serializeAdapter(adapter);
      expect(bytes).toHaveLength(adapter.metadata.performance.sizeBytes);
      expect(engine.deserializeAdapter(bytes)).toEqual(adapter);
      adapter = await engine.updateAdapter(adapter, feedbackRows(2, 64, stage));
    }
  });

  it('keeps what is not there away', () => {
    const plain = newEngine({ useEWC: false, optimizer: 'sgd' });
    const adapter = plain.createAdapter('u');
    expect(plain.deserializeAdapter(plain.serializeAdapter(adapter))).toEqual(adapter);
  });

  it('rejects damage and other data', () => {
    const bytes = engine.serializeAdapter(engine.createAdapter('u'));
    expect(() => engine.deserializeAdapter(bytes.subarray(0, 100))).toThrow(coded('ERR_ADAPTER_CORRUPT'));
    expect(() => engine.deserializeAdapter(bytes.with(200, bytes[200] ^ 1))).toThrow(coded('ERR_ADAPTER_CORRUPT'));
    expect(() => engine.deserializeAdapter('text' as unknown as Uint8Array)).toThrow(coded('ERR_INVALID_ARGUMENT'));
  });
});

describe('the engine', () => {
  it('tells its settings, which make an equal engine', () => {
    const config = newEngine({ rank: 2, optimizer: 'sgd', learningRate: 0.25, seed: 9 }).getConfig();
    expect(config).toMatchObject({ rank: 2, optimizer: { kind: 'sgd', weightDecay: 0 }, learningRate: 0.25, seed: 9 });
    expect(newEngine(config).getConfig()).toEqual(config);
  });

  it('tells its backend and why', () => {
    expect(['js', 'cpu', 'cuda']).toContain(engine.backend.name);
    expect(engine.backend.reason).not.toBe('');
    expect(newEngine({ backend: 'js' }).backend).toMatchObject({
      name: 'js',
      device: 'js',
      reason: expect.stringContaining('js'),
    });
  });

  it('measures its forward time', () => {
    const timed = newEngine();
    const adapter = timed.createAdapter('u');
    expect(adapter.metadata.performance.avgInferenceMs).toBe(0);
    timed.computeLoRAForward(randomVector(64), adapter);
    expect(timed.createAdapter('u').metadata.performance.avgInferenceMs).toBeGreaterThan(0);
    expect(adapter.metadata.performance.avgInferenceMs).toBe(0);
  });

  it('finishes running updates before it closes, and refuses later ones', async () => {
    const closing = newEngine({ rank: 8, embeddingDim: 128 });
    const adapter = closing.createAdapter('u');
    const running = closing.updateAdapter(adapter, feedbackRows(700, 128));
    const closed = closing.close();
    await expect(closing.updateAdapter(adapter, feedbackRows(1, 128))).rejects.toEqual(coded('ERR_POOL_CLOSED'));
    expect((await running).version).toBe(2);
    await closed;
    await closing.close();
    expect(() => closing.createAdapter('u')).toThrow(coded('ERR_POOL_CLOSED'));
    expect(() => closing.computeLoRAForward(randomVector(128), adapter)).toThrow(coded('ERR_POOL_CLOSED'));
  });
});
