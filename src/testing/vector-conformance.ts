/** The conformance suite of vector collections (VectorCollection), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import {
  type CollectionShape,
  METRICS,
  type Metadata,
  type Metric,
  type VectorCollection,
  type VectorFilter,
  type VectorRecord,
} from '../vectors/vector-collection.js';
import { assertRejects, type ConformanceCase } from './harness.js';
import { SeededRandom } from './random.js';

export interface VectorConformanceOptions {
  /** A new, empty collection of that shape. */
  open(shape: CollectionShape): Promise<VectorCollection>;
  /** For collections that outlive their process: the same one, as a process started later finds it. */
  reopen?(collection: VectorCollection): Promise<VectorCollection>;
  /** Called after every case; default: nothing. */
  close?(collection: VectorCollection): Promise<void> | void;
}

/** Scores are float32; services add up in float32 too, and in another order. */
const TOLERANCE = 1e-5;
const DIMENSIONS = 7;
const AWKWARD_IDS = [
  "o'neil",
  '"',
  '$1',
  '--',
  ';',
  '\\',
  '..',
  'a/b',
  '%',
  ' ',
  '\n',
  '日本',
  '😀',
  '1',
  '01',
  'null',
  'x'.repeat(500),
];

/** The cases, in no particular order. Each opens a collection of its own. */
export function vectorConformance(options: VectorConformanceOptions): ConformanceCase[] {
  const define = (
    name: string,
    body: (collection: VectorCollection) => Promise<void>,
    shape: CollectionShape = { dimensions: DIMENSIONS, metric: 'cosine' },
  ): ConformanceCase => ({
    name,
    async run() {
      const collection = await options.open(shape);
      try {
        assert.equal(collection.dimensions, shape.dimensions);
        assert.equal(collection.metric, shape.metric);
        await body(collection);
      } finally {
        await options.close?.(collection);
      }
    },
  });
  return [
    define('an empty collection finds nothing', async (collection) => {
      assert.equal(await collection.count(), 0);
      assert.deepEqual(await collection.search({ vector: axis(0), k: 3 }), []);
      await collection.put([]);
      await collection.delete([]);
      await collection.delete(['nobody']);
      assert.equal(await collection.count(), 0);
    }),
    ...METRICS.map((metric) =>
      define(
        `the best by ${metric} are found, with their scores and metadata`,
        async (collection) => {
          const records = someRecords(new SeededRandom(3), 200);
          await collection.put(records);
          assert.equal(await collection.count(), 200);
          const random = new SeededRandom(4);
          for (const k of [1, 10, 200, 1000]) await expectBest(collection, records, randomVector(random), k);
        },
        { dimensions: DIMENSIONS, metric },
      ),
    ),
    define('cosine does not see length', async (collection) => {
      const long = axis(0).map((value) => value * 1000);
      const records = [
        { id: 'long', vector: long },
        { id: 'near', vector: Float32Array.from(axis(1), (v, i) => (i ? v : 0.1)) },
      ];
      await collection.put(records);
      const [hit] = await collection.search({ vector: axis(1).map((v) => v * 1e-3), k: 1 });
      assert.equal(hit.id, 'near');
    }),
    define(
      'one dimension is enough',
      async (collection) => {
        await collection.put([
          { id: 'up', vector: Float32Array.of(2) },
          { id: 'down', vector: Float32Array.of(-3) },
        ]);
        const hits = await collection.search({ vector: Float32Array.of(-1), k: 2 });
        assert.deepEqual(
          hits.map(({ id, score }) => [id, score]),
          [
            ['down', 3],
            ['up', -2],
          ],
        );
      },
      { dimensions: 1, metric: 'dot' },
    ),
    define('putting again replaces vector and metadata', async (collection) => {
      await collection.put([{ id: 'a', vector: axis(0), metadata: { color: 'red', size: 1 } }]);
      await collection.put([
        { id: 'a', vector: axis(1), metadata: { color: 'blue' } },
        { id: 'b', vector: axis(0) },
      ]);
      assert.equal(await collection.count(), 2);
      const [hit] = await collection.search({ vector: axis(1), k: 1 });
      assert.deepEqual([hit.id, hit.metadata], ['a', { color: 'blue' }]);
      assert.deepEqual((await collection.search({ vector: axis(0), k: 1 }))[0].metadata, {});
    }),
    define('delete removes what it names and nothing else', async (collection) => {
      const records = someRecords(new SeededRandom(5), 20);
      await collection.put(records);
      const gone = new Set(['id-0', 'id-7', 'id-19']);
      await collection.delete([...gone, 'nobody', 'id-7']);
      assert.equal(await collection.count(), 17);
      const left = records.filter(({ id }) => !gone.has(id));
      await expectBest(collection, left, axis(2), 20);
      await collection.put([records[7]]);
      await expectBest(collection, [...left, records[7]], axis(2), 20);
    }),
    define('filters keep what they say', async (collection) => {
      const records = someRecords(new SeededRandom(6), 60);
      await collection.put(records);
      const filters: [VectorFilter, (metadata: Metadata) => boolean][] = [
        [{ color: 'red' }, ({ color }) => color === 'red'],
        [{ color: ['red', 'blue'] }, ({ color }) => color === 'red' || color === 'blue'],
        [{ even: true }, ({ even }) => even === true],
        [{ size: 4 }, ({ size }) => size === 4],
        [{ weight: 0.5 }, ({ weight }) => weight === 0.5],
        [{ size: [1, 4, 'red'] }, ({ size }) => size === 1 || size === 4],
        [{ size: { min: 3 } }, ({ size }) => (size as number) >= 3],
        [{ size: { min: 2, max: 3 } }, ({ size }) => size === 2 || size === 3],
        [{ weight: { max: 0.25 } }, ({ weight }) => (weight as number) <= 0.25],
        [{ color: { min: 0 } }, () => false],
        [{ size: '4' }, () => false],
        [{ missing: 1 }, () => false],
        [{ sometimes: 1 }, ({ sometimes }) => sometimes === 1],
        [{ color: 'red', even: false }, ({ color, even }) => color === 'red' && even === false],
        [{}, () => true],
      ];
      for (const [filter, keeps] of filters) {
        const kept = records.filter(({ metadata }) => keeps(metadata ?? {}));
        for (const k of [2, 60]) await expectBest(collection, kept, axis(3), k, filter);
      }
    }),
    define('every id and value is its own, whatever it is made of', async (collection) => {
      const random = new SeededRandom(7);
      const records = AWKWARD_IDS.map((id) => ({ id, vector: randomVector(random), metadata: { text: id } }));
      await collection.put(records);
      assert.equal(await collection.count(), records.length);
      for (const record of records) {
        await expectBest(collection, [record], record.vector, 3, { text: record.id });
      }
      await collection.delete(AWKWARD_IDS.slice(0, 9));
      await expectBest(collection, records.slice(9), axis(0), 100);
    }),
    define('thousands go in one call', async (collection) => {
      const records = someRecords(new SeededRandom(8), 2500);
      await collection.put(records);
      assert.equal(await collection.count(), 2500);
      await expectBest(collection, records, axis(4), 5);
      await collection.delete(records.slice(5).map(({ id }) => id));
      await expectBest(collection, records.slice(0, 5), axis(4), 10);
    }),
    define('vectors and metadata belong to the caller before and after', async (collection) => {
      const metadata = { color: 'red' };
      const vector = axis(0);
      await collection.put([{ id: 'a', vector, metadata }]);
      vector.fill(5);
      metadata.color = 'blue';
      const [hit] = await collection.search({ vector: axis(0), k: 1 });
      assert.ok(Math.abs(hit.score - 1) < TOLERANCE);
      assert.deepEqual(hit.metadata, { color: 'red' });
      (hit.metadata as { color: string }).color = 'green';
      assert.deepEqual((await collection.search({ vector: axis(0), k: 1 }))[0].metadata, { color: 'red' });
    }),
    define('wrong arguments are refused, and change nothing', refusesNonsense),
    ...(options.reopen
      ? [
          define('what was acknowledged is there when the collection is opened anew', async (collection) => {
            const records = someRecords(new SeededRandom(9), 30);
            await collection.put(records);
            await collection.delete(['id-3']);
            const again = await (options.reopen as NonNullable<typeof options.reopen>)(collection);
            await expectBest(
              again,
              records.filter(({ id }) => id !== 'id-3'),
              axis(1),
              40,
            );
          }),
        ]
      : []),
  ];
}

