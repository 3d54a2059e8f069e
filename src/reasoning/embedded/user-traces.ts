/**
 * What the bank remembers of each user between updates: the conditions seen so far, and which settings made the adapter
 * what it is. An episode's loss before its step is the outcome of the updates before it, so that is where credit goes.
 */
import type { Situation } from './episode.js';
import { type Arm, armOf } from './settings.js';
import { type Conditions, conditionsOf } from './situation.js';

export interface UserTrace {
  /** Mean over the user's updates. */
  conditions: Conditions;
  /** Updates seen */
  updates: number;
  /** Settings of the last update, how many updates in a row have used them, and whether their outcome has been counted */
  arm: Arm;
  armUpdates: number;
  counted: boolean;
}

/** Settings to credit with an outcome. */
export interface Credit {
  arm: Arm;
  /** ⌊log₂ of the updates so far⌋: outcomes are compared at the same age */
  stage: number;
  /** No earlier outcome of this user was credited to that arm */
  firstOfUser: boolean;
}

/** An average over more updates would follow a user who changes too slowly. */
const MEMORY = 20;
const MAX_USERS = 100_000;

export class UserTraces {
  readonly #traces = new Map<string, UserTrace>();

  get(userId: string): UserTrace | undefined {
    return this.#traces.get(userId);
  }

  get size(): number {
    return this.#traces.size;
  }

  /** The user's mean conditions with this situation counted in. */
  conditions(situation: Situation): Conditions {
    const trace = this.#traces.get(situation.userId);
    const now = conditionsOf(situation);
    return trace ? blend(trace.conditions, now, 1 / Math.min(trace.updates + 1, MEMORY)) : now;
  }

  /**
   * Takes in the user's next episode; returns his conditions with it, and in `credit` what its loss before the step is the
   * outcome of: undefined if that is no one setting, but a new adapter, or one that other settings have shaped more than
   * the latest.
   */
  add(input: Situation): { conditions: Conditions; credit: Credit | undefined } {
    const { userId, previousVersion } = input;
    const conditions = this.conditions(input);
    const trace = this.#traces.get(userId);
    const updatesSoFar = previousVersion - 1;
    const credit =
      trace && updatesSoFar > 0 && 2 * trace.armUpdates >= updatesSoFar
        ? { arm: trace.arm, stage: Math.floor(Math.log2(updatesSoFar)), firstOfUser: !trace.counted }
        : undefined;
    const arm = armOf(input);
    // version 1 is an adapter made anew, whatever an earlier one of that user learnt with
    const goesOn = trace !== undefined && trace.arm === arm && updatesSoFar > 0;
    this.#traces.delete(userId);
    this.#traces.set(userId, {
      conditions,
      updates: (trace?.updates ?? 0) + 1,
      arm,
      armUpdates: goesOn ? trace.armUpdates + 1 : 1,
      counted: goesOn && (trace.counted || credit !== undefined),
    });
    if (this.#traces.size > MAX_USERS) this.#traces.delete(this.#traces.keys().next().value as string);
    return { conditions, credit };
  }
}

function blend(mean: Conditions, now: Conditions, weight: number): Conditions {
  const towards = (name: Exclude<keyof Conditions, 'optimizer'>) => mean[name] + weight * (now[name] - mean[name]);
  return {
    optimizer: now.optimizer,
    embeddingDim: now.embeddingDim,
    rank: now.rank,
    batchSize: towards('batchSize'),
    inputRms: towards('inputRms'),
    residualRms: towards('residualRms'),
    coherence: towards('coherence'),
  };
}
