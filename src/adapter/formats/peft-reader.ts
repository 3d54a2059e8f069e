/** Hugging Face PEFT folders → LoRA modules by name. */
import { join } from 'node:path';
import { fail, firstNonFinite } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { confinePath } from '../../files/confined-path.js';
import { readSmallFile } from '../../files/random-access.js';
import { requireBytes } from '../envelope.js';
import type { LoraModule, LoraModules } from '../lora-module.js';
import { matchNames } from './name-patterns.js';
import { MAX_CONFIG_BYTES, type PeftConfig, type PeftSettings, parsePeftConfig } from './peft-config.js';
import { openSafetensors, type SafetensorsFile } from './safetensors-reader.js';

export const CONFIG_FILE = 'adapter_config.json';
export const WEIGHTS_FILE = 'adapter_model.safetensors';

export interface PeftAdapter {
  /** By module path, without PEFT's prefix: `model.layers.0.self_attn.q_proj`. */
  modules: LoraModules;
  /**
   * DoRA only: the magnitude of each row of each adapted weight, [outFeatures]. The modules alone are then not what the
   * adapter computes.
   */
  magnitudes?: ReadonlyMap<string, Float32Array>;
  settings: PeftSettings;
}

/** The two files of a PEFT folder. */
export interface PeftFiles {
  /** adapter_config.json */
  config: Uint8Array;
  /** adapter_model.safetensors */
  weights: Uint8Array;
}

export interface DecodePeftOptions {
  /**
   * Give DoRA adapters with their magnitudes instead of refusing them. Default false: everything here takes ΔW = s·B·A,
   * which a DoRA adapter is not.
   */
  allowDora?: boolean;
  /**
   * Pass over the copies of base weights (`….base_layer.weight`) that PEFT adds for lm_head and embeddings, instead of
   * refusing the file. Default false, since a copy may come from a base model that was changed, with a longer vocabulary.
   */
  ignoreBaseWeights?: boolean;
}

export interface ReadPeftOptions extends DecodePeftOptions {
  /**
   * The folder that must contain it. With it, `folder` is a relative path as requireRelativeName has it, for names that
   * come from elsewhere; without it any path, and symbolic links are followed.
   */
  root?: string;
}

const TENSOR_NAME = /^base_model\.model\.(.+)\.(lora_A\.weight|lora_B\.weight|lora_magnitude_vector(?:\.weight)?)$/;
const MAX_MODULE_NAME = 512;
const BASE_WEIGHT = /^base_model\.model\.(?:.+\.)?base_layer\.(?:weight|bias)$/;
const KINDS: readonly (readonly [RegExp, string])[] = [
  [BASE_WEIGHT, 'copies of base weights (ignoreBaseWeights passes over them)'],
  [/\.lora_embedding_[AB]$/, 'adapters of embedding layers'],
  [/\.lora_[AB]\.bias$/, 'biases of adapters'],
  [/\.bias$/, 'trained biases'],
];

/** Names and shapes of one module's tensors, before anything is read. */
interface ModuleTensors {
  a: string;
  b: string;
  magnitude?: string;
  rank: number;
  inFeatures: number;
  outFeatures: number;
}

/**
 * Reads a PEFT folder: LoRA with one scaling or rank_pattern/alpha_pattern, rsLoRA, F32, F16 or BF16 weights, and with
 * `allowDora` DoRA. Throws ERR_FORMAT_CORRUPT where the files are not well-formed or do not fit together,
 * ERR_FORMAT_UNSUPPORTED with the reason for what LoRA modules cannot express, ERR_FILE_ACCESS, ERR_PATH_NOT_ALLOWED.
 * Pickled weights (adapter_model.bin) are never opened.
 */
export async function readPeft(folder: string, options: ReadPeftOptions = {}): Promise<PeftAdapter> {
  const { root } = options;
  const pathOf = async (file: string) =>
    root === undefined ? join(folder, file) : await confinePath(root, `${folder}/${file}`);
  const [configPath, weightsPath] = [await pathOf(CONFIG_FILE), await pathOf(WEIGHTS_FILE)];
  const config = parsePeftConfig(CONFIG_FILE, await readSmallFile(configPath, MAX_CONFIG_BYTES));
  return readModules(config, await openSafetensors(weightsPath), options);
}

/** As readPeft, from the contents of the two files. */
export async function decodePeft(files: PeftFiles, options: DecodePeftOptions = {}): Promise<PeftAdapter> {
  const config = parsePeftConfig(CONFIG_FILE, requireBytes('files.config', files?.config));
  return readModules(config, await openSafetensors(requireBytes('files.weights', files.weights)), options);
}

