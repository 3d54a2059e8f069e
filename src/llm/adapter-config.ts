/** What a language model's adapter changes, and where its tensors lie. */
import { fail, rejectUnknownKeys, requireBoolean, requireInteger, requireNumber, requireOneOf } from '../checks.js';
import { type DecoderShape, LORA_MODULES, type LoraTarget, type LoraModule as ModuleName } from './decoder/contract.js';

export interface LanguageAdapterConfig {
  /** Default 8. */
  rank?: number;
  /** The change is scaled by alpha / rank. Default 2 · rank. */
  alpha?: number;
  /** Scale by alpha / √rank instead (Kalajdzievski 2023). Default false. */
  rsLora?: boolean;
  /** Default q_proj and v_proj. */
  targetModules?: readonly ModuleName[];
  /** Indices of layers. Default: all. */
  layers?: readonly number[];
}

const MAX_RANK = 4096;
const KEYS: readonly (keyof LanguageAdapterConfig)[] = ['rank', 'alpha', 'rsLora', 'targetModules', 'layers'];
const ATTENTION: readonly ModuleName[] = ['q_proj', 'k_proj', 'v_proj', 'o_proj'];

/** With every default filled in. Throws ERR_INVALID_CONFIG naming the option. */
export function requireAdapterConfig(
  shape: DecoderShape,
  config: LanguageAdapterConfig = {},
): Required<LanguageAdapterConfig> {
  if (typeof config !== 'object' || config === null) fail('ERR_INVALID_CONFIG', 'config', config, 'an object');
  rejectUnknownKeys('config', config, KEYS);
  const rank = requireInteger('config.rank', config.rank ?? 8, 1, MAX_RANK);
  const alpha = requireNumber('config.alpha', config.alpha ?? 2 * rank, { above: 0 });
  const rsLora = requireBoolean('config.rsLora', config.rsLora ?? false);
  const targetModules = requireDistinct<ModuleName>(
    'config.targetModules',
    config.targetModules ?? ['q_proj', 'v_proj'],
  );
  for (const name of targetModules) requireOneOf('config.targetModules', name, LORA_MODULES);
  const everyLayer = Array.from({ length: shape.layers }, (_, layer) => layer);
  const layers = requireDistinct('config.layers', config.layers ?? everyLayer);
  for (const layer of layers) requireInteger('config.layers', layer, 0, shape.layers - 1);
  return { rank, alpha, rsLora, targetModules, layers };
}

function requireDistinct<T>(name: string, value: readonly T[]): readonly T[] {
  if (!Array.isArray(value) || value.length === 0 || new Set(value).size < value.length) {
    fail('ERR_INVALID_CONFIG', name, value, 'an array of at least one, each once');
  }
  return [...value];
}

/** Layer after layer, modules in the order of LORA_MODULES. */
export function targetsOf(config: Required<LanguageAdapterConfig>): LoraTarget[] {
  const { rank, alpha, rsLora } = config;
  const scaling = alpha / (rsLora ? Math.sqrt(rank) : rank);
  const modules = LORA_MODULES.filter((module) => config.targetModules.includes(module));
  return [...config.layers]
    .sort((a, b) => a - b)
    .flatMap((layer) => modules.map((module) => ({ layer, module, rank, scaling })));
}

/** The path by which PEFT and the merges know a target: `model.layers.0.self_attn.q_proj`. */
export function pathOf({ layer, module }: { layer: number; module: ModuleName }): string {
  return `model.layers.${layer}.${ATTENTION.includes(module) ? 'self_attn' : 'mlp'}.${module}`;
}

/** The other way round; undefined for a path of something else. */
export function placeOf(path: string): { layer: number; module: ModuleName } | undefined {
  const match = /^model\.layers\.(\d+)\.(self_attn|mlp)\.(\w+)$/.exec(path);
  if (!match) return undefined;
  const place = { layer: Number(match[1]), module: match[3] as ModuleName };
  return LORA_MODULES.includes(place.module) && pathOf(place) === path ? place : undefined;
}
