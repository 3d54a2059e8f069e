/** The claims of docs/continual.md about starts among similar users, for one seed, on the real ratings. */
import { beforeAll, describe, expect, it } from 'vitest';
import { readRatings } from '../../examples/movielens/data.js';
import { shippedData } from '../../examples/movielens/job.js';
import { type SimilarTrial, trySimilar } from '../../examples/movielens/similar-trial.js';

describe('new users of MovieLens who start among similar ones', () => {
  let trial: SimilarTrial;
  beforeAll(async () => {
    trial = await trySimilar(readRatings(shippedData()).ratings, 0);
  }, 300_000);

  it('are predicted better than those who learned the same rows from a fresh start', () => {
    const { learned, similar, difference, standardError } = trial.fresh;
    expect(difference).toBeLessThan(-3 * standardError);
    expect(similar).toBeLessThan(learned);
    expect(learned).toBeLessThan(trial.bias);
  });

  it('are better off with a prior alone than with prior and similar users', () => {
    expect(trial.informed.learned).toBeLessThan(trial.informed.similar);
    expect(trial.informed.learned).toBeLessThan(trial.fresh.learned);
    expect(trial.ridge).toBeCloseTo(0.945, 3);
  });
});
