/**
 * What Hugging Face PEFT's add_weighted_adapter makes of the same adapters, for those who must reproduce it. Checked against
 * PEFT 0.21. Its linear, ties, dare_* and magnitude_prune merge A with A and B with B, which mixes the factors of different
 * adapters; nothing else in lorakeet does that.
 */
import type { LoraModule, LoraModules } from '../adapter/lora-module.js';
import { hashSeed } from '../adapter/random.js';
import { fail, requireBoolean, requireInteger, requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type DenseKernels, denseKernels } from '../kernels/dense.js';
import {
  type Combine,
  combineBy,
  combineEntries,
  type EntrySource,
  magnitudeAt,
  productEntries,
  type Sparsify,
  sparsifyBy,
} from '../kernels/entries.js';
import { matrix, timesColumns, transpose } from '../kernels/matrix.js';
import {
  type ModuleSet,
  requireAdapters,
  requireDensity,
  requireOptions,
  requireRank,
  requireWeights,
} from './checks.js';
import { deltaOf } from './delta-space.js';
import { keepAtRandom } from './entries.js';
import { type MergedModule, mergeEach, moduleOf } from './result.js';
import { truncatedSvd } from './svd.js';
import { MAJORITY_SIGNS, type MajoritySign, type MergeResult } from './types.js';

export const PEFT_COMBINATION_TYPES = [
  'linear',
  'cat',
  'svd',
  'ties',
  'ties_svd',
  'dare_linear',
  'dare_linear_svd',
  'dare_ties',
  'dare_ties_svd',
  'magnitude_prune',
  'magnitude_prune_svd',
] as const;
export type PeftCombinationType = (typeof PEFT_COMBINATION_TYPES)[number];

export interface PeftCompatOptions {
  combinationType: PeftCombinationType;
  weights: readonly number[];
  /** For the types that end in svd; default: the largest rank among the adapters. */
  svdRank?: number;
  /** Needed for ties, dare and magnitude_prune: above 0 and at most 1. At 1 nothing is dropped. */
  density?: number;
  /** Default 'total'. */
  majoritySign?: MajoritySign;
  /** For dare, default 0. PEFT draws its masks from torch's generator: the distribution is the same, the masks are not. */
  seed?: number;
  /** The first adapter has use_rslora, which PEFT hands on: every result is √rank times too large. Default false. */
  useRslora?: boolean;
}

const KEYS = ['combinationType', 'weights', 'svdRank', 'density', 'majoritySign', 'seed', 'useRslora'] as const;

/**
 * The adapter that add_weighted_adapter makes. Throws as `taskArithmetic` and `ties` do; and ERR_MERGE_MISMATCH for
 * adapters of different rank where PEFT asks for the same. The residual is 0 but for the types that end in svd.
 */
export function peftCompat(adapters: readonly LoraModules[], options: PeftCompatOptions): MergeResult {
  requireOptions(options, KEYS);
  const asked = requireOneOf('combinationType', options.combinationType, PEFT_COMBINATION_TYPES);
  const majoritySign = requireOneOf('majoritySign', options.majoritySign ?? 'total', MAJORITY_SIGNS);
  const seed = requireInteger('seed', options.seed ?? 0, 0, 2 ** 32 - 1);
  const useRslora = requireBoolean('useRslora', options.useRslora ?? false);
  const svdRank = requireRank(options.svdRank);
  const type = adapters?.length === 1 ? 'linear' : asked;
  const kind = type.replace('_svd', '');
  const density = kind === 'linear' || kind === 'cat' || kind === 'svd' ? 1 : requireDensity(options.density);
  const sets = requireAdapters(adapters);
  if (options.weights === undefined) fail('ERR_INVALID_ARGUMENT', 'weights', undefined, 'an array of numbers');
  const weights = requireWeights(options.weights, adapters.length);
  const combine = kind.endsWith('ties') ? electAsPeft(majoritySign) : combineBy({ election: 'none', lambda: 1 });
  const dense = denseKernels();
  return mergeEach(sets, (set, name) => {
    const sparsify = (source: EntrySource, part: string) =>
      sparsifyAsPeft(kind, source, density, `peft ${part} ${name}`, seed);
    const merged =
      type === 'cat'
        ? concatenated(set, weights)
        : type.endsWith('svd')
          ? decomposed(dense, set, weights, sparsify, combine, svdRank)
          : factorByFactor(set, weights, sparsify, combine, name);
    const scaling = useRslora ? Math.sqrt(merged.module.rank) : 1;
    return { ...merged, module: { ...merged.module, scaling } };
  });
}

type SparsifyPart = (source: EntrySource, part: string) => Sparsify;

