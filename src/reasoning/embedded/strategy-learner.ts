/**
 * Learns from outcomes which settings work where, and recommends them.
 *
 * Every user is an experiment. Most get the best settings known; a small share tries a neighbour of them, so that there is
 * something to compare with. All keep theirs until others are significantly better, because an adapter is the outcome of
 * all its updates.
 */
import type { AdaptationHints, AdaptationSituation } from '../contract.js';
import type { Episode } from './episode.js';
import { type Difference, Estimates } from './estimates.js';
import { Evidence, type Outcome } from './evidence.js';
import { type Arm, armOf, hintsOf, nearbyArms, rateArms } from './settings.js';
import { bucketOf } from './situation.js';
import { hashOf } from './text-vector.js';
import { UserTraces } from './user-traces.js';

export interface Advice {
  bucket: string;
  hints: AdaptationHints;
  /** 'learnt': the evidence is for it; 'trial': it may be better; 'kept': nothing better than the configured is known */
  kind: 'learnt' | 'trial' | 'kept';
  arm: Arm;
  /** 0 … 1: for settings other than the configured ones, the chance that they are better */
  confidence: number;
  /** Compared with the configured settings */
  difference: Difference;
}

/** What an episode showed. */
export interface Lesson {
  bucket: string;
  /** The outcome of the updates before it, if they all but had the same settings; the caller adds it to the evidence. */
  outcome: Outcome | undefined;
}

export interface LearnerOptions {
  /** Share of the users that try settings, 0 … 1 */
  exploration: number;
  seed: number;
}

/** Standard errors by which other settings have to be better. */
const SIGNIFICANT = 1;
/** Updates after which keeping the configured settings is as good as half certain. */
const FAMILIAR = 100;

export class StrategyLearner {
  readonly evidence = new Evidence();
  readonly #options: LearnerOptions;
  readonly #users = new UserTraces();

  constructor(options: LearnerOptions) {
    this.#options = options;
  }

  /** Takes in a user's next episode. */
  learn({ input, output }: Episode): Lesson {
    const { conditions, credit } = this.#users.add(input);
    const bucket = bucketOf(conditions);
    const residual = input.feedback.residualRms ** 2;
    if (!credit || residual === 0) return { bucket, outcome: undefined };
    const losses = { residual, loss: output.lossBefore, correction: output.correctionRms ** 2 };
    return { bucket, outcome: { ...credit, ...this.evidence.bounded(bucket, losses) } };
  }

  /** What to use in `situation`, whose settings are the configured ones. */
  advise(situation: AdaptationSituation): Advice {
    const bucket = bucketOf(this.#users.conditions(situation));
    const stage = Math.floor(Math.log2(Math.max(1, situation.previousVersion - 1)));
    const estimates = new Estimates(this.evidence.around(bucket), stage);
    const configured = armOf(situation);
    const arm = this.#choose(estimates, situation, configured);
    const difference = estimates.compare(arm, configured);
    const updates = estimates.updatesFor(configured);
    return {
      bucket,
      hints: hintsOf(arm, situation),
      kind: arm === configured ? 'kept' : isSignificant(difference) ? 'learnt' : 'trial',
      arm,
      confidence: arm === configured ? updates / (updates + FAMILIAR) : normalCdf(difference.gain / difference.error),
      difference: arm === configured ? { gain: 0, error: 0, updates } : difference,
    };
  }

  /** Of arms that were used in a bucket, the one that did best there. */
  bestOf(bucket: string, arms: readonly Arm[]): Arm {
    return mostCertain(new Estimates(this.evidence.around(bucket), 0), arms, arms[0]);
  }

  #choose(estimates: Estimates, situation: AdaptationSituation, configured: Arm): Arm {
    const best = bestArm(estimates, situation, configured);
    const trace = situation.previousVersion > 1 ? this.#users.get(situation.userId) : undefined;
    if (!trace) return this.#tries(situation.userId) ? this.#pick(nearbyArms(best, situation), situation.userId) : best;
    const mayStay = trace.arm === configured || nearbyArms(trace.arm, situation).includes(trace.arm);
    return mayStay && !isSignificant(estimates.compare(best, trace.arm)) ? trace.arm : best;
  }

  #tries(userId: string): boolean {
    return hashOf(`${this.#options.seed} tries ${userId}`) / 2 ** 32 < this.#options.exploration;
  }

  #pick(arms: readonly Arm[], userId: string): Arm {
    return arms[hashOf(`${this.#options.seed} picks ${userId}`) % arms.length];
  }
}

/** The learning rate whose gain over the configured one is most certain, then a neighbour in the other settings. */
function bestArm(estimates: Estimates, situation: AdaptationSituation, configured: Arm): Arm {
  const best = mostCertain(estimates, rateArms(situation), configured);
  return mostCertain(estimates, nearbyArms(best, situation), best);
}

/** Of the arms that are significantly better than `than`, the one with the highest lower bound; or `than`. */
function mostCertain(estimates: Estimates, arms: readonly Arm[], than: Arm): Arm {
  let best = than;
  let highest = 0;
  for (const arm of arms) {
    if (arm === than) continue;
    const { gain, error } = estimates.compare(arm, than);
    const bound = gain - SIGNIFICANT * error;
    if (bound > highest) {
      highest = bound;
      best = arm;
    }
  }
  return best;
}

function isSignificant({ gain, error }: Difference): boolean {
  return gain > SIGNIFICANT * error;
}

/** Φ(z) by Abramowitz & Stegun 26.2.17, to about 1e-7; exactly ½ for 0 and for the NaN of no evidence. */
function normalCdf(z: number): number {
  if (z === 0 || Number.isNaN(z)) return 0.5;
  const t = 1 / (1 + 0.2316419 * Math.abs(z));
  const poly = t * (0.31938153 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))));
  const upper = Math.exp((-z * z) / 2) * 0.3989422804014327 * poly;
  return z > 0 ? 1 - upper : upper;
}
