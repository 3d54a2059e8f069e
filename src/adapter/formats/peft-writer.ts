/** LoRA modules by name → Hugging Face PEFT folders. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fail, rejectUnknownKeys, requireBoolean, requireOneOf, requireVector } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { writeAtomically } from '../../files/atomic-write.js';
import { confinePath } from '../../files/confined-path.js';
import { type LoraModule, type LoraModules, requireLoraModules } from '../lora-module.js';
import { FLOAT_DTYPES, type FloatDtype, fromFloat32, type TensorArray } from './dtypes.js';
import { patternsFor } from './name-patterns.js';
import { encodePeftConfig, type PeftSettings } from './peft-config.js';
import { CONFIG_FILE, type PeftFiles, WEIGHTS_FILE } from './peft-reader.js';
import { encodeSafetensors, type TensorSource, writeSafetensors } from './safetensors-writer.js';
import { padA, scaleAndPadB } from './scaled-factors.js';

export interface EncodePeftOptions extends PeftSettings {
  /**
   * Default true: B carries the scaling, and every module is filled up with zeros to one rank r = lora_alpha, so that
   * readers that know neither use_rslora nor the patterns compute the same. false keeps A and B bit for bit and says the
   * scalings in the config: as alpha/rank, or as alpha/√rank with rsLora.
   */
  portable?: boolean;
  /** Element type of the file; default F32. F16 and BF16 round. */
  dtype?: FloatDtype;
  /** DoRA, see PeftAdapter; only with portable: false, since its scaling cannot move into B. */
  magnitudes?: ReadonlyMap<string, Float32Array>;
}

export interface WritePeftOptions extends EncodePeftOptions {
  /** The folder that must contain it; see ReadPeftOptions. */
  root?: string;
}

/** What goes into the two files; the values of a tensor are made when they are asked for. */
interface PeftPlan {
  config: Uint8Array;
  dtype: FloatDtype;
  tensors: Map<string, { shape: readonly number[]; values: () => Float32Array }>;
}

const OPTION_KEYS = [
  'baseModel',
  'revision',
  'taskType',
  'targetModules',
  'fanInFanOut',
  'rsLora',
  'portable',
  'dtype',
  'magnitudes',
  'root',
];

/**
 * Writes `modules` as a PEFT folder, which is created where it is missing. Each file is there whole or not at all, and
 * while an older adapter is being replaced the folder has no config, so that nobody loads half of each. Fisher and anchor
 * have no place in PEFT and stay behind.
 *
 * targetModules defaults to the last parts of the names (`q_proj`) where they stand for whole runs of layers from 0 on,
 * else to the full names. Throws ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH, ERR_NOT_FINITE, ERR_INVALID_CONFIG,
 * ERR_OUT_OF_RANGE for numbers too large for the dtype, ERR_FORMAT_UNSUPPORTED, ERR_FILE_ACCESS, ERR_PATH_NOT_ALLOWED.
 */
