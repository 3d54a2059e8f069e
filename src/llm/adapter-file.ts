/**
 * A language adapter with all that it has learnt, as bytes: lorakeet's envelope (magic, version, SHA-256) around a
 * safetensors file of its vectors. PEFT folders (adapter/formats) are for other tools and carry the parameters only.
 */
import { createHash } from 'node:crypto';
import {
  allocateEnvelope,
  CHECKSUM_BYTES,
  type EnvelopeKind,
  openEnvelope,
  PREAMBLE_BYTES,
  sealEnvelope,
  writePreamble,
} from '../adapter/envelope.js';
import { type FloatDtype, fromFloat32, type TensorArray } from '../adapter/formats/dtypes.js';
import { openSafetensors, type SafetensorsFile } from '../adapter/formats/safetensors-reader.js';
import { encodeSafetensors, safetensorsParts, type TensorSource } from '../adapter/formats/safetensors-writer.js';
import type { JsonObject } from '../adapter/meta.js';
import { fail, firstNonFinite } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { LORA_MODULES, type LoraTarget } from './decoder/contract.js';
import type { LanguageAdapterState } from './language-adapter.js';
import { Pauses } from './pauses.js';

const VECTORS = ['parameters', 'moment1', 'moment2', 'fisher', 'anchor'] as const;
/** Between two looks at the clock. */
const SLICE_BYTES = 2 ** 21;
const KIND: EnvelopeKind = {
  what: 'language adapter',
  magic: 'LKLANGAD',
  version: 1,
  minLength: PREAMBLE_BYTES + 8 + CHECKSUM_BYTES,
};

export interface EncodeLanguageAdapterOptions {
  /** Of the parameters; default F32. F16 and BF16 round. */
  dtype?: FloatDtype;
  /** Anything that belongs to it. Default {}. */
  meta?: JsonObject;
}

/** Vectors of zeros are left out. Throws ERR_OUT_OF_RANGE for a number too large for the dtype. */
export function encodeLanguageAdapter(
  state: LanguageAdapterState,
  options: EncodeLanguageAdapterOptions = {},
): Uint8Array {
  const { tensors, metadata } = contentOf(state, options);
  const content = encodeSafetensors(tensors, { metadata });
  const bytes = allocateEnvelope(KIND, PREAMBLE_BYTES + content.length + CHECKSUM_BYTES);
  bytes.set(content, PREAMBLE_BYTES);
  sealEnvelope(KIND, bytes);
  return bytes;
}

/** The same bytes, with pauses in which others have the thread; the state must not change meanwhile. */
export async function encodeLanguageAdapterWithPauses(
  state: LanguageAdapterState,
  options: EncodeLanguageAdapterOptions = {},
): Promise<Uint8Array> {
  const { tensors, metadata } = contentOf(state, options);
  const parts = safetensorsParts(tensors, { metadata });
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = allocateEnvelope(KIND, PREAMBLE_BYTES + length + CHECKSUM_BYTES);
  writePreamble(KIND, bytes);
  const hash = createHash('sha256').update(bytes.subarray(0, PREAMBLE_BYTES));
  const pauses = new Pauses();
  let position = PREAMBLE_BYTES;
  for (const part of parts) {
    for (let from = 0; from < part.length; from += SLICE_BYTES) {
      const slice = part.subarray(from, from + SLICE_BYTES);
      hash.update(slice);
      bytes.set(slice, position);
      position += slice.length;
      await pauses.whenDue();
    }
  }
  bytes.set(hash.digest(), position);
  return bytes;
}

function contentOf(state: LanguageAdapterState, { dtype = 'F32', meta = {} }: EncodeLanguageAdapterOptions) {
  const tensors = new Map<string, TensorSource & { data: TensorArray }>();
  for (const name of VECTORS) {
    const values = state[name];
    if (!values || (name !== 'parameters' && values.every((value) => value === 0))) continue;
    const own = name === 'parameters' ? dtype : 'F32';
    tensors.set(name, { dtype: own, shape: [values.length], data: fromFloat32(name, own, values) });
  }
  const metadata = {
    targets: JSON.stringify(state.targets),
    steps: String(state.steps),
    meta: JSON.stringify(meta),
  };
  return { tensors, metadata };
}

/** Throws ERR_ADAPTER_CORRUPT, ERR_ADAPTER_VERSION and, for a damaged safetensors part, ERR_FORMAT_CORRUPT. */
export async function decodeLanguageAdapter(
  bytes: Uint8Array,
): Promise<{ state: LanguageAdapterState; meta: JsonObject }> {
  const content = openEnvelope(KIND, bytes).subarray(PREAMBLE_BYTES);
  const file = await openSafetensors(content);
  const targets = requireTargets(parse(file, 'targets'));
  const steps = parse(file, 'steps');
  const meta = parse(file, 'meta');
  if (typeof steps !== 'number' || !Number.isSafeInteger(steps) || steps < 0) corrupt('steps', steps, 'a whole number');
  if (typeof meta !== 'object' || meta === null || Array.isArray(meta)) corrupt('meta', meta, 'an object');
  const parameters = await vectorOf(file, 'parameters');
  if (!parameters) corrupt('tensors', [...file.tensors.keys()], 'parameters among them');
  const state: LanguageAdapterState = { targets, steps, parameters };
  for (const name of VECTORS) {
    const values = await vectorOf(file, name);
    if (!values) continue;
    if (values.length !== parameters.length) corrupt(name, values, `${parameters.length} values, as parameters has`);
    const bad = firstNonFinite(values);
    if (bad >= 0) corrupt(`${name}[${bad}]`, values[bad], 'a finite number');
    state[name] = values;
  }
  const known: readonly string[] = VECTORS;
  const strange = [...file.tensors.keys()].find((name) => !known.includes(name));
  if (strange) corrupt('tensors', strange, `one of ${VECTORS.join(', ')}`);
  return { state, meta: meta as JsonObject };
}

function parse(file: SafetensorsFile, key: string): unknown {
  const text = file.metadata.get(key);
  try {
    return JSON.parse(text ?? '');
  } catch {
    return corrupt(key, text, 'JSON');
  }
}

/** Whether they fit a model is known when a model is at hand. */
function requireTargets(value: unknown): LoraTarget[] {
  if (!Array.isArray(value) || value.length === 0) corrupt('targets', value, 'an array of targets');
  return value.map((target: Partial<LoraTarget> | null, i) => {
    const { layer, module, rank, scaling } = target ?? {};
    const whole = [layer, rank].every((n) => typeof n === 'number' && Number.isSafeInteger(n) && n >= 0);
    if (!whole || !LORA_MODULES.includes(module as never) || !Number.isFinite(scaling)) {
      corrupt(`targets[${i}]`, target, 'a layer, a module, a rank and a scaling');
    }
    return { layer, module, rank, scaling } as LoraTarget;
  });
}

async function vectorOf(file: SafetensorsFile, name: string): Promise<Float32Array | undefined> {
  const info = file.tensors.get(name);
  if (!info) return undefined;
  if (info.shape.length !== 1 || !['F32', 'F16', 'BF16'].includes(info.dtype)) {
    corrupt(name, `${info.dtype} [${info.shape}]`, 'a vector of F32, F16 or BF16');
  }
  return file.readFloat32(name);
}

function corrupt(name: string, value: unknown, expected: string): never {
  if (typeof value === 'string') {
    throw new LorakeetError(
      'ERR_ADAPTER_CORRUPT',
      `the language adapter's ${name}: got ${value}, expected ${expected}`,
    );
  }
  return fail('ERR_ADAPTER_CORRUPT', `the language adapter's ${name}`, value, expected);
}
