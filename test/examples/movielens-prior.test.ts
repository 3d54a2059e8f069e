/** The claims of docs/continual.md about MovieLens, for the seed that gains least, on the real ratings. */
import { beforeAll, describe, expect, it } from 'vitest';
import { readRatings } from '../../examples/movielens/data.js';
import { shippedData } from '../../examples/movielens/job.js';
import { type PriorTrial, tryPrior } from '../../examples/movielens/prior-trial.js';

describe('adapters with default settings and the population prior', () => {
  let trial: PriorTrial;
  beforeAll(async () => {
    trial = await tryPrior(readRatings(shippedData()).ratings, 1);
  }, 300_000);

  it('gain more than exact ridge regression, several times as much as without it', () => {
    expect(trial.informed.ridgeGainShare).toBeGreaterThan(1);
    expect(trial.informed.ridgeGainShare).toBeGreaterThan(3 * (trial.fresh.ridgeGainShare as number));
    expect(trial.informed.ridge.rmse).toBeCloseTo(0.8553, 4);
  });

  it('know more about new users from the first ten events on', () => {
    const { difference, standardError, informed, bias } = trial.start;
    expect(difference).toBeLessThan(-3 * standardError);
    expect(informed).toBeLessThan(bias);
  });
});
