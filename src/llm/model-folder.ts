/** A language model's folder in the form of Hugging Face: checked as a whole, its weights read piece by piece. */
import { createHash } from 'node:crypto';
import { toFloat32 } from '../adapter/formats/dtypes.js';
import type { SafetensorsFile } from '../adapter/formats/safetensors-reader.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { readSmallFile } from '../files/random-access.js';
import { type BaseTensor, isHarmless, listed, matchTensors } from './base-tensors.js';
import type { DecoderModel } from './decoder/contract.js';
import {
  type DecoderConfig,
  MAX_MODEL_CONFIG_BYTES,
  type ModelConfigOptions,
  parseModelConfig,
} from './model-config.js';
import { closeFiles, type FolderPlace, openModelFiles, pathInFolder, readOptional, tensorsOf } from './model-files.js';

export interface ModelFolderOptions extends ModelConfigOptions {
  /**
   * The folder that must contain it. With it, `folder` is a relative path as requireRelativeName has it and no link may lead
   * out of root, for names that come from elsewhere; without it any path, and symbolic links are followed.
   */
  root?: string;
  /** Pass over tensors that the config does not explain, instead of refusing the model. Default false. */
  ignoreUnexpected?: boolean;
}

export interface LoadOptions {
  signal?: AbortSignal;
  /** After every piece: bytes read so far, of weightBytes. */
  onProgress?(bytes: number): void;
}

/** Consecutive rows of a tensor. */
export interface WeightPiece {
  tensor: BaseTensor;
  firstRow: number;
  /** Little endian, in the tensor's dtype. */
  bytes: Uint8Array;
}

/** What one read takes: a piece is used on the event loop's thread, for about a millisecond. */
const PIECE_BYTES = 2 ** 22;
const MAX_HASHES = 64;

/** Hashes of models by the identity of their files, as reading them again takes seconds. */
const hashes = new Map<string, string>();

export class ModelFolder {
  readonly #files: ReadonlyMap<string, SafetensorsFile>;

  /** Use openModelFolder. */
  constructor(
    readonly place: FolderPlace,
    readonly config: DecoderConfig,
    /** Every tensor that the decoder takes, in the order of weightNames. */
    readonly tensors: readonly BaseTensor[],
    /** Tensors in the files that are not used. */
    readonly ignored: readonly string[],
    files: ReadonlyMap<string, SafetensorsFile>,
  ) {
    this.#files = files;
  }