async function refusesNonsense(collection: VectorCollection): Promise<void> {
  const good = { id: 'good', vector: axis(0), metadata: { color: 'red' } };
  await collection.put([good]);
  const spoilt = (i: number, value: number) => Float32Array.from(axis(0), (v, j) => (i === j ? value : v));
  const vectors: [unknown, 'ERR_LENGTH_MISMATCH' | 'ERR_NOT_FINITE' | 'ERR_OUT_OF_RANGE' | 'ERR_INVALID_ARGUMENT'][] = [
    [new Float32Array(DIMENSIONS - 1).fill(1), 'ERR_LENGTH_MISMATCH'],
    [new Float32Array(DIMENSIONS + 1).fill(1), 'ERR_LENGTH_MISMATCH'],
    [new Float32Array(0), 'ERR_LENGTH_MISMATCH'],
    [spoilt(2, Number.NaN), 'ERR_NOT_FINITE'],
    [spoilt(6, Infinity), 'ERR_NOT_FINITE'],
    [new Float32Array(DIMENSIONS), 'ERR_OUT_OF_RANGE'],
    [[...axis(0)], 'ERR_INVALID_ARGUMENT'],
    [undefined, 'ERR_INVALID_ARGUMENT'],
  ];
  for (const [vector, code] of vectors) {
    const record = { id: 'new', vector } as VectorRecord;
    await assertRejects('put', code, () => collection.put([{ ...good, vector: axis(1) }, record]));
    await assertRejects('search', code, () => collection.search({ vector: vector as Float32Array, k: 1 }));
  }
  const records: unknown[] = [
    ...[undefined, good, [undefined], [{ ...good, id: '' }], [{ ...good, id: 'a\0b' }], [{ ...good, id: '\ud800' }]],
    ...[[{ ...good, id: 'x'.repeat(501) }], [{ ...good, id: 1 }], [good, good], [{ ...good, metadata: 1 }]],
    ...[
      [{ ...good, metadata: { 'a.b': 1 } }],
      [{ ...good, metadata: { "a'": 1 } }],
      [{ ...good, metadata: { a: null } }],
    ],
    ...[[{ ...good, metadata: { a: Number.NaN } }], [{ ...good, metadata: { a: ['x'] } }]],
  ];
  for (const wrong of records) {
    await assertRejects('put', 'ERR_INVALID_ARGUMENT', () => collection.put(wrong as VectorRecord[]));
  }
  for (const ids of [undefined, 'good', [''], [1], ['good', 'a\0b']]) {
    await assertRejects('delete', 'ERR_INVALID_ARGUMENT', () => collection.delete(ids as string[]));
  }
  for (const k of [0, -1, 1.5, Number.NaN, 10_001, '3']) {
    await assertRejects('search', 'ERR_INVALID_ARGUMENT', () => collection.search({ vector: axis(0), k: k as number }));
  }
  for (const filter of [1, { "color') OR 1=1 --": 'x' }, { color: null }, { color: [] }, { size: { min: 'a' } }]) {
    const query = { vector: axis(0), k: 1, filter: filter as unknown as VectorFilter };
    await assertRejects('search', 'ERR_INVALID_ARGUMENT', () => collection.search(query));
  }
  assert.equal(await collection.count(), 1);
  await expectBest(collection, [good], axis(0), 5);
}

