/** The merge in which every adapter counts where it knows something. */
import type { LoraModule, LoraModules } from '../adapter/lora-module.js';
import { fail } from '../checks.js';
import { denseKernels } from '../kernels/dense.js';
import { type ModuleSet, requireAdapters, requireOptions, requireRank } from './checks.js';
import { linearModule } from './linear.js';
import { fisherOf, joined, precisionOf, sumOf } from './precision.js';
import { mergeEach } from './result.js';
import { anchorOf } from './stack.js';
import type { MergeResult, RankOption } from './types.js';

/**
 * Σ ΔWᵢ·diag(mᵢ / Σm), with mᵢ the precision of adapter i for each input feature: where an adapter has seen much, it
 * counts much. Anchors combine in the same way and precisions add. Every adapter needs fisher and anchor
 * (ERR_INVALID_ARGUMENT); features that nobody has seen are averaged. Otherwise throws as `average` does.
 */
export function precisionAverage(adapters: readonly LoraModules[], options: RankOption = {}): MergeResult {
  const sets = requireAdapters(adapters);
  const rank = requireRank(requireOptions(options, ['rank']).rank);
  for (const [name, set] of sets) {
    const without = set.findIndex(({ fisher }) => fisher === undefined);
    if (without >= 0) {
      const place = `adapters[${without}][${JSON.stringify(name)}].fisher`;
      fail('ERR_INVALID_ARGUMENT', place, undefined, 'a Float32Array: this merge needs fisher and anchor');
    }
  }
  const dense = denseKernels();
  return mergeEach(sets, (set) => {
    const precisions = set.map(precisionOf);
    const total = sumOf(precisions);
    const shared = set.map((module, i) =>
      scaleInputs(module, (j) => (total[j] > 0 ? precisions[i][j] / total[j] : 1 / set.length)),
    );
    const ones = new Array<number>(set.length).fill(1);
    const merged = linearModule(dense, shared as unknown as ModuleSet, ones, rank);
    return { ...merged, module: { ...merged.module, fisher: fisherOf(merged.module, total) } };
  });
}

/** The module with input feature j, of weights and anchor, multiplied by factor(j). */
function scaleInputs(module: LoraModule, factor: (j: number) => number): LoraModule {
  const factors = Float64Array.from({ length: module.inFeatures }, (_, j) => factor(j));
  const scaled = (values: Float32Array) => values.map((value, at) => value * factors[at % factors.length]);
  const anchor = anchorOf(module);
  return { ...module, loraA: scaled(module.loraA), anchor: joined(scaled(anchor.loraA), anchor.loraB) };
}
