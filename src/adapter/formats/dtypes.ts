/** The element types of safetensors files: their sizes, their arrays, and 16-bit floats to and from float32. */
import { LorakeetError } from '../../errors.js';

/** The names that the format gives them, in its own order: a writer puts tensors of later types first. */
export const DTYPES = [
  'BOOL',
  'U8',
  'I8',
  'I16',
  'U16',
  'F16',
  'BF16',
  'I32',
  'U32',
  'F32',
  'F64',
  'I64',
  'U64',
] as const;
export type Dtype = (typeof DTYPES)[number];

/** The types of floating-point weights that adapters come in. */
export const FLOAT_DTYPES = ['F32', 'F16', 'BF16'] as const satisfies readonly Dtype[];
export type FloatDtype = (typeof FLOAT_DTYPES)[number];

/** F16 and BF16 are held as their bits, BOOL as bytes. */
const ARRAY_OF = {
  BOOL: Uint8Array,
  U8: Uint8Array,
  I8: Int8Array,
  I16: Int16Array,
  U16: Uint16Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I32: Int32Array,
  U32: Uint32Array,
  F32: Float32Array,
  F64: Float64Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
} as const satisfies Record<Dtype, unknown>;

export type TensorArray =
  | Uint8Array
  | Int8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array
  | BigInt64Array
  | BigUint64Array;

/** Whether numbers lie in memory as they do in files. */
export const LITTLE_ENDIAN_HOST = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;

export function elementBytes(dtype: Dtype): number {
  return ARRAY_OF[dtype].BYTES_PER_ELEMENT;
}

/** The constructor of the arrays that hold `dtype`. */
export function arrayOf(dtype: Dtype): (typeof ARRAY_OF)[Dtype] {
  return ARRAY_OF[dtype];
}

/** Little-endian bytes, which it takes over, as an array of `dtype`. They start at offset 0 of their buffer. */
export function arrayFromBytes(dtype: Dtype, bytes: Uint8Array): TensorArray {
  return new ARRAY_OF[dtype](
    swapOnBigEndian(dtype, bytes).buffer as ArrayBuffer,
    0,
    bytes.length / elementBytes(dtype),
  );
}

/** The array as little-endian bytes: a view of it, where the host has that order. */
export function bytesFromArray(dtype: Dtype, array: TensorArray): Uint8Array {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  return LITTLE_ENDIAN_HOST ? bytes : swapOnBigEndian(dtype, bytes.slice());
}

function swapOnBigEndian(dtype: Dtype, bytes: Uint8Array): Uint8Array {
  if (LITTLE_ENDIAN_HOST) return bytes;
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const size = elementBytes(dtype);
  if (size === 2) buffer.swap16();
  else if (size === 4) buffer.swap32();
  else if (size === 8) buffer.swap64();
  return bytes;
}

/** F32, F16 or BF16 elements as numbers; exact. */
export function toFloat32(dtype: FloatDtype, array: TensorArray): Float32Array {
  if (dtype === 'F32') return array as Float32Array;
  const bits = array as Uint16Array;
  const values = new Float32Array(bits.length);
  if (dtype === 'BF16') {
    const words = new Uint32Array(values.buffer);
    for (let i = 0; i < bits.length; i++) words[i] = bits[i] << 16;
  } else {
    for (let i = 0; i < bits.length; i++) values[i] = halfToNumber(bits[i]);
  }
  return values;
}

/**
 * Float32 values as elements of `dtype`, rounded to the nearest, ties to even. Throws ERR_OUT_OF_RANGE naming the first
 * finite value that only infinity is near to (from 65520 on in F16).
 */
export function fromFloat32(name: string, dtype: FloatDtype, values: Float32Array): TensorArray {
  if (dtype === 'F32') return values;
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const bits = new Uint16Array(values.length);
  const [convert, infinity] = dtype === 'F16' ? [floatToHalf, 0x7c00] : [floatToBrain, 0x7f80];
  for (let i = 0; i < bits.length; i++) {
    bits[i] = convert(words[i], values[i]);
    if ((bits[i] & 0x7fff) === infinity && Number.isFinite(values[i])) {
      throw new LorakeetError(
        'ERR_OUT_OF_RANGE',
        `${name}[${i}]: got ${values[i]}, expected a number that ${dtype} can hold`,
      );
    }
  }
  return bits;
}

/** IEEE 754 binary16: 1 sign bit, 5 of exponent (bias 15), 10 of fraction. */
function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

function floatToHalf(word: number, value: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
  if (magnitude >= 0x47800000) return sign | 0x7c00; // 2¹⁶ and above, infinity
  if (magnitude < 0x38800000) return sign | roundToEven(Math.abs(value) * 2 ** 24); // below 2⁻¹⁴: subnormal
  // the exponent moves from bias 127 to 15, and 13 bits of the fraction go
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}

/** bfloat16: the upper half of a float32. */
function floatToBrain(word: number): number {
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40; // NaN stays one
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}
