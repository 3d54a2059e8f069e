import { describe, expect, it } from 'vitest';
import type { AdaptationSituation } from '../../../src/reasoning/contract.js';
import type { Episode } from '../../../src/reasoning/embedded/episode.js';
import { sumsOf } from '../../../src/reasoning/embedded/evidence.js';
import { StrategyLearner } from '../../../src/reasoning/embedded/strategy-learner.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { episodeAt, situationAt } from './world.js';

const newLearner = (exploration = 0, seed = 0) => new StrategyLearner({ exploration, seed });

function learn(learner: StrategyLearner, episode: Episode): void {
  const { bucket, outcome } = learner.learn(episode);
  if (outcome) learner.evidence.add(bucket, sumsOf(outcome));
}

/** Lets users learn with a fixed rate in situations of this scale. */
function watch(learner: StrategyLearner, scale: number, rate: number, { users = 20, updates = 20, noise = 0.05 } = {}) {
  const random = new SeededRandom(1);
  for (let user = 0; user < users; user++) {
    for (let previousVersion = 1; previousVersion <= updates; previousVersion++) {
      const situation = situationAt(scale, { userId: `${scale} ${rate} ${user}`, previousVersion });
      learn(learner, episodeAt(situation, rate, random, noise));
    }
  }
}

const ask = (scale: number, learningRate: number, changes: Partial<AdaptationSituation> = {}): AdaptationSituation => ({
  ...situationAt(scale, { userId: 'new', learningRate }),
  previousLoss: 0,
  useEWC: true,
  ...changes,
});

const rateAfter = (learner: StrategyLearner) => learner.advise(ask(1, 0.01)).hints.suggestedLearningRate ?? 0.01;

