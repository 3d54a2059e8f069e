import { describe, expect, it } from 'vitest';
import {
  type AdapterFeedback,
  createAdapterFeedback,
  createAdapterPool,
  createLoRAPersonalizationEngine,
  type TargetPolicy,
} from '../../src/index.js';
import { coded, feedbackRows, quiet, randomVector, watchEvent } from './samples.js';

const vector = randomVector(64, 50);
const unit = vector.map((value) => value / Math.hypot(...vector));
const contentEmbedding = randomVector(64);
const event = watchEvent({ completionRate: 1, rating: 5 }); // reward 0.8
const towards = (to: Float32Array, share: number) => contentEmbedding.map((x, i) => x + share * (to[i] - x));
const along = (amount: number) => contentEmbedding.map((x, i) => x + amount * unit[i]);

const cases: [string, TargetPolicy, Parameters<typeof createAdapterFeedback>[3], Float32Array][] = [
  ['reward·x', 'reward', {}, contentEmbedding.map((x) => 0.8 * x)],
  ['reward·x, as getConfig() has it', { kind: 'reward' }, {}, contentEmbedding.map((x) => 0.8 * x)],
  ['towards the policy’s preferences', { kind: 'preference', vector }, {}, towards(vector, 0.8)],
  ['towards the row’s preferences', { kind: 'preference' }, { preferenceVector: vector }, towards(vector, 0.8)],
  [
    'towards the row’s before the policy’s, by a strength',
    { kind: 'preference', vector: unit, strength: 0.5 },
    { preferenceVector: vector },
    towards(vector, 0.4),
  ],
  ['along a direction by the residual', { kind: 'direction', vector }, { residual: -1.5 }, along(-1.5)],
  ['along a direction by reward − ½', { kind: 'direction', vector }, {}, along(0.3)],
  ['along a direction by reward − neutral', { kind: 'direction', vector, neutral: 1 }, {}, along(-0.2)],
];

describe('feedback without a target of its own', () => {
  it.each(cases)('goes %s, in the engine and in the pool', async (_, targetPolicy, options, expected) => {
    const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy });
    const plain = createLoRAPersonalizationEngine(quiet);
    const row = createAdapterFeedback(event, contentEmbedding, undefined, options);
    const fresh = plain.createAdapter('user-001');
    const updated = await engine.updateAdapter(fresh, [row]);
    const withTarget = await plain.updateAdapter(fresh, [{ ...row, targetEmbedding: expected }]);
    updated.matrixB.forEach((value, i) => {
      expect(value).toBeCloseTo(withTarget.matrixB[i], 5);
    });
    expect(updated.matrixB).not.toEqual(fresh.matrixB);
    const pool = createAdapterPool({ ...quiet, targetPolicy, items: contentEmbedding });
    const { preferenceVector, residual, reward } = row;
    await pool.learn([row, { userId: 'by-item', item: 0, reward, preferenceVector, residual }]);
    expect(pool.getAdapter('user-001')!.matrixB).toEqual(updated.matrixB);
    const other = await engine.updateAdapter(engine.createAdapter('by-item'), [{ ...row, watchEvent: undefined }]);
    expect(pool.getAdapter('by-item')!.matrixB).toEqual(other.matrixB);
    await Promise.all([engine.close(), plain.close(), pool.close()]);
  });

  it('under direction needs no reward in a pool when it has a residual', async () => {
    const pool = createAdapterPool({ ...quiet, targetPolicy: { kind: 'direction', vector } });
    expect((await pool.learn([{ userId: 'u', contentEmbedding, residual: 0.5 }])).updates).toBe(1);
    await expect(pool.learn([{ userId: 'u', contentEmbedding }])).rejects.toEqual(
      coded('ERR_INVALID_ARGUMENT', 'reward'),
    );
    await pool.close();
  });
});

it('a target that is given wins over every policy of the squared error', async () => {
  const row = feedbackRows(1, 64)[0];
  const b = await Promise.all(
    (['reward', { kind: 'preference', vector }, { kind: 'direction', vector }] as const).map(async (targetPolicy) => {
      const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy });
      return (await engine.updateAdapter(engine.createAdapter('u'), [row])).matrixB;
    }),
  );
  expect(b[1]).toEqual(b[0]);
  expect(b[2]).toEqual(b[0]);
});

it('direction does the regression: the output moves along it by what the residuals say', async () => {
  const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy: { kind: 'direction', vector } });
  const taste = randomVector(64, 60).map((value) => 0.3 * value);
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  const rows = Array.from({ length: 400 }, (_, i) => {
    const x = randomVector(64, 100 + i);
    return { contentEmbedding: x, reward: 0.5, residual: dot(x, taste), timestamp: new Date(0) };
  });
  let adapter = engine.createAdapter('u');
  for (let i = 0; i < 300; i++)
    adapter = await engine.updateAdapter(adapter, rows.slice((i % 20) * 16, (i % 20) * 16 + 16));
  const errors = rows.slice(320).map(({ contentEmbedding: x, residual }) => {
    const y = engine.computeLoRAForward(x, adapter);
    return [dot(y, unit) - dot(x, unit) - residual, residual];
  });
  const squares = (column: number) => errors.reduce((sum, row) => sum + row[column] ** 2, 0);
  expect(squares(0)).toBeLessThan(0.05 * squares(1));
  await engine.close();
});

