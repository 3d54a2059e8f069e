/** Several users' adapters as one: the mean of what they do, ΔW = s·B·A, not of their factors. */

import { scalingOf } from '../adapter/config.js';
import type { LoraModule } from '../adapter/lora-module.js';
import { modulesOfState, UNNAMED_MODULE } from '../adapter/lora-module.js';
import type { AdapterState } from '../adapter/state.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { average, weightedAverage } from '../merge/index.js';
import { adapterShapeOf, type ResolvedConfig } from './options.js';
import { newUserMeta, readUserMeta, toJson } from './user-meta.js';

/** Whose a merged adapter is, as documented. */
const MERGED_USER = 'merged';

/**
 * The adapter of `config`'s rank and scaling that is nearest to Σ wᵢΔWᵢ / Σ wᵢ, each ΔWᵢ with its own scaling; weights are
 * all equal by default. It knows as many samples as all of them, and its loss is their mean, by samples. Fisher and anchors
 * are merged if all of them have one. Throws ERR_INVALID_ARGUMENT without adapters, ERR_ADAPTER_MISMATCH for another rank
 * or dimension, and for weights ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE or ERR_OUT_OF_RANGE (a sum that
 * is not positive).
 */
export function mergedState(
  states: readonly AdapterState[],
  weights: readonly number[] | undefined,
  config: ResolvedConfig,
): AdapterState {
  if (states.length === 0) fail('ERR_INVALID_ARGUMENT', 'adapters', states, 'at least one adapter');
  states.forEach(({ shape }, i) => {
    if (shape.rank === config.rank && shape.inFeatures === config.embeddingDim) return;
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `adapters[${i}]: got rank ${shape.rank} and dimension ${shape.inFeatures}, expected ${config.rank} and ` +
        `${config.embeddingDim}`,
    );
  });
  const modules = states.map(modulesOfState);
  const { rank } = config;
  const merged = weights === undefined ? average(modules, { rank }) : weightedAverage(modules, { rank, weights });
  return { ...sectionsOf(merged.modules.get(UNNAMED_MODULE) as LoraModule, config), meta: metaOf(states, config) };
}

/** The module, whose scaling is 1, with the configuration's scaling. */
function sectionsOf(module: LoraModule, config: ResolvedConfig): Omit<AdapterState, 'meta'> {
  const shape = adapterShapeOf(config);
  const { loraA, loraB, fisher, anchor } = module;
  const scaling = scalingOf(shape);
  // s·B′ = B, so F of B′, which goes with s², is s²·F of B; F of A stays, as it sees s·B′ only
  const withB = (a: ArrayLike<number>, b: Float32Array, factor: number) => {
    const section = new Float32Array(a.length + b.length);
    section.set(a);
    for (let i = 0; i < b.length; i++) section[a.length + i] = factor * b[i];
    return section;
  };
  const split = (section: Float32Array, factor: number) =>
    withB(section.subarray(0, loraA.length), section.subarray(loraA.length), factor);
  const weights = withB(loraA, loraB, 1 / scaling);
  const zeros = () => new Float32Array(weights.length);
  return {
    shape,
    weights,
    step: 0,
    ...(fisher && anchor && { fisher: split(fisher, scaling ** 2), anchor: split(anchor, 1 / scaling) }),
    ...(!fisher && config.useEWC && { fisher: zeros(), anchor: weights.slice() }),
    ...(config.optimizer.kind === 'adamw' && { moment1: zeros(), moment2: zeros() }),
  };
}

function metaOf(states: readonly AdapterState[], { learningRate }: ResolvedConfig) {
  const metas = states.map(({ meta }) => readUserMeta(meta));
  const totalSamples = metas.reduce((sum, meta) => sum + meta.totalSamples, 0);
  const losses = metas.reduce((sum, meta) => sum + meta.totalSamples * meta.avgLoss, 0);
  return toJson({
    ...newUserMeta(MERGED_USER, learningRate, Date.now()),
    totalSamples,
    avgLoss: totalSamples === 0 ? 0 : losses / totalSamples,
  });
}
