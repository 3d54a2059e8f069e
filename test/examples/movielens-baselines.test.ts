import { expect, test } from 'vitest';
import { replayBaselines } from '../../examples/movielens/baselines.js';
import { isBackgroundUser, readRatings } from '../../examples/movielens/data.js';
import { fitItemFeatures } from '../../examples/movielens/features.js';
import { LATE_FROM, rootMean } from '../../examples/movielens/results.js';

const { ratings } = readRatings('data/movielens-small');

/** What the NumPy program that defines the split, the features and both baselines prints. */
const REFERENCE = [
  { seed: 0, items: 5543, users: 183, events: 24015, bias: [0.8614, 0.8433], ridge: [0.8513, 0.8312] },
  { seed: 1, items: 5445, users: 183, events: 30001, bias: [0.8678, 0.8549], ridge: [0.8553, 0.8412] },
  { seed: 2, items: 4906, users: 183, events: 32474, bias: [0.8777, 0.8646], ridge: [0.8668, 0.8531] },
];

test.each(REFERENCE)('seed $seed: both baselines agree with the reference', ({ seed, ...reference }) => {
  const features = fitItemFeatures(ratings.filter(({ user }) => isBackgroundUser(user, seed)));
  const histories = replayBaselines(
    ratings.filter(({ user }) => !isBackgroundUser(user, seed)),
    features,
  );
  expect(features.index.size).toBe(reference.items);
  expect(histories).toHaveLength(reference.users);
  expect(histories.reduce((sum, { items }) => sum + items.length, 0)).toBe(reference.events);
  for (const model of ['bias', 'ridge'] as const) {
    const errors = histories.map((history) => history[`${model}Errors`]);
    const figures = [rootMean(errors), rootMean(errors.map((all) => all.subarray(LATE_FROM)))];
    figures.forEach((figure, i) => {
      expect(Math.abs((figure as number) - reference[model][i]), `${model} ${i ? 'late' : 'all'}`).toBeLessThan(2e-4);
    });
  }
});
