import { afterAll, describe, expect, it } from 'vitest';
import { createLoRAPersonalizationEngine, type UserLoRAAdapter } from '../../src/index.js';
import { UpdateChains } from '../../src/personalization/update-chains.js';
import { coded, feedbackRows, quiet } from './samples.js';

const engine = createLoRAPersonalizationEngine({ ...quiet, embeddingDim: 128, rank: 8 });
afterAll(() => engine.close());

const versions = (adapters: UserLoRAAdapter[]) => adapters.map((adapter) => adapter.version);
const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 2);

/** 700 rows leave the main thread, 3 do not. */
const batches = Array.from({ length: 20 }, (_, i) => feedbackRows(i % 4 === 1 ? 700 : 3, 128, i + 1));

describe('twenty concurrent updates of one user', () => {
  it('have rising versions, and none is lost', async () => {
    const fresh = engine.createAdapter('user-001');
    const updated = await Promise.all(batches.map((feedback) => engine.updateAdapter(fresh, feedback)));
    expect(versions(updated)).toEqual(upTo(20));
    expect(fresh.version).toBe(1);

    let oneByOne = fresh;
    for (const feedback of batches) oneByOne = await engine.updateAdapter(oneByOne, feedback);
    expect(updated[19].matrixA).toEqual(oneByOne.matrixA);
    expect(updated[19].matrixB).toEqual(oneByOne.matrixB);
    expect(updated[19].metadata.totalSamples).toBe(5 * 700 + 15 * 3);
  });

  it('join the chain by any result of it that they hold', async () => {
    const fresh = engine.createAdapter('user-001');
    const first = engine.updateAdapter(fresh, batches[0]);
    const others = batches.slice(1, 10).map((feedback) => engine.updateAdapter(fresh, feedback));
    const late = first.then((adapter) => {
      expect(adapter.version).toBe(2);
      return engine.updateAdapter(adapter, batches[11]);
    });
    expect(versions(await Promise.all([first, ...others, late]))).toEqual(upTo(11));
  });

  it('go on without the one that fails', async () => {
    const fresh = engine.createAdapter('user-001');
    const overflow = [{ ...batches[0][0], targetEmbedding: new Float32Array(128).fill(3e38) }];
    const results = await Promise.allSettled([
      engine.updateAdapter(fresh, overflow),
      engine.updateAdapter(fresh, batches[1]),
      engine.updateAdapter(fresh, overflow),
      engine.updateAdapter(fresh, batches[2]),
    ]);
    const kept = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
    expect(versions(kept)).toEqual([2, 3]);
    for (const result of [results[0], results[2]]) expect(result).toMatchObject({ reason: coded('ERR_NOT_FINITE') });
  });

  it('learn from the rows as they were when it was called', async () => {
    const fresh = engine.createAdapter('user-001');
    const reused = feedbackRows(3, 128, 99);
    const first = engine.updateAdapter(fresh, batches[1]);
    const second = engine.updateAdapter(fresh, reused);
    const expected = feedbackRows(3, 128, 99);
    for (const row of reused) row.contentEmbedding.fill(0);
    const alone = await engine.updateAdapter(await first, expected);
    expect((await second).matrixB).toEqual(alone.matrixB);
  });
});

it('an old object is updated as it is once nothing is running', async () => {
  const fresh = engine.createAdapter('user-001');
  const a = await engine.updateAdapter(fresh, batches[0]);
  const b = await engine.updateAdapter(fresh, batches[0]);
  expect(b.version).toBe(2);
  expect(b.matrixB).toEqual(a.matrixB);
});

it('adapters of one user in different objects are different adapters', async () => {
  const fresh = engine.createAdapter('user-001');
  const copy = engine.deserializeAdapter(engine.serializeAdapter(fresh));
  const [a, b] = await Promise.all([fresh, copy].map((adapter) => engine.updateAdapter(adapter, batches[1])));
  expect(versions([a, b])).toEqual([2, 2]);
});

it('a chain starts at once, and remembers nobody when it ends', async () => {
  const chains = new UpdateChains<{ n: number }>();
  const zero = { n: 0 };
  const order: string[] = [];
  const step = (name: string) => async (newest: { n: number }) => {
    order.push(`${name} on ${newest.n}`);
    return { n: newest.n + 1 };
  };
  const first = chains.run(zero, step('a'));
  expect(order).toEqual(['a on 0']);
  const second = chains.run(zero, step('b'));
  expect(await second).toEqual({ n: 2 });
  await chains.run(await first, step('c'));
  await chains.run(zero, step('d'));
  expect(order).toEqual(['a on 0', 'b on 1', 'c on 1', 'd on 0']);
});
