/**
 * The header of a safetensors file: a u64 length and JSON that says where each tensor lies in the data behind it. Format:
 * https://huggingface.co/docs/safetensors; stricter here where that leaves a choice (docs/formats.md).
 */
import { fail, requireInteger } from '../../checks.js';
import { DTYPES, type Dtype, elementBytes } from './dtypes.js';
import { isJsonObject, parseStrictJson } from './strict-json.js';

export interface TensorInfo {
  dtype: Dtype;
  /** Row-major; [] for a scalar. */
  shape: readonly number[];
  /** First byte, counted from the end of the header. */
  byteOffset: number;
  byteLength: number;
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  tensors: ReadonlyMap<string, TensorInfo>;
  metadata: ReadonlyMap<string, string>;
}

/** Bytes of the length in front of the header. */
export const LENGTH_BYTES = 8;
/** What the reference implementation allows. */
export const MAX_HEADER_BYTES = 100_000_000;
const MAX_DIMENSIONS = 32;
const METADATA_KEY = '__metadata__';
const INFO_KEYS = ['dtype', 'shape', 'data_offsets'];

/** The length of the header of a file of `fileBytes`; `start` is its first 8 bytes. */
export function readHeaderLength(file: string, start: Uint8Array, fileBytes: number): number {
  const length = Number(new DataView(start.buffer, start.byteOffset).getBigUint64(0, true));
  const most = Math.min(MAX_HEADER_BYTES, fileBytes - LENGTH_BYTES);
  return requireInteger(`${file}: header length`, length, '{}'.length, most, 'ERR_FORMAT_CORRUPT');
}

/** The header in `bytes`, for data of exactly `dataBytes` behind it. Throws ERR_FORMAT_CORRUPT, ERR_FORMAT_UNSUPPORTED. */
export function parseHeader(file: string, bytes: Uint8Array, dataBytes: number): SafetensorsHeader {
  if (bytes[0] !== 0x7b) fail('ERR_FORMAT_CORRUPT', `${file}: header[0]`, bytes[0], '0x7b, an opening brace');
  const { value, plain } = parseStrictJson(`${file}: header`, bytes);
  if (!plain || !isJsonObject(value)) {
    fail('ERR_FORMAT_CORRUPT', `${file}: header`, value, 'objects, strings and non-negative integers only');
  }
  const metadata = new Map<string, string>();
  const found: [string, TensorInfo][] = [];
  for (const [name, entry] of Object.entries(value)) {
    if (name === METADATA_KEY) readMetadata(file, entry, metadata);
    else found.push([name, readInfo(`${file}: ${JSON.stringify(name.slice(0, 100))}`, entry, dataBytes)]);
  }
  const end = ({ byteOffset, byteLength }: TensorInfo) => byteOffset + byteLength;
  found.sort(([, a], [, b]) => a.byteOffset - b.byteOffset || end(a) - end(b));
  requireGapless(file, found, dataBytes);
  return { tensors: new Map(found), metadata };
}

function readMetadata(file: string, entry: unknown, metadata: Map<string, string>): void {
  if (!isJsonObject(entry)) fail('ERR_FORMAT_CORRUPT', `${file}: ${METADATA_KEY}`, entry, 'an object of strings');
  for (const [key, text] of Object.entries(entry)) {
    if (typeof text !== 'string') fail('ERR_FORMAT_CORRUPT', `${file}: ${METADATA_KEY}.${key}`, text, 'a string');
    metadata.set(key, text);
  }
}