async function readModules(
  config: PeftConfig,
  file: SafetensorsFile,
  { allowDora = false, ignoreBaseWeights = false }: DecodePeftOptions,
): Promise<PeftAdapter> {
  try {
    if (config.dora && !allowDora) {
      const why = 'false (a DoRA adapter also rescales the rows of the base weights, so it is no ΔW = s·B·A)';
      fail('ERR_FORMAT_UNSUPPORTED', `${CONFIG_FILE}: use_dora`, true, why);
    }
    const found = findModules(config, file, ignoreBaseWeights);
    const scalings = scalingsOf(config, found);
    const modules = new Map<string, LoraModule>();
    const magnitudes = new Map<string, Float32Array>();
    for (const [i, [name, { a, b, magnitude, ...shape }]] of [...found].entries()) {
      const [loraA, loraB] = [await readFinite(file, a), await readFinite(file, b)];
      modules.set(name, { ...shape, loraA, loraB, scaling: scalings[i] });
      if (magnitude) magnitudes.set(name, await readFinite(file, magnitude));
    }
    return { modules, ...(config.dora && { magnitudes }), settings: config.settings };
  } finally {
    await file.close();
  }
}

/** All modules of the file with shapes that fit together; every other tensor belongs to one. */
function findModules(
  config: PeftConfig,
  file: SafetensorsFile,
  ignoreBaseWeights: boolean,
): Map<string, ModuleTensors> {
  const parts = new Map<string, { a?: string; b?: string; magnitude?: string }>();
  for (const tensor of file.tensors.keys()) {
    if (ignoreBaseWeights && BASE_WEIGHT.test(tensor)) continue;
    const [, module, part] = TENSOR_NAME.exec(tensor) ?? refuseTensor(tensor);
    if (module.length > MAX_MODULE_NAME) {
      fail('ERR_FORMAT_CORRUPT', 'module name', module, `at most ${MAX_MODULE_NAME} characters`);
    }
    const entry = parts.get(module) ?? {};
    const key = part === 'lora_A.weight' ? 'a' : part === 'lora_B.weight' ? 'b' : 'magnitude';
    if (entry[key]) fail('ERR_FORMAT_CORRUPT', `${module}: magnitude`, tensor, 'one per module');
    parts.set(module, { ...entry, [key]: tensor });
  }
  if (parts.size === 0) fail('ERR_FORMAT_CORRUPT', WEIGHTS_FILE, 0, 'the tensors of at least one module');
  const modules = new Map<string, ModuleTensors>();
  for (const [name, { a, b, magnitude }] of parts) {
    if (a === undefined || b === undefined || (magnitude !== undefined) !== config.dora) {
      const expected = `lora_A, lora_B and ${config.dora ? 'a magnitude, as it is DoRA' : 'no magnitude'}`;
      fail('ERR_FORMAT_CORRUPT', `${WEIGHTS_FILE}: ${JSON.stringify(name)}`, parts.get(name), expected);
    }
    const shape = (tensor: string) => (file.tensors.get(tensor) as { shape: readonly number[] }).shape;
    const [rank, inFeatures] = requireMatrix(a, shape(a));
    const [outFeatures, rankOfB] = requireMatrix(b, shape(b));
    if (rankOfB !== rank) fail('ERR_FORMAT_CORRUPT', `columns of ${b}`, rankOfB, `${rank}, the rank of its A`);
    if (magnitude && !(shape(magnitude).length === 1 && shape(magnitude)[0] === outFeatures)) {
      fail('ERR_FORMAT_CORRUPT', `shape of ${magnitude}`, shape(magnitude), `[${outFeatures}]`);
    }
    modules.set(name, { a, b, ...(magnitude && { magnitude }), rank, inFeatures, outFeatures });
  }
  return modules;
}

function refuseTensor(tensor: string): never {
  const kind = KINDS.find(([pattern]) => pattern.test(tensor))?.[1] ?? 'whole trained layers (modules_to_save)';
  fail('ERR_FORMAT_UNSUPPORTED', `${WEIGHTS_FILE}: tensor`, tensor, `LoRA matrices only, not ${kind} or the like`);
}

function requireMatrix(tensor: string, shape: readonly number[]): readonly [number, number] {
  if (shape.length !== 2) {
    fail('ERR_FORMAT_UNSUPPORTED', `dimensions of ${tensor}`, shape.length, '2: only linear layers are read');
  }
  if (shape[0] === 0 || shape[1] === 0) fail('ERR_FORMAT_CORRUPT', `shape of ${tensor}`, shape, 'no size 0');
  return [shape[0], shape[1]];
}

/** The scaling of every module, after checking that its rank is what the config says. */
function scalingsOf(config: PeftConfig, modules: ReadonlyMap<string, ModuleTensors>): number[] {
  const names = [...modules.keys()];
  const ranks = matchNames(`${CONFIG_FILE}: rank_pattern`, names, config.rankPattern, config.rank);
  const alphas = matchNames(`${CONFIG_FILE}: alpha_pattern`, names, config.alphaPattern, config.alpha);
  return names.map((name, i) => {
    const { rank } = modules.get(name) as ModuleTensors;
    if (rank !== ranks[i]) {
      fail('ERR_FORMAT_CORRUPT', `rank of ${JSON.stringify(name)}`, rank, `${ranks[i]}, as ${CONFIG_FILE} says`);
    }
    return alphas[i] / (config.settings.rsLora ? Math.sqrt(rank) : rank);
  });
}

async function readFinite(file: SafetensorsFile, tensor: string): Promise<Float32Array> {
  const values = await file.readFloat32(tensor);
  const i = firstNonFinite(values);
  if (i >= 0)
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `${tensor}[${i}]: got ${values[i]}, expected a finite number`);
  return values;
}
