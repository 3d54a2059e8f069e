/** adapter_config.json of Hugging Face PEFT: what of it changes the function of an adapter, and what does not. */
import { fail, requireInteger, requireNumber } from '../../checks.js';
import { isJsonObject, parseStrictJson } from './strict-json.js';

/** What an adapter's folder says about it beside its numbers. */
export interface PeftSettings {
  /** base_model_name_or_path: the model that the adapter is for. */
  baseModel?: string;
  revision?: string;
  /** task_type, e.g. CAUSAL_LM. */
  taskType?: string;
  /** target_modules: ends of module names, or one regular expression. */
  targetModules?: readonly string[] | string;
  /** The base model keeps its weights as [in × out], as GPT-2 does; the adapter's own matrices are the same. */
  fanInFanOut?: boolean;
  /** use_rslora: how PEFT computes the scaling, alpha/√rank instead of alpha/rank. */
  rsLora?: boolean;
}

export interface PeftConfig {
  settings: PeftSettings;
  rank: number;
  alpha: number;
  rankPattern: ReadonlyMap<string, number>;
  alphaPattern: ReadonlyMap<string, number>;
  dora: boolean;
}

/** A config has a few KiB; with a pattern for each of a thousand modules, some hundred. */
export const MAX_CONFIG_BYTES = 2 ** 20;
const MAX_RANK_IN_FILE = 2 ** 16;

/** Settings that say how the adapter was or may be trained, and change nothing about what its weights mean. */
const WITHOUT_EFFECT = new Set([
  'auto_mapping',
  'corda_config',
  'eva_config',
  'exclude_modules',
  'inference_mode',
  'layers_pattern',
  'layers_to_transform',
  'loftq_config',
  'lora_dropout',
  'lora_ga_config',
  'megatron_config',
  'megatron_core',
  'peft_version',
  'qalora_group_size',
  'runtime_config',
  'velora_config',
]);

const READ_HERE = new Set([
  'alpha_pattern',
  'base_model_name_or_path',
  'fan_in_fan_out',
  'init_lora_weights',
  'lora_alpha',
  'peft_type',
  'r',
  'rank_pattern',
  'revision',
  'target_modules',
  'task_type',
  'use_dora',
  'use_rslora',
]);

/** Initialisations that leave the base weights as they are. Others (PiSSA, OLoRA, …) put part of them into A and B. */
const INITIALIZATIONS: readonly unknown[] = [undefined, null, true, false, 'gaussian', 'eva', 'orthogonal', 'mica'];

/**
 * Reads the bytes of a config. Throws ERR_FORMAT_CORRUPT for what is not well-formed, and ERR_FORMAT_UNSUPPORTED for
 * another method than LoRA and for every setting, known or not, that is in use and might change what the adapter computes.
 */
export function parsePeftConfig(name: string, bytes: Uint8Array): PeftConfig {
  if (bytes.length > MAX_CONFIG_BYTES) fail('ERR_FORMAT_CORRUPT', name, bytes, `at most ${MAX_CONFIG_BYTES} bytes`);
  const { value: config } = parseStrictJson(name, bytes);
  if (!isJsonObject(config)) fail('ERR_FORMAT_CORRUPT', name, config, 'an object');
  if (config.peft_type !== 'LORA') {
    fail('ERR_FORMAT_UNSUPPORTED', `${name}: peft_type`, config.peft_type, "'LORA', the only method read here");
  }
  if (!INITIALIZATIONS.includes(config.init_lora_weights)) {
    const why = 'one that leaves the base weights as they are (this one makes A and B parts of a changed base model)';
    fail('ERR_FORMAT_UNSUPPORTED', `${name}: init_lora_weights`, config.init_lora_weights, why);
  }
  for (const [key, value] of Object.entries(config)) {
    if (!READ_HERE.has(key) && !WITHOUT_EFFECT.has(key) && !isUnused(value)) {
      const why = 'it unused: it may change what the adapter computes in a way that plain LoRA matrices do not show';
      fail('ERR_FORMAT_UNSUPPORTED', `${name}: ${key.slice(0, 60)}`, value, why);
    }
  }
  return {
    settings: readSettings(name, config),
    rank: requireInteger(`${name}: r`, config.r, 1, MAX_RANK_IN_FILE, 'ERR_FORMAT_CORRUPT'),
    alpha: requireNumber(`${name}: lora_alpha`, config.lora_alpha, {}, 'ERR_FORMAT_CORRUPT'),
    rankPattern: readPattern(`${name}: rank_pattern`, config.rank_pattern, (key, value) =>
      requireInteger(key, value, 1, MAX_RANK_IN_FILE, 'ERR_FORMAT_CORRUPT'),
    ),
    alphaPattern: readPattern(`${name}: alpha_pattern`, config.alpha_pattern, (key, value) =>
      requireNumber(key, value, {}, 'ERR_FORMAT_CORRUPT'),
    ),
    dora: readFlag(`${name}: use_dora`, config.use_dora),
  };
}

