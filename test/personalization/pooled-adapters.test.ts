/** Races between a running step and everything else, made certain by a kernel pool whose steps wait for the test. */
import { describe, expect, it } from 'vitest';
import type { UpdateBatch, UpdateReport } from '../../src/kernels/contract.js';
import { JsPool } from '../../src/kernels/js.js';
import { initialState, recordOf } from '../../src/personalization/adapter-record.js';
import { adapterShapeOf, poolConfigOf, resolveConfig } from '../../src/personalization/options.js';
import { PooledAdapters } from '../../src/personalization/pooled-adapters.js';
import { newUserMeta } from '../../src/personalization/user-meta.js';
import { slotsFor, UserTable } from '../../src/personalization/user-table.js';
import { quiet, randomVector } from './samples.js';

const DIM = 8;
const CAPACITY = 3;
const config = resolveConfig({ ...quiet, rank: 2, embeddingDim: DIM });

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** A real js pool that takes an asynchronous step only when allowed to, and tells of it only when allowed to. */
class GatedPool extends JsPool {
  take = gate();
  tell = gate();

  override async updateAsync(batch: UpdateBatch): Promise<UpdateReport> {
    await this.take.opened;
    const report = await super.updateAsync(batch);
    await this.tell.opened;
    return report;
  }
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

function setUp(userIds: string[]) {
  const kernel = new GatedPool(poolConfigOf(config, slotsFor(CAPACITY)));
  const adapters = new PooledAdapters(kernel, config, CAPACITY);
  adapters.create(userIds);
  return { kernel, adapters };
}

/** A step in the background, one row for every user. */
const stepOf = (adapters: PooledAdapters, userIds: string[]) => {
  const batch = {
    slots: Uint32Array.from(userIds, (userId) => adapters.slotOf(userId) as number),
    rowOffsets: Uint32Array.from({ length: userIds.length + 1 }, (_, i) => i),
    x: randomVector(userIds.length * DIM),
    target: randomVector(userIds.length * DIM, 2),
  };
  return adapters.step(batch, true);
};

const weightsOf = (adapters: PooledAdapters, userId: string) => adapters.get(userId)?.weights;
const fresh = (userId: string) =>
  initialState(adapterShapeOf(config), newUserMeta(userId, 0.001, 0), 0, { ewc: true, moments: true });
const metaOf = (adapters: PooledAdapters, userId: string) => recordOf(adapters.get(userId)!);

for (const moment of ['before the step is taken', 'after it is taken and before it is told'] as const) {
  describe(moment, () => {
    const start = async () => {
      const { kernel, adapters } = setUp(['a', 'b', 'c']);
      const step = stepOf(adapters, ['a', 'b', 'c']);
      if (moment !== 'before the step is taken') kernel.take.open();
      await settle();
      const finish = async () => {
        kernel.take.open();
        kernel.tell.open();
        await step;
      };
      return { kernel, adapters, finish };
    };

    it('a read shows weights and counts of one moment', async () => {
      const { adapters, finish } = await start();
      const taken = moment !== 'before the step is taken';
      const initial = fresh('b').weights;
      const seen = metaOf(adapters, 'b');
      expect(weightsOf(adapters, 'b')?.every((weight, i) => weight === initial[i])).toBe(!taken);
      expect([seen.version, seen.optimizerState.step, seen.metadata.totalSamples]).toEqual(
        taken ? [2, 1, 1] : [1, 0, 0],
      );
      expect(seen.metadata.learningRate).toBe(taken ? 0.01 : 0.001);
      await finish();
      const after = metaOf(adapters, 'b');
      expect([after.version, after.metadata.totalSamples]).toEqual([2, 1]);
      expect(after.metadata.avgLoss).toBeGreaterThan(0);
    });

    it('a user who leaves takes his slot out of use until the step has ended', async () => {
      const { adapters, finish } = await start();
      adapters.remove('a');
      adapters.put([fresh('newcomer')]);
      await finish();
      expect(adapters.has('a')).toBe(false);
      expect(weightsOf(adapters, 'newcomer')).toEqual(fresh('newcomer').weights);
      expect(metaOf(adapters, 'newcomer').version).toBe(1);
      expect(metaOf(adapters, 'b').version).toBe(2);
    });

    it('an adapter that is replaced is not stepped', async () => {
      const { adapters, finish } = await start();
      adapters.put([fresh('a'), fresh('c')]);
      await finish();
      expect(weightsOf(adapters, 'a')).toEqual(fresh('a').weights);
      expect(metaOf(adapters, 'c')).toMatchObject({ version: 1, metadata: { totalSamples: 0, avgLoss: 0 } });
      expect(metaOf(adapters, 'b').version).toBe(2);
      expect(adapters.size).toBe(3);
    });

    it('everybody may come and go many times without running out of slots', async () => {
      const { kernel, adapters, finish } = await start();
      const comeAndGo = () => {
        for (const userId of ['a', 'b', 'c']) adapters.remove(userId);
        adapters.put(['a', 'b', 'c'].map(fresh));
      };
      for (let i = 0; i < 5; i++) comeAndGo();
      await finish();
      for (let i = 0; i < 5; i++) {
        kernel.tell = gate();
        const step = stepOf(adapters, ['a', 'b', 'c']);
        await settle();
        comeAndGo();
        kernel.tell.open();
        await step;
      }
      for (const userId of ['a', 'b', 'c']) expect(weightsOf(adapters, userId)).toEqual(fresh(userId).weights);
    });

    it('the counts go on in the next step', async () => {
      const { kernel, adapters, finish } = await start();
      await finish();
      kernel.take = gate();
      const step = stepOf(adapters, ['a', 'b']);
      await settle();
      expect(metaOf(adapters, 'a')).toMatchObject({ version: 2, metadata: { totalSamples: 1 } });
      kernel.take.open();
      await step;
      expect(metaOf(adapters, 'a')).toMatchObject({ version: 3, metadata: { totalSamples: 2 } });
      expect(metaOf(adapters, 'c')).toMatchObject({ version: 2, metadata: { totalSamples: 1 } });
    });

    it('the memory of a user who has left is cleared', async () => {
      const { kernel, adapters, finish } = await start();
      adapters.remove('b');
      await finish();
      adapters.remove('c');
      const slots = Uint32Array.from({ length: slotsFor(CAPACITY) }, (_, slot) => slot);
      const slabs = new Float32Array(slots.length * kernel.layout.slabLength);
      kernel.read(slots, slabs, new Uint32Array(slots.length));
      const used = [...slots].filter((slot) => {
        const slab = slabs.subarray(slot * kernel.layout.slabLength, (slot + 1) * kernel.layout.slabLength);
        return slab.some((value) => value !== 0);
      });
      expect(used).toHaveLength(1);
    });
  });
}

describe('the table of users', () => {
  it('hands out slots from 1, and free ones again', () => {
    const table = new UserTable(2);
    for (const userId of ['a', 'b']) table.assign(userId, table.slotFor(userId));
    expect([table.slotOf('a'), table.slotOf('b'), table.slotOf('c')]).toEqual([1, 2, undefined]);
    table.remove('a');
    table.remove('a');
    table.assign('c', table.slotFor('c'));
    expect([table.slotOf('c'), table.size, [...table.userIds()]]).toEqual([1, 2, ['b', 'c']]);
  });

  it('takes a slot back that was not used', () => {
    const table = new UserTable(2);
    const slot = table.slotFor('a');
    table.giveBack(slot);
    expect(table.slotFor('b')).toBe(slot);
    table.assign('b', slot);
    table.giveBack(table.slotFor('b'));
    expect(table.slotFor('c')).not.toBe(slot);
  });
});
