/** Checks of what is to be merged; all of them before anything is computed. */
import { type LoraModule, type LoraModules, requireLoraModules } from '../adapter/lora-module.js';
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';

/** One module of all adapters, in their order. */
export type ModuleSet = readonly [LoraModule, ...LoraModule[]];

/** Ranks beyond any that helps; keeps a slip of the keyboard from asking for terabytes. */
const MAX_MERGED_RANK = 65536;

/**
 * The adapters' modules by name, in the order of the names, so that the order within the inputs does not matter. Throws
 * ERR_INVALID_ARGUMENT unless there is at least one adapter, whatever requireLoraModules throws, and ERR_MERGE_MISMATCH
 * unless all have the same modules with the same features.
 */
export function requireAdapters(adapters: unknown): ReadonlyMap<string, ModuleSet> {
  if (!Array.isArray(adapters) || adapters.length === 0) {
    fail('ERR_INVALID_ARGUMENT', 'adapters', adapters, 'an array of at least one adapter, each a Map of LoraModules');
  }
  const all = adapters.map((adapter, i) => requireLoraModules(`adapters[${i}]`, adapter));
  const names = [...new Set(all.flatMap((modules) => [...modules.keys()]))].sort();
  return new Map(names.map((name) => [name, moduleSet(all, name)]));
}

function moduleSet(all: readonly LoraModules[], name: string): ModuleSet {
  const [first, ...others] = all.map((modules, i) => {
    const module = modules.get(name);
    return (
      module ?? mismatch(`adapters[${i}]`, `no module ${JSON.stringify(name)}`, 'the same modules in all adapters')
    );
  });
  others.forEach((module, i) => {
    for (const key of ['inFeatures', 'outFeatures'] as const) {
      if (module[key] !== first[key]) {
        mismatch(`adapters[${i + 1}][${JSON.stringify(name)}].${key}`, String(module[key]), `${first[key]}, as before`);
      }
    }
  });
  return [first, ...others];
}

function mismatch(name: string, got: string, expected: string): never {
  throw new LorakeetError('ERR_MERGE_MISMATCH', `${name}: got ${got}, expected ${expected}`);
}

/** The options as an object, without keys that the merge does not know. */
export function requireOptions<T extends object>(options: T, known: readonly (keyof T & string)[]): T {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
  rejectUnknownKeys('options', options, known);
  return options;
}

export function requireWeights(weights: readonly number[] | undefined, count: number): readonly number[] {
  if (weights === undefined) return new Array(count).fill(1);
  if (!Array.isArray(weights) && !ArrayBuffer.isView(weights)) {
    fail('ERR_INVALID_ARGUMENT', 'weights', weights, `an array of ${count} numbers`);
  }
  if (weights.length !== count) {
    throw new LorakeetError('ERR_LENGTH_MISMATCH', `weights: got ${weights.length} elements, expected ${count}`);
  }
  return Array.from(weights, (weight, i) => requireNumber(`weights[${i}]`, weight, {}, 'ERR_NOT_FINITE'));
}

export function requireRank(rank: number | undefined): number | undefined {
  return rank === undefined ? undefined : requireInteger('rank', rank, 1, MAX_MERGED_RANK);
}

export function requireDensity(density: unknown): number {
  return requireNumber('density', density, { above: 0, max: 1 });
}
