/** lorakeet/merge: many adapters into one. Pure functions; docs/merging.md says which is for what. */
export {
  type LoraModule,
  type LoraModules,
  modulesOfState,
  stateOfModule,
  UNNAMED_MODULE,
} from '../adapter/lora-module.js';
export { average, concatenate, taskArithmetic, truncate, weightedAverage } from './linear.js';
export {
  PEFT_COMBINATION_TYPES,
  type PeftCombinationType,
  type PeftCompatOptions,
  peftCompat,
} from './peft-compat.js';
export { precisionAverage } from './precision-average.js';
export { dareLinear, dareTies, magnitudePrune, type SparseOptions, ties } from './sparse.js';
export { type TsvOptions, tsv } from './tsv.js';
export type {
  DensityOption,
  ElectionOption,
  MajoritySign,
  MergeResult,
  RankOption,
  SeedOption,
  Space,
  SpaceOption,
  WeightOption,
} from './types.js';
