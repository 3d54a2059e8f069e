/** Writes GGUF files, version 3 (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md): little-endian, as much of it as adapters need. */
import { writeAtomically } from '../../files/atomic-write.js';
import { bytesFromArray, type FloatDtype, fromFloat32 } from './dtypes.js';

export type GgufValue = { type: 'uint32' | 'float32'; value: number } | { type: 'string'; value: string };

export interface GgufTensor {
  name: string;
  /** Row-major, as everywhere here; the file lists it the other way round. */
  shape: readonly number[];
  dtype: GgufDtype;
  /** Called once, when the tensor is written. */
  values: () => Float32Array;
}

/** Their ggml_type. */
export const GGUF_DTYPES = { F32: 0, F16: 1 } as const satisfies Partial<Record<FloatDtype, number>>;
export type GgufDtype = keyof typeof GGUF_DTYPES;

/** gguf_metadata_value_type. */
const VALUE_TYPES = { uint32: 4, float32: 6, string: 8 } as const;
const VERSION = 3;
/** Where tensors begin, unless general.alignment says otherwise. */
const ALIGNMENT = 32;

/** Puts a file at `path`, whole or not at all. Throws ERR_FILE_ACCESS, ERR_OUT_OF_RANGE for numbers too large for F16. */
export async function writeGguf(
  path: string,
  metadata: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): Promise<void> {
  await writeAtomically(path, async (append) => {
    await append(encodeStart(metadata, tensors));
    for (const { name, dtype, values } of tensors) {
      const bytes = bytesFromArray(dtype, fromFloat32(name, dtype, values()));
      await append(bytes);
      await append(new Uint8Array(paddingOf(bytes.length)));
    }
  });
}

/** Everything in front of the data of the tensors, padding included. */
function encodeStart(metadata: ReadonlyMap<string, GgufValue>, tensors: readonly GgufTensor[]): Uint8Array {
  const parts = [Buffer.from('GGUF'), uint32(VERSION), uint64(tensors.length), uint64(metadata.size)];
  for (const [key, { type, value }] of metadata) {
    parts.push(text(key), uint32(VALUE_TYPES[type]));
    parts.push(type === 'string' ? text(value) : type === 'uint32' ? uint32(value) : float32(value));
  }
  let offset = 0;
  for (const { name, shape, dtype } of tensors) {
    parts.push(text(name), uint32(shape.length), ...shape.toReversed().map(uint64));
    parts.push(uint32(GGUF_DTYPES[dtype]), uint64(offset));
    const byteLength = shape.reduce((product, size) => product * size, dtype === 'F16' ? 2 : 4);
    offset += byteLength + paddingOf(byteLength);
  }
  const start = Buffer.concat(parts);
  return Buffer.concat([start, Buffer.alloc(paddingOf(start.length))]);
}

function paddingOf(length: number): number {
  return (ALIGNMENT - (length % ALIGNMENT)) % ALIGNMENT;
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([uint64(bytes.length), bytes]);
}
