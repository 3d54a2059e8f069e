/**
 * LoRA modules by name: an adapter as files of a language model hold it and as merges take it. Adapters of the
 * personalization engine are the case of one module, whose name is ''.
 */
import { fail, requireInteger, requireNumber, requireVector } from '../checks.js';
import { type AdapterShape, parameterCountOf, requireAdapterShape, scalingOf } from './config.js';
import type { JsonObject } from './meta.js';
import { type AdapterState, requireNonNegative } from './state.js';

/** ΔW = scaling · loraB · loraA, to be added to a weight of [outFeatures × inFeatures]. Treat as immutable. */
export interface LoraModule {
  /** At least 1. */
  rank: number;
  inFeatures: number;
  outFeatures: number;
  /** [rank × inFeatures], row-major. */
  loraA: Float32Array;
  /** [outFeatures × rank], row-major. */
  loraB: Float32Array;
  /** alpha/rank, or alpha/√rank for rsLoRA. Finite. */
  scaling: number;
  /** EWC importance F ≥ 0 of each entry of loraA, then of each of loraB; comes with anchor. */
  fisher?: Float32Array;
  /** EWC anchor θ*, in the same order. */
  anchor?: Float32Array;
}

/** The modules of one adapter by their paths in the model, e.g. `model.layers.0.self_attn.q_proj`. */
export type LoraModules = ReadonlyMap<string, LoraModule>;

/** The name of the only module of an embedding adapter. */
export const UNNAMED_MODULE = '';

/**
 * Throws unless all that LoraModule promises holds: ERR_INVALID_ARGUMENT for a wrong type, a size below 1, or fisher
 * without anchor; ERR_LENGTH_MISMATCH; ERR_NOT_FINITE; ERR_OUT_OF_RANGE for a negative fisher.
 */
export function requireLoraModule(name: string, value: unknown): LoraModule {
  if (typeof value !== 'object' || value === null) fail('ERR_INVALID_ARGUMENT', name, value, 'a LoraModule');
  const module = value as LoraModule;
  for (const key of ['rank', 'inFeatures', 'outFeatures'] as const) {
    requireInteger(`${name}.${key}`, module[key], 1, 2 ** 31 - 1, 'ERR_INVALID_ARGUMENT');
  }
  const { rank, inFeatures, outFeatures } = module;
  requireVector(`${name}.loraA`, module.loraA, rank * inFeatures);
  requireVector(`${name}.loraB`, module.loraB, outFeatures * rank);
  if (typeof module.scaling !== 'number') fail('ERR_INVALID_ARGUMENT', `${name}.scaling`, module.scaling, 'a number');
  requireNumber(`${name}.scaling`, module.scaling, {}, 'ERR_NOT_FINITE');
  if ((module.fisher === undefined) !== (module.anchor === undefined)) {
    fail('ERR_INVALID_ARGUMENT', name, module, 'fisher and anchor both or neither');
  }
  if (module.fisher) {
    requireNonNegative(
      `${name}.fisher`,
      requireVector(`${name}.fisher`, module.fisher, rank * (inFeatures + outFeatures)),
    );
    requireVector(`${name}.anchor`, module.anchor, rank * (inFeatures + outFeatures));
  }
  return module;
}

/** requireLoraModule for every module of a Map with at least one; `name` stands for the Map in messages. */
export function requireLoraModules(name: string, value: unknown): LoraModules {
  if (!(value instanceof Map) || value.size === 0) {
    fail('ERR_INVALID_ARGUMENT', name, value, 'a Map with at least one LoraModule by name');
  }
  for (const [key, module] of value as Map<unknown, unknown>) {
    if (typeof key !== 'string') fail('ERR_INVALID_ARGUMENT', `${name} key`, key, 'the name of a module');
    requireLoraModule(`${name}[${JSON.stringify(key)}]`, module);
  }
  return value as LoraModules;
}

/** An embedding adapter as its only module. The arrays are views of the state's; what trains it further stays behind. */
export function modulesOfState(state: AdapterState): LoraModules {
  const { rank, inFeatures, outFeatures } = state.shape;
  const split = rank * inFeatures;
  return new Map([
    [
      UNNAMED_MODULE,
      {
        rank,
        inFeatures,
        outFeatures,
        loraA: state.weights.subarray(0, split),
        loraB: state.weights.subarray(split),
        scaling: scalingOf(state.shape),
        ...(state.fisher && { fisher: state.fisher, anchor: state.anchor }),
      },
    ],
  ]);
}

/**
 * A module as an adapter of the personalization engine: step 0, no moments, alpha = scaling · rank without rsLoRA. Throws
 * ERR_INVALID_CONFIG for a rank or features beyond what the engine takes.
 */
export function stateOfModule(module: LoraModule, meta: JsonObject = {}): AdapterState {
  requireLoraModule('module', module);
  const { rank, inFeatures, outFeatures, scaling, loraA, loraB, fisher, anchor } = module;
  const shape: AdapterShape = requireAdapterShape('module', { rank, inFeatures, outFeatures, alpha: scaling * rank });
  const weights = new Float32Array(parameterCountOf(shape));
  weights.set(loraA);
  weights.set(loraB, loraA.length);
  return { shape, weights, ...(fisher && { fisher: fisher.slice(), anchor: anchor?.slice() }), step: 0, meta };
}
