/** A user's adapter ↔ a Hugging Face PEFT folder with one module. */
import { type ReadPeftOptions, readPeft } from '../adapter/formats/peft-reader.js';
import { type WritePeftOptions, writePeft } from '../adapter/formats/peft-writer.js';
import { scaleAndPadB } from '../adapter/formats/scaled-factors.js';
import { modulesOfState, UNNAMED_MODULE } from '../adapter/lora-module.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { stateOf } from './adapter-record.js';
import type { UserLoRAAdapter } from './types.js';

export interface WriteAdapterFolderOptions extends WritePeftOptions {
  /** What the module is called in the folder; default `embedding`. */
  moduleName?: string;
}

/**
 * Writes what the adapter computes, y − x = (scalingFactor/rank)·B·A·x, as a PEFT adapter of one linear layer. Who it
 * belongs to, its Fisher information and its optimizer state have no place in PEFT; engine.serializeAdapter keeps them.
 * Throws as writePeft does, and a coded error for a broken adapter.
 */
export async function writeAdapterFolder(
  folder: string,
  adapter: UserLoRAAdapter,
  options: WriteAdapterFolderOptions = {},
): Promise<void> {
  const { moduleName = 'embedding', ...rest } = options;
  const module = modulesOfState(stateOf(adapter)).get(UNNAMED_MODULE)!;
  await writePeft(folder, new Map([[moduleName, module]]), rest);
}

/**
 * The adapter of a PEFT folder with exactly one module, square and of the embeddingDim of `owner`, as an adapter of the
 * same engine and user as `owner`, usually a fresh one: `engine.createAdapter(userId)`. It computes what the folder's
 * computes, with the owner's rank and scaling: B carries the difference in scaling, and where the folder's rank is smaller,
 * the owner's further rows of A stay, with nothing in B, so that they can still learn. Fisher information is zero and the
 * optimizer starts anew.
 *
 * Throws ERR_ADAPTER_MISMATCH for more modules than one, another dimension, a larger rank (merge by SVD to reduce it) or
 * an owner whose scaling is 0, and as readPeft does.
 */
export async function readAdapterFolder(
  folder: string,
  owner: UserLoRAAdapter,
  options: ReadPeftOptions = {},
): Promise<UserLoRAAdapter> {
  const { rank, embeddingDim, scalingFactor } = owner;
  const fresh = stateOf(owner);
  if (options.allowDora)
    fail('ERR_FORMAT_UNSUPPORTED', 'options.allowDora', true, 'false: an adapter of an engine has no magnitudes');
  const { modules } = await readPeft(folder, options);
  const [module] = modules.values();
  const fits =
    modules.size === 1 &&
    module.inFeatures === embeddingDim &&
    module.outFeatures === embeddingDim &&
    module.rank <= rank &&
    scalingFactor !== 0;
  if (!fits) {
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `folder: got ${modules.size} module(s), the first of rank ${module.rank} with ${module.inFeatures} → ` +
        `${module.outFeatures} features, expected one of rank at most ${rank} with ${embeddingDim} → ${embeddingDim} ` +
        `features, and a scalingFactor other than 0 (got ${scalingFactor})`,
    );
  }
  const matrixA = owner.matrixA.slice();
  matrixA.set(module.loraA);
  const matrixB = scaleAndPadB('the folder', module, (module.scaling * rank) / scalingFactor, rank);
  const anchorWeights = new Float32Array(fresh.weights.length);
  anchorWeights.set(matrixA);
  anchorWeights.set(matrixB, matrixA.length);
  const zeros = () => new Float32Array(fresh.weights.length);
  const { moment1 } = owner.optimizerState;
  return {
    ...owner,
    matrixA,
    matrixB,
    ...(owner.fisherInformation && { fisherInformation: zeros(), anchorWeights }),
    optimizerState: { step: 0, ...(moment1 && { moment1: zeros(), moment2: zeros() }) },
  };
}
