import { describe, expect, it } from 'vitest';
import { PatternIndex } from '../../../src/reasoning/embedded/pattern-index.js';
import { SITUATION_DIMENSIONS, writeSituationVector } from '../../../src/reasoning/embedded/situation.js';
import { TEXT_DIMENSIONS, writeTextVector } from '../../../src/reasoning/embedded/text-vector.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { situationAt } from './world.js';

const random = new SeededRandom(1);
const patterns = Array.from({ length: 700 }, (_, i) => ({
  id: 10 + 3 * i,
  task: `task ${random.integer(0, 40)} of user ${random.integer(0, 9)}`,
  situation: i % 5 === 0 ? undefined : situationAt(10 ** random.uniform(-2, 2), { rank: random.integer(1, 16) }),
  success: random.uniform() < 0.5,
  reward: random.uniform(),
}));

function indexOf(all: typeof patterns): PatternIndex {
  const index = new PatternIndex();
  for (const pattern of all) index.add(pattern);
  return index;
}

function vectorOf(text: string, situation?: ReturnType<typeof situationAt>): Float32Array {
  const vector = new Float32Array(TEXT_DIMENSIONS + SITUATION_DIMENSIONS).fill(Number.NaN);
  writeTextVector(text, vector, 0);
  if (situation) writeSituationVector(situation, vector, TEXT_DIMENSIONS);
  return vector;
}

/** The definition, in double precision and by sorting everything. */
function searchPlainly(text: string, situation: ReturnType<typeof situationAt> | undefined, k: number): number[] {
  const query = vectorOf(text, situation);
  const ranked = patterns.map((pattern) => {
    const row = vectorOf(pattern.task, pattern.situation);
    let distance = 2;
    for (let j = 0; j < TEXT_DIMENSIONS; j++) distance -= 2 * row[j] * query[j];
    let features = 0;
    for (let j = TEXT_DIMENSIONS; j < row.length; j++) features += (row[j] - query[j]) ** 2;
    if (situation) distance += Number.isNaN(features) ? 16 : features;
    return { id: pattern.id, distance };
  });
  return ranked
    .sort((a, b) => a.distance - b.distance)
    .slice(0, k)
    .map(({ distance }) => distance);
}

describe('the pattern index', () => {
  it.each([
    ['by words', undefined],
    ['by situation', situationAt(0.3)],
  ])('misses nothing that a plain search finds, %s', (_name, situation) => {
    const index = indexOf(patterns);
    for (const k of [1, 7, 50]) {
      const found = index.search({ text: 'task 7 of user 3', situation, k });
      const expected = searchPlainly('task 7 of user 3', situation, k);
      expect(found.length).toBe(k);
      found.forEach(({ similarity }, i) => {
        expect(similarity).toBeCloseTo(1 / (1 + expected[i] / 2), 5);
      });
    }
  });

  it('gives 1 for the same words, and the latest of equals first', () => {
    const index = new PatternIndex();
    const pattern = { task: 'the same', success: true, reward: 1 };
    for (const id of [4, 8, 15]) index.add({ ...pattern, id });
    index.add({ ...pattern, id: 16, task: 'something else' });
    const found = index.search({ text: 'The Same', k: 2 });
    expect(found.map(({ id }) => id)).toEqual([15, 8]);
    expect(found[0].similarity).toBeCloseTo(1, 6);
  });

  it('keeps to the filters', () => {
    const index = indexOf(patterns);
    const passing = (filter: (pattern: (typeof patterns)[number]) => boolean) => patterns.filter(filter).length;
    const count = (filter: object) => index.search({ text: 'task', k: 1000, ...filter }).length;
    expect(count({})).toBe(700);
    expect(count({ minReward: 0.3 })).toBe(passing(({ reward }) => reward >= 0.3));
    expect(count({ onlySuccesses: true })).toBe(passing(({ success }) => success));
    expect(count({ onlyFailures: true })).toBe(passing(({ success }) => !success));
    expect(count({ onlyFailures: true, onlySuccesses: true })).toBe(0);
  });

  it('forgets what is removed and nothing else', () => {
    const index = indexOf(patterns);
    const gone = new Set(patterns.filter((_, i) => i % 3 !== 1).map(({ id }) => id));
    index.remove(gone);
    const left = index.search({ text: 'task', k: 1000 }).map(({ id }) => id);
    expect(left.sort((a, b) => a - b)).toEqual(patterns.map(({ id }) => id).filter((id) => !gone.has(id)));
    index.add({ ...patterns[0], id: 5000 });
    expect(index.search({ text: patterns[0].task, situation: patterns[1].situation, k: 1000 })).toHaveLength(
      left.length + 1,
    );
  });
});

describe('a text vector', () => {
  const cosine = (a: string, b: string) => {
    const [x, y] = [vectorOf(a), vectorOf(b)];
    return x.subarray(0, TEXT_DIMENSIONS).reduce((sum, value, j) => sum + value * y[j], 0);
  };

  it('is of length 1, or 0 for a text without a word', () => {
    expect(cosine('a task', 'a task')).toBeCloseTo(1, 6);
    expect(cosine('', '')).toBe(0);
  });

  it('points the same way for texts that share much', () => {
    const task = 'lora_adaptation_user_anna_rank_4_samples_8';
    expect(cosine(task, 'lora_adaptation_user_anna_rank_4_samples_16')).toBeGreaterThan(0.8);
    expect(cosine(task, 'a poem about the sea')).toBeLessThan(0.5);
  });
});
