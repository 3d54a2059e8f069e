/** learn() when the backend fails half-way: what can be undone is undone. */
import { expect, it } from 'vitest';
import { LorakeetError } from '../../src/errors.js';
import { JsPool } from '../../src/kernels/js.js';
import { learnFeedback } from '../../src/personalization/learning.js';
import { poolConfigOf, resolveConfig } from '../../src/personalization/options.js';
import { PooledAdapters } from '../../src/personalization/pooled-adapters.js';
import { slotsFor } from '../../src/personalization/user-table.js';
import { coded, quiet, randomVector } from './samples.js';

const DIM = 8;
const CAPACITY = 100;
const config = resolveConfig({ ...quiet, rank: 2, embeddingDim: DIM });

/** A real js pool with memory for `writes` writes. */
class SmallPool extends JsPool {
  writes = Number.POSITIVE_INFINITY;

  override write(slots: Uint32Array, slabs: Float32Array, steps: Uint32Array): void {
    if (--this.writes < 0) throw new LorakeetError('ERR_OUT_OF_MEMORY', 'no memory for another write');
    super.write(slots, slabs, steps);
  }
}

const feedbackOf = (userIds: string[]) => ({
  userIds,
  rowOffsets: Uint32Array.from({ length: userIds.length + 1 }, (_, i) => i),
  x: randomVector(userIds.length * DIM),
  target: randomVector(userIds.length * DIM, 2),
  memory: new Float32Array(0),
});

it('takes back the users that it had created', async () => {
  const kernel = new SmallPool(poolConfigOf(config, slotsFor(CAPACITY)));
  const adapters = new PooledAdapters(kernel, config, CAPACITY);
  const known = ['a', 'b'];
  adapters.create(known);
  const before = known.map((userId) => adapters.get(userId));
  const reserved: number[] = [];
  // so large an adapter that only a few are created at a time
  const costs = { backend: 'js', threads: 1, parameterCount: 2 ** 14 } as const;
  const newcomers = Array.from({ length: 10 }, (_, i) => `new-${i}`);
  const learn = () =>
    learnFeedback(adapters, feedbackOf([...known, ...newcomers]), costs, (places) => reserved.push(places));

  kernel.writes = 3;
  await expect(learn()).rejects.toEqual(coded('ERR_OUT_OF_MEMORY'));
  expect([...adapters.userIds()]).toEqual(known);
  expect(known.map((userId) => adapters.get(userId))).toEqual(before);
  expect(reserved).toEqual([8, 6, 4, 0]);

  kernel.writes = 100;
  expect(await learn()).toMatchObject({ created: 10, updates: 12 });
  expect(adapters.size).toBe(12);
});