/** A and B for themselves, with √|w·s| on each and the sign on A. */
function factorByFactor(
  set: ModuleSet,
  weights: readonly number[],
  sparsify: SparsifyPart,
  combine: Combine,
  name: string,
): MergedModule {
  set.forEach(({ rank }, i) => {
    if (rank === set[0].rank) return;
    const place = `adapters[${i}][${JSON.stringify(name)}].rank`;
    throw new LorakeetError('ERR_MERGE_MISMATCH', `${place}: got ${rank}, expected ${set[0].rank}, as before`);
  });
  const factors = set.map(({ scaling }, i) => weights[i] * scaling);
  const roots = factors.map((factor) => Math.sqrt(Math.abs(factor)));
  const merge = (key: 'loraA' | 'loraB', scales: readonly number[]) => {
    const source = tensorEntries(set.map((module) => module[key]));
    const merged = new Float32Array(source.length);
    combineEntries(source, scales, sparsify(source, key), combine, merged);
    return merged;
  };
  const { rank, inFeatures, outFeatures } = set[0];
  const signed = roots.map((root, i) => (factors[i] >= 0 ? root : -root));
  const module = {
    rank,
    inFeatures,
    outFeatures,
    loraA: merge('loraA', signed),
    loraB: merge('loraB', roots),
    scaling: 1,
  };
  return exact(module);
}

/** cat: w·s goes to A, while `concatenate` puts it on B; ΔW is the same. */
function concatenated(set: ModuleSet, weights: readonly number[]): MergedModule {
  const { inFeatures, outFeatures } = set[0];
  const rank = set.reduce((sum, module) => sum + module.rank, 0);
  const loraA = new Float32Array(rank * inFeatures);
  const loraB = new Float32Array(outFeatures * rank);
  let first = 0;
  set.forEach((module, i) => {
    const factor = weights[i] * module.scaling;
    loraA.set(
      module.loraA.map((value) => value * factor),
      first * inFeatures,
    );
    for (let o = 0; o < outFeatures; o++) {
      loraB.set(module.loraB.subarray(o * module.rank, (o + 1) * module.rank), o * rank + first);
    }
    first += module.rank;
  });
  return exact({ rank, inFeatures, outFeatures, loraA, loraB, scaling: 1 });
}

/** On ΔW, with all of the singular values in B. */
function decomposed(
  dense: DenseKernels,
  set: ModuleSet,
  weights: readonly number[],
  sparsify: SparsifyPart,
  combine: Combine,
  svdRank: number | undefined,
): MergedModule {
  const { inFeatures, outFeatures } = set[0];
  const source = productEntries(set.map(deltaOf), dense.multiply);
  const merged = new Float32Array(source.length);
  combineEntries(source, weights, sparsify(source, 'delta'), combine, merged);
  const rank = svdRank ?? Math.max(...set.map((module) => module.rank));
  const svd = truncatedSvd(dense, matrix(merged, outFeatures, inFeatures), rank);
  const module = moduleOf(timesColumns(svd.left, svd.values), transpose(svd.right), rank);
  return { module, normSquare: () => svd.normSquare, missedSquare: svd.missedSquare };
}

function exact(module: LoraModule): MergedModule {
  return { module, normSquare: () => 1, missedSquare: 0 };
}

function tensorEntries(tensors: readonly Float32Array[]): EntrySource {
  return {
    matrices: tensors.length,
    blocks: 1,
    length: tensors[0].length,
    offset: () => 0,
    read: (adapter) => Float64Array.from(tensors[adapter]),
  };
}

function sparsifyAsPeft(kind: string, source: EntrySource, density: number, stream: string, seed: number): Sparsify {
  if (density >= 1) return () => {};
  if (kind.startsWith('dare')) {
    const selections = Array.from({ length: source.matrices }, (_, i) => {
      const [first, second] = hashSeed(seed, `${i} ${stream}`);
      return keepAtRandom(density, [first, second]);
    });
    return sparsifyBy(selections);
  }
  return keepTopK(source, Math.floor(density * source.length));
}

/** torch.topk: exactly `count` entries; which of equal ones is not defined there, the first ones here. */
function keepTopK(source: EntrySource, count: number): Sparsify {
  const kept = Array.from({ length: source.matrices }, (_, adapter) => {
    const threshold = count > 0 ? magnitudeAt(source, adapter, count).value : Infinity;
    let above = 0;
    for (let block = 0; block < source.blocks; block++) {
      for (const value of source.read(adapter, block)) if (Math.fround(Math.abs(value)) > threshold) above++;
    }
    return { threshold, equal: count - above };
  });
  return (values, adapter) => {
    const limit = kept[adapter];
    for (let i = 0; i < values.length; i++) {
      const size = Math.fround(Math.abs(values[i]));
      if (size < limit.threshold || (size === limit.threshold && limit.equal-- <= 0)) values[i] = 0;
    }
  };
}

/** Elected without the weights, + where nobody wins; the mean is over the number of adapters that agree. */
function electAsPeft(method: MajoritySign): Combine {
  return (values, weights, out) => {
    for (let i = 0; i < out.length; i++) {
      let mass = 0;
      for (const entries of values) mass += method === 'total' ? entries[i] : Math.sign(entries[i]);
      const sign = mass >= 0 ? 1 : -1;
      let count = 0;
      values.forEach((entries, adapter) => {
        if (Math.sign(entries[i]) !== sign) return;
        out[i] += weights[adapter] * entries[i];
        count++;
      });
      out[i] /= Math.max(1, count);
    }
  };
}
