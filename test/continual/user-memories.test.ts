import { describe, expect, it } from 'vitest';
import { Random } from '../../src/adapter/random.js';
import { Reservoir } from '../../src/continual/reservoir.js';
import { ShiftDetector } from '../../src/continual/shift-detector.js';
import { type MemorySettings, UserMemories } from '../../src/continual/user-memories.js';
import { SeededRandom } from '../../src/testing/random.js';

describe('Reservoir', () => {
  it('keeps everything until it is full', () => {
    const reservoir = new Reservoir(3, 2, new Random([1, 2, 3, 4]));
    expect(reservoir.rows).toEqual(new Float32Array(0));
    reservoir.offer(Float32Array.of(1, 2));
    reservoir.offer(Float32Array.of(3, 4));
    expect([...reservoir.rows]).toEqual([1, 2, 3, 4]);
    reservoir.clear();
    expect(reservoir.size).toBe(0);
  });

  it('holds every row with the same probability', () => {
    const random = new Random([5, 6, 7, 8]);
    const kept = new Array(20).fill(0);
    for (let round = 0; round < 4000; round++) {
      const reservoir = new Reservoir(5, 1, random);
      for (let i = 0; i < 20; i++) reservoir.offer(Float32Array.of(i));
      for (const row of reservoir.rows) kept[row] += 1;
    }
    // 1000 expected, deviation 27
    expect(Math.min(...kept)).toBeGreaterThan(880);
    expect(Math.max(...kept)).toBeLessThan(1120);
  });
});

describe('ShiftDetector', () => {
  const alarms = (losses: readonly number[]): number[] => {
    const detector = new ShiftDetector();
    return losses.flatMap((loss, i) => (detector.observe(loss) ? [i] : []));
  };

  it('notices a task that replaces another', () => {
    const task = Array.from({ length: 200 }, (_, i) => Math.exp(-i / 30));
    const found = alarms([...task, ...task]);
    expect(found).toHaveLength(1);
    expect(found[0]).toBeGreaterThanOrEqual(200);
    expect(found[0]).toBeLessThan(205);
  });

  it('notices a rise beyond noise soon, and noise hardly ever', () => {
    const random = new SeededRandom(1);
    const noisy = (count: number, level: number) =>
      Array.from({ length: count }, () => level * Math.exp(random.normal()));
    expect(alarms(noisy(5000, 1)).length).toBeLessThanOrEqual(1);
    const found = alarms([...noisy(100, 1), ...noisy(100, 20)]);
    expect(found).toHaveLength(1);
    expect(found[0]).toBeGreaterThanOrEqual(100);
    expect(found[0]).toBeLessThan(115);
  });

  it.each([
    ['falling', Array.from({ length: 500 }, (_, i) => 1 / (1 + i))],
    ['slowly rising', Array.from({ length: 500 }, (_, i) => 1 + i / 1000)],
    ['perfect', new Array(500).fill(0)],
    ['short', [1, 1, 1, 1000, 1000, 1000]],
  ])('stays quiet where losses are %s', (_, losses) => {
    expect(alarms(losses)).toEqual([]);
  });
});

describe('UserMemories', () => {
  const settings: MemorySettings = {
    policy: { when: 'samples', everySamples: 4, rows: 3 },
    replayRows: 2,
    users: 2,
    features: 1,
    seed: 0,
  };
  const rows = (...values: number[]) => Float32Array.from(values);

  it('asks for a consolidation after so many samples, on a sample of the rows since the last', () => {
    const memories = new UserMemories(settings);
    expect(memories.observe('ada', rows(1, 2, 3), rows(0, 0, 0), 1)).toBeUndefined();
    expect(memories.observe('bob', rows(9), rows(0), 1)).toBeUndefined();
    const due = memories.observe('ada', rows(4), rows(0), 1);
    expect(due).toHaveLength(3);
    expect([1, 2, 3, 4]).toEqual(expect.arrayContaining([...(due as Float32Array)]));
    expect(memories.observe('ada', rows(5, 6, 7), rows(0, 0, 0), 1)).toBeUndefined();
    expect([...(memories.observe('ada', rows(8), rows(0), 1) as Float32Array)].every((row) => row >= 5)).toBe(true);
  });

  it('keeps rows with their targets for replay', () => {
    const memories = new UserMemories(settings);
    expect(memories.replayOf('ada')).toHaveLength(0);
    memories.observe('ada', rows(1, 2), rows(10, 20), 1);
    expect([...memories.replayOf('ada')]).toEqual([1, 10, 2, 20]);
  });

  it('forgets whom it is told to, and who learned longest ago', () => {
    const memories = new UserMemories(settings);
    for (const user of ['ada', 'bob', 'ada', 'eve']) memories.observe(user, rows(1), rows(1), 1);
    expect(memories.replayOf('bob')).toHaveLength(0);
    expect(memories.replayOf('ada')).toHaveLength(4);
    memories.forget('ada');
    expect(memories.replayOf('ada')).toHaveLength(0);
  });

  it('consolidates on a shift, and never where that is for others to say', () => {
    const shifting = new UserMemories({ ...settings, policy: { ...settings.policy, when: 'shift' } });
    const manual = new UserMemories({ ...settings, policy: { ...settings.policy, when: 'manual' } });
    const due: number[] = [];
    for (let i = 0; i < 60; i++) {
      if (shifting.observe('ada', rows(i), rows(0), i < 50 ? 0.01 : 1)) due.push(i);
      expect(manual.observe('ada', rows(i), rows(0), 1)).toBeUndefined();
    }
    expect(due).toEqual([51]);
  });
});
