/** What a new user's adapter is before it learns: fresh, from known preferences, or from the population's prior. */
import { type AdapterShape, requireSameShape } from '../adapter/config.js';
import type { AdapterState } from '../adapter/state.js';
import { initialState, stateOf, stateOfUser } from './adapter-record.js';
import { adapterShapeOf, type ResolvedConfig } from './options.js';
import type { UserPreferences } from './types.js';
import type { UserMeta } from './user-meta.js';

export class FreshAdapters {
  readonly #shape: Required<AdapterShape>;
  readonly #seed: number;
  readonly #has: { ewc: boolean; moments: boolean };
  readonly #prior: AdapterState | undefined;

  /** Throws ERR_ADAPTER_MISMATCH or the error of a broken adapter if `config.prior` does not fit. */
  constructor(config: ResolvedConfig) {
    this.#shape = adapterShapeOf(config);
    this.#seed = config.seed;
    this.#has = { ewc: config.useEWC, moments: config.optimizer.kind === 'adamw' };
    if (config.prior === undefined) return;
    this.#prior = stateOf(config.prior);
    requireSameShape('prior', this.#prior.shape, this.#shape);
  }

  /** In memory of its own. Preferences with a vector say more about the user than the population does. */
  stateFor(meta: UserMeta, preferences?: UserPreferences): AdapterState {
    if (!this.#prior || preferences?.vector) return initialState(this.#shape, meta, this.#seed, this.#has, preferences);
    const { step, ...sections } = this.#sectionsOf(this.#prior);
    const copies = Object.entries(sections).map(([name, values]) => [name, values.slice()]);
    return stateOfUser(this.#shape, meta, { step, ...Object.fromEntries(copies) });
  }

  /** For writeToSlab only, which fills in what is zero: sections are missing, or shared with others. */
  slabStateFor(meta: UserMeta): AdapterState {
    if (!this.#prior) return initialState(this.#shape, meta, this.#seed, { ewc: false, moments: false });
    return stateOfUser(this.#shape, meta, this.#sectionsOf(this.#prior));
  }

  /** What of the prior an adapter of this configuration has. */
  #sectionsOf({ weights, fisher, anchor, moment1, moment2, step }: AdapterState) {
    const zeros = new Float32Array(weights.length);
    // AdamW counts its steps from where the moments start
    const noMoments = { step: 0, moment1: zeros, moment2: zeros };
    return {
      weights,
      step,
      ...(this.#has.ewc && { fisher: fisher ?? zeros, anchor: anchor ?? weights }),
      ...(this.#has.moments && (moment1 && moment2 ? { step, moment1, moment2 } : noMoments)),
    };
  }
}
