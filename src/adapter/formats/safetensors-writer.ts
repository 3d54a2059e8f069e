/** Writes safetensors files, tensor by tensor, without holding more than one piece of one of them. */
import { fail, requireOneOf } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { writeAtomically } from '../../files/atomic-write.js';
import { arrayOf, bytesFromArray, DTYPES, type Dtype, elementBytes, type TensorArray } from './dtypes.js';
import { countElements, encodeHeader, type SafetensorsHeader, type TensorInfo } from './safetensors-header.js';

export interface TensorSource {
  dtype: Dtype;
  /** Row-major; [] for a scalar. */
  shape: readonly number[];
  /**
   * All elements in an array of the dtype (F16 and BF16 as their bits in a Uint16Array), or a function that gives them in
   * such arrays one after another; it is called once, when the tensor's turn has come.
   */
  data: TensorArray | (() => Iterable<TensorArray> | AsyncIterable<TensorArray>);
}

export interface SafetensorsOptions {
  /** Free strings for readers; default { format: 'pt' }, without which PyTorch tools refuse the file. */
  metadata?: Readonly<Record<string, string>>;
}

/**
 * Puts a file of these tensors at `path`, whole or not at all. Tensors are ordered as the reference implementation orders
 * them, by type and name, so the same tensors make the same bytes. Throws ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH where
 * data and shape disagree, ERR_FORMAT_UNSUPPORTED for a header beyond 100 MB, ERR_FILE_ACCESS, and what `data` throws.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorSource>,
  options: SafetensorsOptions = {},
): Promise<void> {
  const header = layOut(tensors, options);
  const start = encodeHeader(header);
  await writeAtomically(path, async (append) => {
    await append(start);
    for (const [name, info] of header.tensors) {
      let length = 0;
      for await (const piece of piecesOf(tensors.get(name) as TensorSource)) {
        length += requirePiece(name, info, piece).byteLength;
        if (length > info.byteLength) break;
        await append(bytesFromArray(info.dtype, piece));
      }
      requireLength(name, info, length);
    }
  });
}

/** The bytes that writeSafetensors writes, for tensors whose data is at hand. Throws as it does. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, TensorSource & { data: TensorArray }>,
  options: SafetensorsOptions = {},
): Uint8Array {
  const parts = safetensorsParts(tensors, options);
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let position = 0;
  for (const part of parts) {
    bytes.set(part, position);
    position += part.length;
  }
  return bytes;
}

/** The same bytes in their order, tensor by tensor, most of them views of the data. */
export function safetensorsParts(
  tensors: ReadonlyMap<string, TensorSource & { data: TensorArray }>,
  options: SafetensorsOptions = {},
): Uint8Array[] {
  const header = layOut(tensors, options);
  const parts = [...header.tensors].map(([name, info]) => {
    const { data } = tensors.get(name) as { data: TensorArray };
    requireLength(name, info, requirePiece(name, info, data).byteLength);
    return bytesFromArray(info.dtype, data);
  });
  return [encodeHeader(header), ...parts];
}

function layOut(tensors: ReadonlyMap<string, TensorSource>, options: SafetensorsOptions): SafetensorsHeader {
  const rows = [...tensors].map(([name, { dtype, shape }]) => {
    requireOneOf(`tensors[${JSON.stringify(name)}].dtype`, dtype, DTYPES);
    const count = countElements(`tensors[${JSON.stringify(name)}].shape`, shape);
    return { name, dtype, shape, byteLength: count * elementBytes(dtype) };
  });
  const utf8 = new Map(rows.map(({ name }) => [name, Buffer.from(name)]));
  const order = (a: string, b: string) => Buffer.compare(utf8.get(a) as Buffer, utf8.get(b) as Buffer);
  rows.sort((a, b) => DTYPES.indexOf(b.dtype) - DTYPES.indexOf(a.dtype) || order(a.name, b.name));
  const infos = new Map<string, TensorInfo>();
  let byteOffset = 0;
  for (const { name, ...row } of rows) {
    infos.set(name, { ...row, byteOffset });
    byteOffset += row.byteLength;
  }
  return { tensors: infos, metadata: readMetadata(options.metadata ?? { format: 'pt' }) };
}

function readMetadata(metadata: Readonly<Record<string, string>>): Map<string, string> {
  for (const [key, text] of Object.entries(metadata)) {
    if (typeof text !== 'string') fail('ERR_INVALID_ARGUMENT', `options.metadata.${key}`, text, 'a string');
  }
  return new Map(Object.entries(metadata));
}

async function* piecesOf({ data }: TensorSource): AsyncIterable<TensorArray> {
  if (typeof data === 'function') yield* data();
  else yield data;
}

function requirePiece(name: string, { dtype }: TensorInfo, piece: TensorArray): TensorArray {
  const ArrayType = arrayOf(dtype);
  if (piece instanceof ArrayType) return piece;
  fail('ERR_INVALID_ARGUMENT', `tensors[${JSON.stringify(name)}].data`, piece, `a ${ArrayType.name} for ${dtype}`);
}

function requireLength(name: string, { byteLength }: TensorInfo, length: number): void {
  if (length === byteLength) return;
  const what = `tensors[${JSON.stringify(name)}].data`;
  throw new LorakeetError(
    'ERR_LENGTH_MISMATCH',
    `${what}: got ${length} bytes, expected the ${byteLength} of its shape`,
  );
}