it('vectors are copied, and getConfig() makes an equal engine', async () => {
  const own = vector.slice();
  const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy: { kind: 'direction', vector: own } });
  own.fill(0);
  const again = createLoRAPersonalizationEngine(engine.getConfig());
  const row = createAdapterFeedback(event, contentEmbedding);
  const [a, b] = await Promise.all(
    [engine, again].map((each) => each.updateAdapter(each.createAdapter('user-001'), [row])),
  );
  expect(a.matrixB).not.toEqual(new Float32Array(256));
  a.matrixB.forEach((value, i) => {
    expect(value).toBeCloseTo(b.matrixB[i], 6);
  });
});

describe('rejects', () => {
  const bad: [string, unknown, Parameters<typeof coded>][] = [
    ['a policy that does not exist', 'best', ['ERR_INVALID_CONFIG', 'targetPolicy']],
    ['a kind that does not exist', { kind: 'best' }, ['ERR_INVALID_CONFIG', 'targetPolicy.kind']],
    ['no policy', null, ['ERR_INVALID_CONFIG', 'targetPolicy']],
    ['an option of another policy', { kind: 'preference', neutral: 1 }, ['ERR_INVALID_CONFIG', 'targetPolicy.neutral']],
    ['a direction without a vector', { kind: 'direction' }, ['ERR_INVALID_ARGUMENT', 'targetPolicy.vector']],
    ['a direction of zeros', { kind: 'direction', vector: new Float32Array(64) }, ['ERR_INVALID_CONFIG', 'vector']],
    ['a short vector', { kind: 'preference', vector: new Float32Array(3) }, ['ERR_LENGTH_MISMATCH', 'vector']],
    ['a negative strength', { kind: 'preference', strength: -1 }, ['ERR_INVALID_CONFIG', 'targetPolicy.strength']],
    [
      'items without a table',
      { kind: 'contrastive', negatives: 'items' },
      ['ERR_INVALID_CONFIG', 'targetPolicy.items'],
    ],
    [
      'a table of another width',
      { kind: 'contrastive', negatives: 'items', items: new Float32Array(65) },
      ['ERR_INVALID_CONFIG', 'targetPolicy.items'],
    ],
    ['a temperature of 0', { kind: 'contrastive', temperature: 0 }, ['ERR_INVALID_CONFIG', 'targetPolicy.temperature']],
    ['a count of 0', { kind: 'contrastive', count: 0 }, ['ERR_INVALID_CONFIG', 'targetPolicy.count']],
  ];
  it.each(bad)('%s', (_, targetPolicy, [code, text]) => {
    expect(() => createLoRAPersonalizationEngine({ ...quiet, targetPolicy: targetPolicy as TargetPolicy })).toThrow(
      coded(code, text),
    );
  });

  const rows: [string, TargetPolicy, Partial<AdapterFeedback>, Parameters<typeof coded>][] = [
    ['no preferences', { kind: 'preference' }, {}, ['ERR_INVALID_ARGUMENT', 'feedback[0].preferenceVector']],
    [
      'preferences of another length',
      { kind: 'preference', vector },
      { preferenceVector: new Float32Array(3) },
      ['ERR_LENGTH_MISMATCH', 'feedback[0].preferenceVector'],
    ],
    [
      'a residual of NaN',
      { kind: 'direction', vector },
      { residual: Number.NaN },
      ['ERR_NOT_FINITE', 'feedback[0].residual'],
    ],
    [
      'a residual as text',
      { kind: 'direction', vector },
      { residual: '1' as unknown as number },
      ['ERR_INVALID_ARGUMENT', 'feedback[0].residual'],
    ],
    ['a residual beyond float32', { kind: 'direction', vector }, { residual: 1e300 }, ['ERR_NOT_FINITE', 'target']],
  ];
  it.each(rows)('%s, in engine and pool', async (_, targetPolicy, fields, [code, text]) => {
    const engine = createLoRAPersonalizationEngine({ ...quiet, targetPolicy });
    const row = { contentEmbedding, reward: 0.5, timestamp: new Date(0), ...fields };
    await expect(engine.updateAdapter(engine.createAdapter('u'), [row])).rejects.toEqual(coded(code, text));
    const pool = createAdapterPool({ ...quiet, targetPolicy });
    await expect(pool.learn([{ ...row, userId: 'u' }])).rejects.toEqual(coded(code, text));
    expect(pool.size).toBe(0);
    await Promise.all([engine.close(), pool.close()]);
  });

  it('options of feedback that do not fit', () => {
    const create = (options: object) => () => createAdapterFeedback(event, contentEmbedding, undefined, options);
    expect(create({ residual: Infinity })).toThrow(coded('ERR_NOT_FINITE', 'options.residual'));
    expect(create({ preferenceVector: new Float32Array(3) })).toThrow(coded('ERR_LENGTH_MISMATCH', 'preferenceVector'));
  });
});