function readInfo(name: string, entry: unknown, dataBytes: number): TensorInfo {
  if (!isJsonObject(entry) || Object.keys(entry).length !== 3 || !INFO_KEYS.every((key) => Object.hasOwn(entry, key))) {
    fail('ERR_FORMAT_CORRUPT', name, entry, `an object with exactly ${INFO_KEYS.join(', ')}`);
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== 'string') fail('ERR_FORMAT_CORRUPT', `${name}.dtype`, dtype, 'the name of a type');
  if (!DTYPES.includes(dtype as Dtype)) {
    fail('ERR_FORMAT_UNSUPPORTED', `${name}.dtype`, dtype, `one of ${DTYPES.join(', ')}`);
  }
  const byteLength = elementBytes(dtype as Dtype) * countElements(`${name}.shape`, shape);
  if (!Array.isArray(offsets) || offsets.length !== 2) {
    fail('ERR_FORMAT_CORRUPT', `${name}.data_offsets`, offsets, 'two offsets');
  }
  const byteOffset = requireInteger(`${name}.data_offsets[0]`, offsets[0], 0, dataBytes, 'ERR_FORMAT_CORRUPT');
  requireInteger(`${name}.data_offsets[1]`, offsets[1], byteOffset, dataBytes, 'ERR_FORMAT_CORRUPT');
  if (offsets[1] - byteOffset !== byteLength) {
    fail('ERR_FORMAT_CORRUPT', `${name}.data_offsets`, offsets[1] - byteOffset, `the ${byteLength} bytes of its shape`);
  }
  return { dtype: dtype as Dtype, shape: shape as number[], byteOffset, byteLength };
}

/** The product of a shape; every partial product stays small enough to be exact, and so does its length in bytes. */
export function countElements(name: string, shape: unknown): number {
  if (!Array.isArray(shape) || shape.length > MAX_DIMENSIONS) {
    fail('ERR_FORMAT_CORRUPT', name, shape, `at most ${MAX_DIMENSIONS} sizes`);
  }
  let count = 1;
  for (const size of shape) {
    requireInteger(name, size, 0, Number.MAX_SAFE_INTEGER, 'ERR_FORMAT_CORRUPT');
    count = requireInteger(`${name}: elements`, count * size, 0, 2 ** 50, 'ERR_FORMAT_CORRUPT');
  }
  return count;
}

function requireGapless(file: string, tensors: readonly [string, TensorInfo][], dataBytes: number): void {
  let position = 0;
  for (const [name, info] of tensors) {
    if (info.byteOffset !== position) {
      fail(
        'ERR_FORMAT_CORRUPT',
        `${file}: ${JSON.stringify(name)} begins`,
        info.byteOffset,
        `it to begin at ${position}`,
      );
    }
    position += info.byteLength;
  }
  if (position !== dataBytes) fail('ERR_FORMAT_CORRUPT', `${file}: data`, dataBytes, `${position} bytes`);
}

/**
 * The bytes in front of the data: length, JSON, and spaces so that the data starts at a multiple of 8. Throws
 * ERR_FORMAT_UNSUPPORTED for a header that no reader would take.
 */
export function encodeHeader({ tensors, metadata }: SafetensorsHeader): Uint8Array {
  // from entries, so that a tensor may have any name
  const entries: [string, unknown][] = metadata.size > 0 ? [[METADATA_KEY, Object.fromEntries(metadata)]] : [];
  for (const [name, { dtype, shape, byteOffset, byteLength }] of tensors) {
    if (name === METADATA_KEY || /\p{Surrogate}/u.test(name)) {
      fail('ERR_FORMAT_UNSUPPORTED', 'name', name, `a name of whole characters other than ${METADATA_KEY}`);
    }
    entries.push([name, { dtype, shape, data_offsets: [byteOffset, byteOffset + byteLength] }]);
  }
  // written field by field, since an object would sort names that are numbers to the front
  const fields = entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  const json = Buffer.from(`{${fields.join(',')}}`);
  const length = json.length + (-json.length & 7);
  if (length > MAX_HEADER_BYTES) {
    fail('ERR_FORMAT_UNSUPPORTED', 'header', json, `at most ${MAX_HEADER_BYTES} bytes (fewer tensors, shorter names)`);
  }
  const bytes = new Uint8Array(LENGTH_BYTES + length).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(length), true);
  bytes.set(json, LENGTH_BYTES);
  return bytes;
}
