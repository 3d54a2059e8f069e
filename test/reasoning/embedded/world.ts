/**
 * A world in which the right learning rate is known: rows of scale s, on which gradient descent with rate η leaves after v
 * updates (1 − η·s²)^v of the error and adds noise of its own. The best rate is near 1/s², wherever s may be.
 */
import type { Episode, Situation } from '../../../src/reasoning/embedded/episode.js';
import type { SeededRandom } from '../../../src/testing/random.js';

export function situationAt(scale: number, changes: Partial<Situation> = {}): Situation {
  return {
    userId: 'user',
    rank: 4,
    embeddingDim: 32,
    batchSize: 4,
    previousVersion: 1,
    learningRate: 1,
    clipThreshold: 1,
    ewcLambda: 0.5,
    optimizer: 'sgd',
    feedback: { meanReward: 1, targetShare: 1, inputRms: scale, residualRms: 0.3 * scale, coherence: 0.3 },
    ...changes,
  };
}

/** The episode that begins with the loss of an adapter which has taken previousVersion − 1 updates at this rate. */
export function episodeAt(situation: Situation, rate: number, noise: SeededRandom, noiseShare = 0.05): Episode {
  const { inputRms, residualRms } = situation.feedback;
  const step = rate * inputRms ** 2;
  const updates = situation.previousVersion - 1;
  const learnt = 1 - (1 - Math.min(step, 10)) ** updates;
  // along the residual, with the scatter of few rows, and across it
  const alignment = residualRms ** 2 * learnt * (1 + noise.normal(noiseShare));
  const across = updates === 0 ? 0 : (noiseShare * step * residualRms) ** 2;
  const correction = (learnt * residualRms) ** 2 + across;
  return {
    input: { ...situation, learningRate: rate },
    output: {
      lossBefore: Math.max(0, residualRms ** 2 - 2 * alignment + correction),
      correctionRms: Math.sqrt(correction),
      lossAfter: 0,
    },
  };
}