/** What PEFT writes for a setting that nobody set. */
function isUnused(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === null || value === false || value === 'none';
}

function readSettings(name: string, config: Record<string, unknown>): PeftSettings {
  const settings: PeftSettings = {
    fanInFanOut: readFlag(`${name}: fan_in_fan_out`, config.fan_in_fan_out),
    rsLora: readFlag(`${name}: use_rslora`, config.use_rslora),
  };
  const texts = { baseModel: 'base_model_name_or_path', revision: 'revision', taskType: 'task_type' } as const;
  for (const [field, key] of Object.entries(texts) as [keyof typeof texts, string][]) {
    const value = config[key] ?? undefined;
    if (value === undefined) continue;
    if (typeof value !== 'string') fail('ERR_FORMAT_CORRUPT', `${name}: ${key}`, value, 'a string or null');
    settings[field] = value;
  }
  const targets = config.target_modules ?? undefined;
  if (targets === undefined) return settings;
  const areNames = Array.isArray(targets) && targets.every((target) => typeof target === 'string');
  if (!areNames && typeof targets !== 'string') {
    fail('ERR_FORMAT_CORRUPT', `${name}: target_modules`, targets, 'a string, a list of strings or null');
  }
  return { ...settings, targetModules: targets };
}

function readFlag(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean' && value !== undefined && value !== null) {
    fail('ERR_FORMAT_CORRUPT', name, value, 'true or false');
  }
  return value ?? false;
}

function readPattern(
  name: string,
  value: unknown,
  check: (key: string, value: unknown) => number,
): ReadonlyMap<string, number> {
  if (value === undefined || value === null) return new Map();
  if (!isJsonObject(value)) fail('ERR_FORMAT_CORRUPT', name, value, 'an object of numbers by pattern');
  return new Map(Object.entries(value).map(([key, each]) => [key, check(`${name}.${key.slice(0, 60)}`, each)]));
}

/** The config as PEFT itself writes it, for readers of every age: settings added over the years stay at their defaults. */
export function encodePeftConfig(
  settings: PeftSettings,
  numbers: {
    rank: number;
    alpha: number;
    rankPattern: Record<string, number>;
    alphaPattern: Record<string, number>;
    dora: boolean;
  },
): Uint8Array {
  const config = {
    alpha_pattern: numbers.alphaPattern,
    auto_mapping: null,
    base_model_name_or_path: settings.baseModel ?? null,
    bias: 'none',
    fan_in_fan_out: settings.fanInFanOut ?? false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: numbers.alpha,
    lora_dropout: 0,
    modules_to_save: null,
    peft_type: 'LORA',
    r: numbers.rank,
    rank_pattern: numbers.rankPattern,
    revision: settings.revision ?? null,
    target_modules: settings.targetModules ?? null,
    task_type: settings.taskType ?? null,
    use_dora: numbers.dora,
    use_rslora: settings.rsLora ?? false,
  };
  return Buffer.from(`${JSON.stringify(config, null, 2)}\n`);
}
