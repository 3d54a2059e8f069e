import { describe, expect, it } from 'vitest';
import { armOf, binsOf, hintsOf, nearbyArms, packBins, rateArms } from '../../../src/reasoning/embedded/settings.js';
import { exampleSituation } from '../../../src/testing/bank-conformance.js';
import { SeededRandom } from '../../../src/testing/random.js';

const random = new SeededRandom(2);
const situations = Array.from({ length: 200 }, () =>
  exampleSituation({
    learningRate: 10 ** random.uniform(-6, 1),
    clipThreshold: random.uniform() < 0.2 ? Infinity : 10 ** random.uniform(-2, 2),
    ewcLambda: random.uniform() < 0.2 ? 0 : 10 ** random.uniform(-3, 3),
    useEWC: random.uniform() < 0.7,
  }),
);

describe('arms', () => {
  it('are packed without loss', () => {
    for (const bins of [
      { learningRate: -63, clip: 63, lambda: -63 },
      { learningRate: 5, clip: -4, lambda: 0 },
    ]) {
      expect(binsOf(packBins(bins))).toEqual(bins);
    }
  });

  it('have nothing to change of the settings that they are of', () => {
    for (const situation of situations) expect(hintsOf(armOf(situation), situation)).toEqual({});
  });

  it('that may be recommended lie within a factor of ten of what is configured', () => {
    for (const situation of situations) {
      const arms = [...rateArms(situation), ...rateArms(situation).flatMap((arm) => nearbyArms(arm, situation))];
      expect(arms).toContain(armOf(situation));
      for (const arm of arms) {
        const { suggestedLearningRate, suggestedClipThreshold, suggestedEwcLambda } = hintsOf(arm, situation);
        for (const [value, configured] of [
          [suggestedLearningRate, situation.learningRate],
          [suggestedClipThreshold, situation.clipThreshold],
          [suggestedEwcLambda, situation.ewcLambda],
        ]) {
          if (value === undefined || configured === undefined) continue;
          expect(Math.abs(Math.log10(value / configured))).toBeLessThanOrEqual(1 + 1e-9);
        }
      }
    }
  });

  it('leave alone what is switched off', () => {
    const off = exampleSituation({ clipThreshold: Infinity, ewcLambda: 0 });
    for (const arm of nearbyArms(armOf(off), off)) {
      expect(Object.keys(hintsOf(arm, off)).filter((name) => name !== 'suggestedLearningRate')).toEqual([]);
    }
  });
});