  /** Numbers in all tensors; tied matrices count once. */
  get parameterCount(): number {
    return this.tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b), 0);
  }

  /** Of all tensors as the files hold them. */
  get weightBytes(): number {
    return this.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
  }

  /**
   * All weights in pieces of at most 4 MiB, or one row, in the order of `tensors`. The bytes of a piece are good until the
   * next one is asked for, which lies in the same memory. Throws ERR_FILE_ACCESS, ERR_ABORTED.
   */
  async *pieces({ signal }: Pick<LoadOptions, 'signal'> = {}): AsyncGenerator<WeightPiece> {
    const rowBytes = (tensor: BaseTensor): number => tensor.byteLength / rowsOf(tensor);
    const memory = new Uint8Array(Math.max(PIECE_BYTES, ...this.tensors.map(rowBytes)));
    for (const tensor of this.tensors) {
      const rows = rowsOf(tensor);
      const columns = tensor.shape[tensor.shape.length - 1];
      const step = Math.max(1, Math.floor(PIECE_BYTES / rowBytes(tensor)));
      for (let firstRow = 0; firstRow < rows; firstRow += step) {
        if (signal?.aborted) {
          throw new LorakeetError('ERR_ABORTED', 'the reading of the model was aborted', { cause: signal.reason });
        }
        const bytes = memory.subarray(0, Math.min(rows - firstRow, step) * rowBytes(tensor));
        await this.#fileOf(tensor).readInto(tensor.name, firstRow * columns, bytes);
        yield { tensor, firstRow, bytes };
      }
    }
  }

  /** Writes every tensor into a model of `config.shape`. Throws what pieces and writeWeights throw. */
  async load(model: Pick<DecoderModel, 'writeWeights'>, { signal, onProgress }: LoadOptions = {}): Promise<void> {
    let done = 0;
    for await (const { tensor, firstRow, bytes } of this.pieces({ signal })) {
      model.writeWeights(tensor.weight, firstRow, tensor.dtype, bytes);
      done += bytes.length;
      onProgress?.(done);
    }
  }

  /** The numbers of a tensor of `tensors`, row-major. Throws ERR_FILE_ACCESS. */
  async readFloat32(tensor: BaseTensor): Promise<Float32Array> {
    return toFloat32(fileDtype(tensor), await this.#fileOf(tensor).read(tensor.name));
  }

  /**
   * SHA-256 of what the model computes with, in hexadecimal: its shape and all weights as they are stored. It stays the same
   * when weights are moved to other files or the config is spelt anew. Read once per process while the files are the same.
   */
  async hash(options: Pick<LoadOptions, 'signal'> = {}): Promise<string> {
    const { inverseFrequencies, ...sizes } = this.config.shape;
    const shape = JSON.stringify({ ...sizes, inverseFrequencies: [...inverseFrequencies] });
    const identity = [shape, ...Array.from(this.#files.values(), (file) => file.identity)].join('\n');
    const known = hashes.get(identity);
    if (known !== undefined) return known;
    const digest = createHash('sha256').update(shape);
    for (const { name, dtype, shape: size } of this.tensors) digest.update(`\n${name} ${dtype} [${size}]`);
    for await (const { bytes } of this.pieces(options)) digest.update(bytes);
    const hash = digest.digest('hex');
    if (hashes.size >= MAX_HASHES) hashes.delete(hashes.keys().next().value as string);
    hashes.set(identity, hash);
    return hash;
  }

  /** A small file of the folder, such as tokenizer.json; undefined where there is none. Throws ERR_FILE_ACCESS. */
  async readFile(name: string, maxBytes: number): Promise<Uint8Array | undefined> {
    return readOptional(this.place, name, maxBytes);
  }

  /** Closes the files; reading weights afterwards throws ERR_FILE_ACCESS. */
  async close(): Promise<void> {
    await closeFiles(this.#files);
  }

  #fileOf(tensor: BaseTensor): SafetensorsFile {
    const file = this.#files.get(tensor.file);
    if (!file || !this.tensors.includes(tensor)) fail('ERR_INVALID_ARGUMENT', 'tensor', tensor, 'one of tensors');
    return file;
  }
}

/**
 * Opens a folder with config.json, safetensors files and, where there is one, generation_config.json, and checks them:
 * every tensor that the config asks for is there, in its shape, as F32, F16 or BF16. No weights are read. Throws
 * ERR_FORMAT_CORRUPT and ERR_FORMAT_UNSUPPORTED (see parseModelConfig) naming what is wrong, the latter also for tensors
 * that the config does not explain, ERR_FILE_ACCESS, ERR_PATH_NOT_ALLOWED, ERR_INVALID_CONFIG.
 */
export async function openModelFolder(folder: string, options: ModelFolderOptions = {}): Promise<ModelFolder> {
  const { root, ignoreUnexpected = false } = options;
  if (typeof folder !== 'string') fail('ERR_INVALID_ARGUMENT', 'folder', folder, 'a path');
  const place = { folder, ...(root !== undefined && { root }) };
  const config = parseModelConfig(
    await readSmallFile(await pathInFolder(place, 'config.json'), MAX_MODEL_CONFIG_BYTES),
    await readOptional(place, 'generation_config.json', MAX_MODEL_CONFIG_BYTES),
    options,
  );
  const files = await openModelFiles(place);
  try {
    const { tensors, others } = matchTensors(config.shape, tensorsOf(files));
    const unexpected = others.filter((name) => !isHarmless(config.shape, name));
    if (unexpected.length > 0 && !ignoreUnexpected) {
      const expected = 'tensors that config.json explains (ignoreUnexpected passes over others)';
      fail('ERR_FORMAT_UNSUPPORTED', 'tensors', listed(unexpected), expected);
    }
    return new ModelFolder(place, config, tensors, others, files);
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

/** A vector is one row. */
function rowsOf({ shape }: BaseTensor): number {
  return shape.length === 2 ? shape[0] : 1;
}

function fileDtype({ dtype }: BaseTensor): 'F32' | 'F16' | 'BF16' {
  return dtype === 'f32' ? 'F32' : dtype === 'f16' ? 'F16' : 'BF16';
}
