/** Reads safetensors files: the header at once, each tensor or a range of it when it is asked for. */
import { fail, requireInteger } from '../../checks.js';
import { accessBytes, accessFile, type RandomAccess } from '../../files/random-access.js';
import { requireBytes } from '../envelope.js';
import { arrayFromBytes, elementBytes, FLOAT_DTYPES, type TensorArray, toFloat32 } from './dtypes.js';
import {
  LENGTH_BYTES,
  parseHeader,
  readHeaderLength,
  type SafetensorsHeader,
  type TensorInfo,
} from './safetensors-header.js';

/** Elements of a tensor in row-major order, `end` not included; default: all of them. */
export interface ElementRange {
  start?: number;
  end?: number;
}

export class SafetensorsFile {
  readonly #access: RandomAccess;
  readonly #header: SafetensorsHeader;
  readonly #dataStart: number;

  /** Use openSafetensors. */
  constructor(access: RandomAccess, header: SafetensorsHeader, dataStart: number) {
    this.#access = access;
    this.#header = header;
    this.#dataStart = dataStart;
  }

  /** dtype, shape and place of every tensor by name, in the order of the data. */
  get tensors(): ReadonlyMap<string, TensorInfo> {
    return this.#header.tensors;
  }

  /** Where in the file the data begins, which tensors count their offsets from. */
  get dataStart(): number {
    return this.#dataStart;
  }

  /** Of the file on disk, see RandomAccess; undefined for bytes in memory. */
  get identity(): string | undefined {
    return this.#access.identity;
  }

  /** The free strings of the file, such as `format` → `pt`. */
  get metadata(): ReadonlyMap<string, string> {
    return this.#header.metadata;
  }

  /**
   * The elements of a tensor, or of a range of it, in memory of their own: a typed array of its dtype, with F16 and BF16
   * as their bits in a Uint16Array. Throws ERR_INVALID_ARGUMENT for a name that the file does not have, ERR_OUT_OF_RANGE,
   * ERR_FORMAT_CORRUPT for a BOOL other than 0 and 1, ERR_FILE_ACCESS.
   */
  async read(name: string, range: ElementRange = {}): Promise<TensorArray> {
    const { dtype, byteOffset, byteLength } = this.#infoOf(name);
    const size = elementBytes(dtype);
    const end = requireInteger('range.end', range.end ?? byteLength / size, 0, byteLength / size, 'ERR_OUT_OF_RANGE');
    const start = requireInteger('range.start', range.start ?? 0, 0, end, 'ERR_OUT_OF_RANGE');
    const bytes = await this.#access.read(this.#dataStart + byteOffset + start * size, (end - start) * size);
    if (dtype === 'BOOL' && bytes.some((byte) => byte > 1)) {
      fail('ERR_FORMAT_CORRUPT', `${this.#access.name}: ${JSON.stringify(name)}`, bytes, '0 and 1 only, as it is BOOL');
    }
    return arrayFromBytes(dtype, bytes);
  }

  /**
   * The numbers of a tensor from element `start` on as the file has them, little endian: as many bytes as `target` has, into
   * it. Throws ERR_INVALID_ARGUMENT, ERR_OUT_OF_RANGE, ERR_FILE_ACCESS.
   */
  async readInto(name: string, start: number, target: Uint8Array): Promise<void> {
    const { dtype, byteOffset, byteLength } = this.#infoOf(name);
    const first = start * elementBytes(dtype);
    requireInteger('end of the range, in bytes', first + target.length, first, byteLength, 'ERR_OUT_OF_RANGE');
    await this.#access.readInto(this.#dataStart + byteOffset + first, target);
  }

  /** As read, for F32, F16 and BF16, as float32; ERR_FORMAT_UNSUPPORTED for other types, which float32 cannot hold. */
  async readFloat32(name: string, range: ElementRange = {}): Promise<Float32Array> {
    const { dtype } = this.#infoOf(name);
    const float = FLOAT_DTYPES.find((each) => each === dtype);
    if (!float) {
      const what = `${this.#access.name}: dtype of ${JSON.stringify(name)}`;
      fail('ERR_FORMAT_UNSUPPORTED', what, dtype, `one of ${FLOAT_DTYPES.join(', ')}`);
    }
    return toFloat32(float, await this.read(name, range));
  }

  /** Closes the file; reading afterwards throws ERR_FILE_ACCESS. */
  async close(): Promise<void> {
    await this.#access.close();
  }

  #infoOf(name: string): TensorInfo {
    const info = this.#header.tensors.get(name);
    if (!info) fail('ERR_INVALID_ARGUMENT', 'name', name, `the name of a tensor in ${this.#access.name}`);
    return info;
  }
}

/**
 * Opens a file by its path, or bytes in memory, and checks the whole header; tensors are read later. Throws
 * ERR_FORMAT_CORRUPT naming what is wrong, ERR_FORMAT_UNSUPPORTED for an element type other than those of Dtype,
 * ERR_FILE_ACCESS, ERR_INVALID_ARGUMENT. Nothing is allocated that is longer than the file.
 */
export async function openSafetensors(source: string | Uint8Array): Promise<SafetensorsFile> {
  const access =
    typeof source === 'string' ? await accessFile(source) : accessBytes('bytes', requireBytes('source', source));
  try {
    const { name, byteLength } = access;
    if (byteLength < LENGTH_BYTES) fail('ERR_FORMAT_CORRUPT', `${name}: length`, byteLength, 'at least 8 bytes');
    const headerLength = readHeaderLength(name, await access.read(0, LENGTH_BYTES), byteLength);
    const dataStart = LENGTH_BYTES + headerLength;
    const header = parseHeader(name, await access.read(LENGTH_BYTES, headerLength), byteLength - dataStart);
    return new SafetensorsFile(access, header, dataStart);
  } catch (error) {
    await access.close();
    throw error;
  }
}
