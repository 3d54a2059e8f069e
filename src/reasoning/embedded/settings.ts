/** Settings in steps coarse enough that evidence about them adds up: the arms that the strategy learner compares. */
import type { AdaptationHints, AdaptationSituation } from '../contract.js';

/** Learning rate, clip threshold and λ in steps of a logarithmic scale, packed into one number. */
export type Arm = number;

export interface Bins {
  learningRate: number;
  clip: number;
  lambda: number;
}

export type Settings = Pick<AdaptationSituation, 'learningRate' | 'clipThreshold' | 'ewcLambda'>;

/** Steps per factor of ten. */
export const RATE_STEPS = 4;
const CLIP_STEPS = 2;
const LAMBDA_STEPS = 2;
/** Nothing is recommended that is further than this factor from what is configured. */
const RANGE = 10;

/** Bins run from −LIMIT to LIMIT; λ = 0 is the lowest, no clipping at all the highest. */
const LIMIT = 63;
const BITS = 7;

export function armOf(settings: Settings): Arm {
  return packBins({
    learningRate: binOf(settings.learningRate, RATE_STEPS),
    clip: binOf(settings.clipThreshold, CLIP_STEPS),
    lambda: binOf(settings.ewcLambda, LAMBDA_STEPS),
  });
}

export function packBins({ learningRate, clip, lambda }: Bins): Arm {
  return (learningRate + LIMIT) | ((clip + LIMIT) << BITS) | ((lambda + LIMIT) << (2 * BITS));
}

export function binsOf(arm: Arm): Bins {
  const mask = 2 ** BITS - 1;
  return {
    learningRate: (arm & mask) - LIMIT,
    clip: ((arm >> BITS) & mask) - LIMIT,
    lambda: ((arm >> (2 * BITS)) & mask) - LIMIT,
  };
}

/** What `arm` changes of the configured settings; in the same bin, the configured value stays. */
export function hintsOf(arm: Arm, configured: Settings): AdaptationHints {
  const wanted = binsOf(arm);
  const given = binsOf(armOf(configured));
  const hints: AdaptationHints = {};
  if (wanted.learningRate !== given.learningRate) {
    hints.suggestedLearningRate = near(configured.learningRate, middleOf(wanted.learningRate, RATE_STEPS));
  }
  if (wanted.clip !== given.clip) {
    hints.suggestedClipThreshold = near(configured.clipThreshold, middleOf(wanted.clip, CLIP_STEPS));
  }
  if (wanted.lambda !== given.lambda) {
    hints.suggestedEwcLambda = near(configured.ewcLambda, middleOf(wanted.lambda, LAMBDA_STEPS));
  }
  return hints;
}

/** The configured settings with every learning rate that may be recommended: within a factor of ten. */
export function rateArms(configured: Settings): Arm[] {
  const given = binsOf(armOf(configured));
  const arms: Arm[] = [];
  for (let step = -RATE_STEPS; step <= RATE_STEPS; step++) {
    const learningRate = given.learningRate + step;
    if (Math.abs(learningRate) < LIMIT) arms.push(packBins({ ...given, learningRate }));
  }
  return arms;
}

/** `arm` and what lies one step from it in one setting, as far as it may be recommended: within a factor of ten. */
export function nearbyArms(arm: Arm, configured: AdaptationSituation): Arm[] {
  const centre = binsOf(arm);
  const given = binsOf(armOf(configured));
  const allowed = (bin: number, middle: number, steps: number) =>
    bin === middle || (Math.abs(bin - middle) <= steps && Math.abs(bin) < LIMIT && Math.abs(middle) < LIMIT);
  const near: Bins[] = [centre];
  for (const step of [-1, 1]) {
    near.push({ ...centre, learningRate: centre.learningRate + step });
    near.push({ ...centre, clip: centre.clip + step });
    if (configured.useEWC) near.push({ ...centre, lambda: centre.lambda + step });
  }
  return near
    .filter(
      ({ learningRate, clip, lambda }) =>
        allowed(learningRate, given.learningRate, RATE_STEPS) &&
        allowed(clip, given.clip, CLIP_STEPS) &&
        allowed(lambda, given.lambda, LAMBDA_STEPS),
    )
    .map(packBins);
}

function binOf(value: number, steps: number): number {
  return Math.max(-LIMIT, Math.min(LIMIT, Math.round(steps * Math.log10(value))));
}

function middleOf(bin: number, steps: number): number {
  return Number((10 ** (bin / steps)).toPrecision(3));
}

function near(configured: number, value: number): number {
  return Math.min(configured * RANGE, Math.max(configured / RANGE, value));
}