function axis(i: number): Float32Array {
  const vector = new Float32Array(DIMENSIONS);
  vector[i] = 1;
  return vector;
}

const randomVector = (random: SeededRandom) => random.normals(DIMENSIONS);

function someRecords(random: SeededRandom, count: number): VectorRecord[] {
  return Array.from({ length: count }, (_, i) => ({
    id: `id-${i}`,
    vector: randomVector(random),
    metadata: {
      color: ['red', 'green', 'blue'][i % 3],
      even: i % 2 === 0,
      size: i % 5,
      weight: (i % 8) / 8,
      ...(i % 4 === 0 && { sometimes: 1 }),
    },
  }));
}

function scoreOf(metric: Metric, x: Float32Array, y: Float32Array): number {
  let [dot, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    dot += x[i] * y[i];
    xx += x[i] * x[i];
    yy += y[i] * y[i];
  }
  return metric === 'dot' ? dot : dot / Math.sqrt(xx * yy);
}

/** What a plain loop finds, up to rounding: scores in order, and no id or metadata but those of the record. */
async function expectBest(
  collection: VectorCollection,
  records: readonly VectorRecord[],
  vector: Float32Array,
  k: number,
  filter?: VectorFilter,
): Promise<void> {
  const hits = await collection.search({ vector, k, ...(filter && { filter }) });
  const what = `the best ${k} with ${JSON.stringify(filter ?? {})}`;
  const scores = new Map(records.map((record) => [record.id, scoreOf(collection.metric, record.vector, vector)]));
  const best = [...scores.values()].sort((a, b) => b - a).slice(0, k);
  assert.equal(hits.length, best.length, `${what}: got ${hits.length} hits, expected ${best.length}`);
  assert.equal(new Set(hits.map(({ id }) => id)).size, hits.length, `${what}: an id twice`);
  hits.forEach(({ id, score, metadata }, i) => {
    const tolerance = TOLERANCE * Math.max(1, Math.abs(best[i]));
    assert.ok(Math.abs(score - best[i]) <= tolerance, `${what}: hit ${i} has score ${score}, expected ${best[i]}`);
    const own = scores.get(id);
    assert.ok(own !== undefined && Math.abs(score - own) <= tolerance, `${what}: ${id} has score ${score}, not ${own}`);
    assert.deepEqual(
      metadata,
      records.find((record) => record.id === id)?.metadata ?? {},
      `${what}: metadata of ${id}`,
    );
  });
}