describe('a strategy learner', () => {
  it('has nothing to change before it has seen anything', () => {
    expect(newLearner().advise(ask(1, 0.1))).toMatchObject({ kind: 'kept', hints: {}, confidence: 0 });
  });

  it('raises a learning rate that leaves adapters behind, within a factor of ten', () => {
    const learner = newLearner();
    watch(learner, 1, 0.01);
    const { kind, hints, confidence } = learner.advise(ask(1, 0.01));
    expect(kind).toBe('learnt');
    expect(hints.suggestedLearningRate).toBeGreaterThan(0.03);
    expect(hints.suggestedLearningRate).toBeLessThanOrEqual(0.1);
    expect(confidence).toBeGreaterThan(0.9);
  });

  it('lowers one that makes adapters overshoot', () => {
    const learner = newLearner();
    watch(learner, 1, 1.9);
    const { kind, hints } = learner.advise(ask(1, 1.9));
    expect(kind).toBe('learnt');
    expect(hints.suggestedLearningRate).toBeLessThan(1.5);
  });

  it('leaves one alone that is right', () => {
    const learner = newLearner();
    watch(learner, 1, 1);
    expect(learner.advise(ask(1, 1))).toMatchObject({ kind: 'kept', hints: {} });
    expect(learner.advise(ask(1, 1)).confidence).toBeGreaterThan(0.7);
  });

  it('tells situations apart', () => {
    const learner = newLearner();
    watch(learner, 1, 0.1);
    watch(learner, 4, 0.1);
    expect(learner.advise(ask(1, 0.1)).hints.suggestedLearningRate).toBeGreaterThan(0.1);
    expect(learner.advise(ask(4, 0.1))).toMatchObject({ kind: 'kept', hints: {} });
    expect(learner.advise(ask(100, 0.1))).toMatchObject({ kind: 'kept', hints: {} });
    expect(learner.advise(ask(1, 0.1, { optimizer: 'adamw' }))).toMatchObject({ kind: 'kept', hints: {} });
  });

  it('does not take noise for knowledge', () => {
    const learner = newLearner();
    const random = new SeededRandom(3);
    for (let user = 0; user < 40; user++) {
      for (let previousVersion = 1; previousVersion <= 20; previousVersion++) {
        const { input, output } = episodeAt(situationAt(1, { userId: `u${user}`, previousVersion }), 1, random, 0);
        // corrections in random directions, a hundred times smaller than the residual's scatter would show
        const correctionRms = 0.05 * input.feedback.residualRms;
        const along = random.normal(1) * correctionRms * input.feedback.residualRms;
        const lossBefore = Math.max(0, input.feedback.residualRms ** 2 - 2 * along + correctionRms ** 2);
        learn(learner, { input, output: { ...output, correctionRms, lossBefore } });
      }
    }
    const { hints } = learner.advise(ask(1, 1));
    expect(hints.suggestedLearningRate ?? 1).toBeLessThanOrEqual(1);
  });

  it('is surer the more it has seen', () => {
    const few = newLearner();
    const many = newLearner();
    watch(few, 1, 0.05, { users: 1, updates: 6, noise: 2 });
    watch(many, 1, 0.05, { users: 60, updates: 30, noise: 2 });
    const errorOf = (learner: StrategyLearner) => learner.advise(ask(1, 0.05)).difference;
    expect(errorOf(many).gain / errorOf(many).error).toBeGreaterThan(3);
    expect(few.advise(ask(1, 0.05)).confidence).toBeLessThan(many.advise(ask(1, 0.05)).confidence);
  });

  it('is careful after an adapter has diverged, but not for ever', () => {
    const learner = newLearner();
    watch(learner, 1, 0.01, { users: 2 });
    expect(learner.advise(ask(1, 0.01)).kind).toBe('learnt');
    const random = new SeededRandom(1);
    learn(learner, episodeAt(situationAt(1, { userId: 'x' }), 0.01, random));
    const { input, output } = episodeAt(situationAt(1, { userId: 'x', previousVersion: 2 }), 0.01, random);
    learn(learner, { input, output: { ...output, lossBefore: 1e30, correctionRms: 1e15 } });
    const rates = rateAfter(learner);
    expect(rates).toBeLessThanOrEqual(0.0316);
    watch(learner, 1, 0.01, { users: 200 });
    expect(rateAfter(learner)).toBeGreaterThan(rates);
  });

  it('gives no credit for an adapter that other settings have made', () => {
    const learner = newLearner();
    const random = new SeededRandom(1);
    for (let previousVersion = 1; previousVersion <= 20; previousVersion++) {
      learn(learner, episodeAt(situationAt(1, { previousVersion }), 0.01, random));
    }
    const other = situationAt(1, { previousVersion: 21 });
    learn(learner, episodeAt(other, 5, random));
    // the second with the new rate begins where twenty with the old one ended
    const { outcome } = learner.learn(episodeAt({ ...other, previousVersion: 22 }, 5, random));
    expect(outcome).toBeUndefined();
  });

  it('lets a share of the new users try neighbours of the best settings, the same ones for the same seed', () => {
    const trials = (seed: number, exploration = 0.2) => {
      const learner = newLearner(exploration, seed);
      watch(learner, 1, 1, { users: 5 });
      return Array.from({ length: 500 }, (_, i) => learner.advise(ask(1, 1, { userId: `n${i}` })).kind !== 'kept');
    };
    const share = trials(7).filter(Boolean).length / 500;
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.25);
    expect(trials(7)).toEqual(trials(7));
    expect(trials(7)).not.toEqual(trials(8));
    expect(trials(7, 0)).not.toContain(true);
  });

  it('tries λ only where EWC is on', () => {
    const learner = newLearner(1);
    const tried = (useEWC: boolean) =>
      Array.from({ length: 200 }, (_, i) => learner.advise(ask(1, 1, { userId: `n${i}`, useEWC })).hints);
    expect(tried(true).some(({ suggestedEwcLambda }) => suggestedEwcLambda !== undefined)).toBe(true);
    expect(tried(false).some(({ suggestedEwcLambda }) => suggestedEwcLambda !== undefined)).toBe(false);
    expect(tried(false).some(({ suggestedClipThreshold }) => suggestedClipThreshold !== undefined)).toBe(true);
  });

  it('learns a clip threshold from those who tried it', () => {
    const learner = newLearner();
    // corrections as large as they should be, so nothing is to be gained by another learning rate; but three times as good
    for (const [clipThreshold, share] of [
      [1, 0.2],
      [3.162, 0.6],
    ]) {
      for (let user = 0; user < 20; user++) {
        for (let previousVersion = 1; previousVersion <= 20; previousVersion++) {
          const situation = situationAt(1, { userId: `${clipThreshold} ${user}`, clipThreshold, previousVersion });
          const square = situation.feedback.residualRms ** 2;
          const output = { lossBefore: (1 - share) * square, correctionRms: Math.sqrt(share * square), lossAfter: 0 };
          learn(learner, { input: situation, output });
        }
      }
    }
    const { kind, hints } = learner.advise(ask(1, 1));
    expect(kind).toBe('learnt');
    expect(hints).toEqual({ suggestedClipThreshold: 3.16 });
  });

  it('keeps a user at what it has begun with until something is clearly better', () => {
    const learner = newLearner(1, 3);
    watch(learner, 1, 1, { users: 2, updates: 3 });
    const first = learner.advise(ask(1, 1, { userId: 'me' }));
    const settings = { learningRate: first.hints.suggestedLearningRate ?? 1 };
    learn(learner, episodeAt(situationAt(1, { userId: 'me' }), settings.learningRate, new SeededRandom(1)));
    const again = learner.advise(ask(1, 1, { userId: 'me', previousVersion: 2 }));
    expect(again.hints.suggestedLearningRate).toBe(first.hints.suggestedLearningRate);
  });
});
