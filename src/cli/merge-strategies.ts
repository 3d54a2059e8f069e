/** The merges of lorakeet/merge by the names and options that the command has for them. */
import type { LoraModules } from '../adapter/lora-module.js';
import { LorakeetError } from '../errors.js';
import {
  average,
  concatenate,
  dareLinear,
  dareTies,
  type MajoritySign,
  type MergeResult,
  magnitudePrune,
  type PeftCombinationType,
  peftCompat,
  precisionAverage,
  type Space,
  type SparseOptions,
  taskArithmetic,
  ties,
  truncate,
  tsv,
  weightedAverage,
} from '../merge/index.js';

export interface StrategyOptions {
  weights?: number[];
  rank?: number;
  density?: number;
  space?: Space;
  majoritySign?: MajoritySign;
  lambda?: number;
  seed?: number;
  keep?: number;
  combinationType?: PeftCombinationType;
}

interface Strategy {
  takes: readonly (keyof StrategyOptions)[];
  needs?: readonly (keyof StrategyOptions)[];
  merge(adapters: readonly LoraModules[], options: StrategyOptions): MergeResult;
}

type Sparse = SparseOptions;

export const STRATEGIES: Readonly<Record<string, Strategy>> = {
  average: { takes: ['rank'], merge: average },
  'weighted-average': {
    takes: ['rank', 'weights'],
    needs: ['weights'],
    merge: (adapters, options) => weightedAverage(adapters, options as { weights: number[] }),
  },
  'task-arithmetic': { takes: ['rank', 'weights'], merge: taskArithmetic },
  concatenate: { takes: ['weights'], merge: concatenate },
  'precision-average': { takes: ['rank'], merge: precisionAverage },
  tsv: { takes: ['rank', 'weights', 'keep', 'lambda'], merge: tsv },
  ties: {
    takes: ['rank', 'weights', 'density', 'space', 'majoritySign', 'lambda'],
    needs: ['density'],
    merge: (adapters, options) => ties(adapters, options as Sparse),
  },
  'dare-linear': {
    takes: ['rank', 'weights', 'density', 'space', 'seed'],
    needs: ['density'],
    merge: (adapters, options) => dareLinear(adapters, options as Sparse),
  },
  'dare-ties': {
    takes: ['rank', 'weights', 'density', 'space', 'seed', 'majoritySign', 'lambda'],
    needs: ['density'],
    merge: (adapters, options) => dareTies(adapters, options as Sparse),
  },
  'magnitude-prune': {
    takes: ['rank', 'weights', 'density', 'space'],
    needs: ['density'],
    merge: (adapters, options) => magnitudePrune(adapters, options as Sparse),
  },
  truncate: {
    takes: ['rank'],
    needs: ['rank'],
    merge: ([adapter, ...others], { rank }) => {
      if (others.length > 0) {
        throw new LorakeetError('ERR_INVALID_ARGUMENT', `truncate: got ${others.length + 1} adapters, expected one`);
      }
      return truncate(adapter, { rank: rank as number });
    },
  },
  peft: {
    takes: ['rank', 'weights', 'density', 'majoritySign', 'seed', 'combinationType'],
    needs: ['combinationType', 'weights'],
    merge: (adapters, { rank, ...options }) =>
      peftCompat(adapters, { ...options, svdRank: rank } as Parameters<typeof peftCompat>[1]),
  },
};

const flagOf = (name: string) => `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** Throws ERR_INVALID_ARGUMENT for an option that the strategy does not take or that it lacks, and as the merge does. */
export function mergeBy(name: string, adapters: readonly LoraModules[], given: StrategyOptions): MergeResult {
  const { takes, needs = [], merge } = STRATEGIES[name];
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const refuse = (what: string): never => {
    const taken = takes.map(flagOf).join(', ');
    throw new LorakeetError('ERR_INVALID_ARGUMENT', `--strategy ${name} ${what} (it takes ${taken})`);
  };
  const strange = Object.keys(options).find((option) => !takes.includes(option as keyof StrategyOptions));
  if (strange) refuse(`has no ${flagOf(strange)}`);
  const missing = needs.find((option) => !(option in options));
  if (missing) refuse(`needs ${flagOf(missing)}`);
  return merge(adapters, options);
}