export async function writePeft(folder: string, modules: LoraModules, options: WritePeftOptions = {}): Promise<void> {
  const { config, dtype, tensors } = planPeft(modules, options);
  const path = options.root === undefined ? folder : await confinePath(options.root, folder);
  try {
    await mkdir(path, { recursive: true });
    await rm(join(path, CONFIG_FILE), { force: true });
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be written (${cause})`, { cause });
  }
  const sources = new Map<string, TensorSource>();
  for (const [name, { shape, values }] of tensors) {
    sources.set(name, { dtype, shape, data: () => [fromFloat32(name, dtype, values())] });
  }
  await writeSafetensors(join(path, WEIGHTS_FILE), sources);
  await writeAtomically(join(path, CONFIG_FILE), (append) => append(config));
}

/** As writePeft, as the contents of the two files. */
export function encodePeft(modules: LoraModules, options: EncodePeftOptions = {}): PeftFiles {
  const { config, dtype, tensors } = planPeft(modules, options);
  const sources = new Map<string, TensorSource & { data: TensorArray }>();
  for (const [name, { shape, values }] of tensors) {
    sources.set(name, { dtype, shape, data: fromFloat32(name, dtype, values()) });
  }
  return { config, weights: encodeSafetensors(sources) };
}

function planPeft(modules: LoraModules, options: EncodePeftOptions): PeftPlan {
  requireLoraModules('modules', modules);
  rejectUnknownKeys('options', options, OPTION_KEYS);
  const { portable = true, dtype = 'F32', magnitudes, ...settings } = options;
  requireBoolean('options.portable', portable);
  requireOneOf('options.dtype', dtype, FLOAT_DTYPES);
  const names = [...modules.keys()];
  for (const name of names) {
    if (name === '') fail('ERR_INVALID_ARGUMENT', 'modules key', name, 'a name that is not empty');
  }
  if (portable && magnitudes) {
    const why = 'portable: false (the scaling of DoRA acts before the rows are rescaled, so it cannot move into B)';
    fail('ERR_FORMAT_UNSUPPORTED', 'options.magnitudes', magnitudes, why);
  }
  if (magnitudes) requireMagnitudes(modules, magnitudes);

  const rank = portable ? Math.max(...names.map((name) => (modules.get(name) as LoraModule).rank)) : undefined;
  const tensors: PeftPlan['tensors'] = new Map();
  for (const [name, module] of modules) {
    const { inFeatures, outFeatures, rank: own } = module;
    const prefix = `base_model.model.${name}`;
    const r = rank ?? own;
    const a = rank ? () => padA(module, rank) : () => module.loraA;
    const b = rank ? () => scaleAndPadB(name, module, module.scaling, rank) : () => module.loraB;
    tensors.set(`${prefix}.lora_A.weight`, { shape: [r, inFeatures], values: a });
    tensors.set(`${prefix}.lora_B.weight`, { shape: [outFeatures, r], values: b });
    const magnitude = magnitudes?.get(name);
    if (magnitude) tensors.set(`${prefix}.lora_magnitude_vector`, { shape: [outFeatures], values: () => magnitude });
  }
  const numbers = rank ? { rank, alpha: rank, rankPattern: {}, alphaPattern: {} } : scalingSettings(modules, settings);
  const targetModules = settings.targetModules ?? targetsOf(names);
  const config = encodePeftConfig(
    { ...settings, ...(portable && { rsLora: false }), targetModules },
    { ...numbers, dora: magnitudes !== undefined },
  );
  return { config, dtype, tensors };
}

function requireMagnitudes(modules: LoraModules, magnitudes: ReadonlyMap<string, Float32Array>): void {
  for (const name of magnitudes.keys()) {
    if (!modules.has(name)) fail('ERR_INVALID_ARGUMENT', 'options.magnitudes key', name, 'the name of a module');
  }
  for (const [name, { outFeatures }] of modules) {
    requireVector(`options.magnitudes[${JSON.stringify(name)}]`, magnitudes.get(name), outFeatures);
  }
}

/** The most frequent rank and alpha as the defaults, and the modules that have others. */
function scalingSettings(modules: LoraModules, { rsLora = false }: PeftSettings) {
  const names = [...modules.keys()];
  const ranks = Array.from(modules.values(), ({ rank }) => rank);
  const alphas = Array.from(modules.values(), ({ rank, scaling }) => alphaOf(scaling, rsLora ? Math.sqrt(rank) : rank));
  const [rank, alpha] = [mostFrequent(ranks), mostFrequent(alphas)];
  const rankPattern = patternsFor(names, ranks, rank);
  const alphaPattern = patternsFor(names, alphas, alpha);
  return { rank, alpha, rankPattern, alphaPattern };
}

/** The alpha that gives `scaling`; an integer, as it nearly always was, where that gives the same scaling. */
function alphaOf(scaling: number, divisor: number): number {
  const alpha = scaling * divisor;
  return Math.round(alpha) / divisor === scaling ? Math.round(alpha) : alpha;
}

function mostFrequent(values: readonly number[]): number {
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].reduce((best, entry) => (entry[1] > best[1] ? entry : best))[0];
}

/**
 * What to call the modules in target_modules. Short names are what other tools expect; but they also mean layers that are
 * not here, so they serve only where, for each of them, the layers' numbers run from 0 up without a gap and equally far.
 */
function targetsOf(names: readonly string[]): string[] {
  const layers = new Map<string, Set<number>>();
  for (const name of names) {
    const [layer] = /(?<=^|\.)\d+(?=\.|$)/.exec(name) ?? [];
    const place = name.replace(/(?<=^|\.)\d+(?=\.|$)/, '*');
    layers.set(place, (layers.get(place) ?? new Set()).add(Number(layer ?? 0)));
  }
  const counts = new Set(Array.from(layers.values(), (numbers) => numbers.size));
  const complete = [...layers.values()].every((numbers) => Math.max(...numbers) === numbers.size - 1);
  const short = new Set(names.map((name) => name.slice(name.lastIndexOf('.') + 1)));
  return [...(complete && counts.size === 1 ? short : names)].sort();
}
