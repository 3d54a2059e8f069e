/** What docs/continual.md says about forgetting, held to bounds. */
import { beforeAll, describe, expect, it } from 'vitest';
import { PermutedTasks } from '../../bench/src/continual/permuted-tasks.js';
import { keptRise, learnTwoTasks, type TwoTaskResult } from '../../bench/src/continual/two-tasks.js';
import { selectBackend } from '../../src/kernels/select.js';

describe('two tasks, one after the other', () => {
  const SEEDS = [0, 1, 2, 3, 4];
  const settings = { learningRate: 0.003, ewcLambda: 16 };
  let without: TwoTaskResult[];
  beforeAll(async () => {
    without = await Promise.all(SEEDS.map((seed) => learnTwoTasks(seed, settings, false)));
  });

  it('without consolidation learning the second spoils the first', () => {
    for (const { first } of without) {
      expect(first.learned).toBeLessThan(0.01 * first.start);
      expect(first.later).toBeGreaterThan(0.3 * first.start);
    }
  });

  it.each(SEEDS)('seed %i: EWC halves that at least, and the second is learned', async (seed) => {
    const result = await learnTwoTasks(seed, settings);
    expect(keptRise(result, without[seed])).toBeLessThanOrEqual(0.5);
    expect(result.second.learned).toBeLessThanOrEqual(0.1 * result.second.start);
  });

  it('a consolidation on shift, which nobody called for, does the same', async () => {
    const result = await learnTwoTasks(1, { ...settings, consolidation: { when: 'shift' } }, false);
    expect(keptRise(result, without[1])).toBeLessThanOrEqual(0.5);
    expect(result.second.learned).toBeLessThanOrEqual(0.1 * result.second.start);
  });

  it('and so does a replay of eight rows', async () => {
    const result = await learnTwoTasks(1, { ...settings, replayRows: 8 }, false);
    expect(keptRise(result, without[1])).toBeLessThanOrEqual(0.5);
    expect(result.second.learned).toBeLessThanOrEqual(0.1 * result.second.start);
  });

  it.each([0.01, 0.1, 1, 10, 100, 1000])('is never NaN: λ = %d', async (ewcLambda) => {
    for (const more of [{}, { optimizer: 'sgd', learningRate: 1 }] as const) {
      const { first, second } = await learnTwoTasks(0, { ewcLambda, ...more, updates: 200 });
      for (const loss of [first.later, second.learned]) expect(loss).toBeLessThan(2);
    }
  });
});

describe('the permuted-task protocol', () => {
  const size = { tasks: 6, trainImages: 4000, testImages: 1000 };
  let protocol: PermutedTasks;
  beforeAll(() => {
    protocol = new PermutedTasks(selectBackend().backend, size, 0);
  });

  it('online EWC keeps what learning one task after the other loses', () => {
    const naive = protocol.run('naive', 0);
    const online = protocol.run('online', 1000);
    const joint = protocol.run('joint', 0);
    expect(naive.acc).toBeLessThan(0.85);
    expect(naive.bwt).toBeLessThan(-0.17);
    // the reference's best without access to the other tasks: .933 and −.074
    expect(online.acc).toBeGreaterThan(0.933);
    expect(online.bwt).toBeGreaterThan(-0.074);
    expect(joint.acc).toBeGreaterThan(online.acc);
    expect(joint.bwt).toBeNull();
  });

  it('one penalty per task helps as well, but less', () => {
    const separate = protocol.run('ewc', 100);
    expect(separate.acc).toBeGreaterThan(0.87);
    expect(separate.bwt).toBeGreaterThan(-0.15);
  });
});
