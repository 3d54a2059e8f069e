/** AdapterState ↔ bytes. docs/adapter-format.md describes every byte; one state has exactly one encoding. */
import { fail, firstNonFinite, requireInteger } from '../checks.js';
import type { SlabSection } from '../kernels/layout.js';
import { type AdapterShape, parameterCountOf, requireAdapterShape } from './config.js';
import { allocateEnvelope, CHECKSUM_BYTES, type EnvelopeKind, openEnvelope, sealEnvelope, viewOf } from './envelope.js';
import { arrayFromBytes, bytesFromArray, LITTLE_ENDIAN_HOST } from './formats/dtypes.js';
import { decodeMeta, encodedMetaLength, encodeMeta, type JsonObject } from './meta.js';
import {
  type AdapterState,
  NON_NEGATIVE_SECTIONS,
  PAIRED_SECTIONS,
  requireAdapterState,
  SECTION_ORDER,
} from './state.js';

/** The fixed part of the header, by byte offset; the section table follows it. */
const OFFSET = {
  headerLength: 12,
  rank: 16,
  inFeatures: 20,
  outFeatures: 24,
  flags: 28,
  alpha: 32,
  step: 40,
  sections: 44,
};
const FIXED_HEADER_BYTES = 48;
const TABLE_ENTRY_BYTES = 8;
const FLAG_RS_LORA = 1;

/** Section codes are 1 + the position here. */
const SECTIONS = [...SECTION_ORDER, 'meta'] as const;
type Section = (typeof SECTIONS)[number];
const ENCODING_FLOAT32 = 1;
const ENCODING_JSON = 2;

/** Rank 1, one feature in and out, meta {}. */
export const MIN_ADAPTER_BYTES = FIXED_HEADER_BYTES + 2 * TABLE_ENTRY_BYTES + 2 * 4 + 2 + CHECKSUM_BYTES;

const ADAPTER: EnvelopeKind = { what: 'adapter', magic: 'LORAKEET', version: 1, minLength: MIN_ADAPTER_BYTES };

/**
 * The bytes of an adapter. Throws a coded error naming the field when `state` breaks a promise of AdapterState, so that
 * nothing is ever written that could not be read again.
 */
export function encodeAdapter(state: AdapterState): Uint8Array {
  requireAdapterState('state', state);
  const meta = encodeMeta('state.meta', state.meta);
  return encode(state, meta, allocateEnvelope(ADAPTER, sizeFor(state, meta.length)));
}

/**
 * As encodeAdapter, but at the start of `room`, for those who encode many: the bytes are a view of it. undefined, with
 * nothing written, if there is not enough.
 */
export function encodeAdapterInto(state: AdapterState, room: Uint8Array): Uint8Array | undefined {
  requireAdapterState('state', state);
  const meta = encodeMeta('state.meta', state.meta);
  const size = sizeFor(state, meta.length);
  return size <= room.length ? encode(state, meta, room.subarray(0, size)) : undefined;
}

/** Writes every one of `bytes`, of which there are as many as it takes. */
function encode(state: AdapterState, meta: Uint8Array, bytes: Uint8Array): Uint8Array {
  const sections = sectionsOf(state);
  const view = viewOf(bytes);
  const headerLength = FIXED_HEADER_BYTES + TABLE_ENTRY_BYTES * sections.length;
  view.setUint32(OFFSET.headerLength, headerLength, true);
  view.setUint32(OFFSET.rank, state.shape.rank, true);
  view.setUint32(OFFSET.inFeatures, state.shape.inFeatures, true);
  view.setUint32(OFFSET.outFeatures, state.shape.outFeatures, true);
  view.setUint32(OFFSET.flags, state.shape.rsLora ? FLAG_RS_LORA : 0, true);
  view.setFloat64(OFFSET.alpha, state.shape.alpha, true);
  view.setUint32(OFFSET.step, state.step, true);
  view.setUint32(OFFSET.sections, sections.length, true);

  let position = headerLength;
  sections.forEach((section, i) => {
    const values = section === 'meta' ? meta : (state[section] as Float32Array);
    const entry = FIXED_HEADER_BYTES + TABLE_ENTRY_BYTES * i;
    view.setUint16(entry, 1 + SECTIONS.indexOf(section), true);
    view.setUint16(entry + 2, encodingOf(section), true);
    view.setUint32(entry + 4, values.byteLength, true);
    bytes.set(values instanceof Float32Array ? bytesFromArray('F32', values) : values, position);
    position += values.byteLength;
  });
  sealEnvelope(ADAPTER, bytes);
  return bytes;
}

/**
 * The adapter that `bytes` (any Uint8Array, at any byteOffset) hold, in memory of its own. Throws ERR_INVALID_ARGUMENT
 * unless given bytes, ERR_ADAPTER_VERSION for a format newer than this library, ERR_ADAPTER_CORRUPT for everything that
 * encodeAdapter does not write. All lengths are checked before anything is allocated.
 */
export function decodeAdapter(bytes: Uint8Array): AdapterState {
  return decode(bytes, copyFloats);
}

/** As decodeAdapter, but with sections that may be views of `bytes`, for those who copy them anyway. */
export function viewAdapter(bytes: Uint8Array): AdapterState {
  return decode(bytes, viewFloats);
}

function decode(bytes: Uint8Array, floatsIn: (bytes: Uint8Array) => Float32Array): AdapterState {
  const content = openEnvelope(ADAPTER, bytes);
  const view = viewOf(content);
  const shape = readShape(view);
  const table = readTable(view, parameterCountOf(shape));
  const state: AdapterState = {
    shape,
    weights: readFloats(content, table, 'weights', floatsIn),
    step: view.getUint32(OFFSET.step, true),
    meta: readMeta(content, table),
  };
  for (const section of SECTION_ORDER) {
    if (section !== 'weights' && table.has(section)) state[section] = readFloats(content, table, section, floatsIn);
  }
  return state;
}

/** Exactly encodeAdapter(state).length, without encoding. Not to be stored in `meta`, whose length it depends on. */
export function encodedSize(state: AdapterState): number {
  return sizeFor(state, encodedMetaLength('state.meta', state.meta));
}

function sizeFor(state: AdapterState, metaBytes: number): number {
  const sections = sectionsOf(state);
  const floats = (sections.length - 1) * parameterCountOf(state.shape);
  return FIXED_HEADER_BYTES + TABLE_ENTRY_BYTES * sections.length + 4 * floats + metaBytes + CHECKSUM_BYTES;
}

function sectionsOf(state: AdapterState): Section[] {
  return SECTIONS.filter((section) => state[section] !== undefined);
}

function encodingOf(section: Section): number {
  return section === 'meta' ? ENCODING_JSON : ENCODING_FLOAT32;
}

function readShape(view: DataView): Required<AdapterShape> {
  const flags = view.getUint32(OFFSET.flags, true);
  if (flags & ~FLAG_RS_LORA) fail('ERR_ADAPTER_CORRUPT', 'adapter.flags', flags, 'no flag but 1');
  const shape = {
    rank: view.getUint32(OFFSET.rank, true),
    inFeatures: view.getUint32(OFFSET.inFeatures, true),
    outFeatures: view.getUint32(OFFSET.outFeatures, true),
    alpha: view.getFloat64(OFFSET.alpha, true),
    rsLora: flags === FLAG_RS_LORA,
  };
  return requireAdapterShape('adapter', shape, 'ERR_ADAPTER_CORRUPT');
}

interface Extent {
  start: number;
  byteLength: number;
}

/** Where the sections lie. They must follow the header without gaps in the order of their codes, and fill the content. */
function readTable(view: DataView, parameterCount: number): Map<Section, Extent> {
  const count = view.getUint32(OFFSET.sections, true);
  const headerLength = FIXED_HEADER_BYTES + TABLE_ENTRY_BYTES * count;
  requireEqual('adapter.headerLength', view.getUint32(OFFSET.headerLength, true), headerLength);
  requireInteger('adapter.headerLength', headerLength, 0, view.byteLength, 'ERR_ADAPTER_CORRUPT');

  const table = new Map<Section, Extent>();
  let start = headerLength;
  let previousCode = 0;
  for (let entry = FIXED_HEADER_BYTES; entry < headerLength; entry += TABLE_ENTRY_BYTES) {
    const code = view.getUint16(entry, true);
    const section = SECTIONS[code - 1];
    if (!section || code <= previousCode) {
      fail('ERR_ADAPTER_CORRUPT', 'adapter.section', code, `a code from ${previousCode + 1} to ${SECTIONS.length}`);
    }
    requireEqual(`adapter.${section}.encoding`, view.getUint16(entry + 2, true), encodingOf(section));
    const byteLength = view.getUint32(entry + 4, true);
    if (section !== 'meta') requireEqual(`adapter.${section}.byteLength`, byteLength, 4 * parameterCount);
    table.set(section, { start, byteLength });
    start += byteLength;
    previousCode = code;
  }
  requireEqual('adapter.byteLength', view.byteLength, start);
  requireSections(table);
  return table;
}

function requireSections(table: Map<Section, Extent>): void {
  for (const section of ['weights', 'meta'] as const) {
    if (!table.has(section)) fail('ERR_ADAPTER_CORRUPT', `adapter.${section}`, undefined, 'a section of that name');
  }
  for (const [first, second] of PAIRED_SECTIONS) {
    if (table.has(first) !== table.has(second)) {
      fail('ERR_ADAPTER_CORRUPT', 'adapter.sections', [...table.keys()], `${first} and ${second} both or neither`);
    }
  }
}

function readMeta(content: Uint8Array, table: Map<Section, Extent>): JsonObject {
  const { start, byteLength } = table.get('meta') as Extent;
  return decodeMeta('adapter.meta', content.subarray(start, start + byteLength));
}

function readFloats(
  content: Uint8Array,
  table: Map<Section, Extent>,
  section: SlabSection,
  floatsIn: (bytes: Uint8Array) => Float32Array,
): Float32Array {
  const { start, byteLength } = table.get(section) as Extent;
  const values = floatsIn(content.subarray(start, start + byteLength));
  const fault = NON_NEGATIVE_SECTIONS.has(section)
    ? { at: firstNegative(values), expected: 'a finite number that is not negative' }
    : { at: firstNonFinite(values), expected: 'a finite number' };
  if (fault.at >= 0) fail('ERR_ADAPTER_CORRUPT', `adapter.${section}[${fault.at}]`, values[fault.at], fault.expected);
  return values;
}

/** Where the first number stands that is negative, infinite or NaN; −1 if there is none. */
function firstNegative(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) if (!(values[i] >= 0 && values[i] < Infinity)) return i;
  return -1;
}

function copyFloats(bytes: Uint8Array): Float32Array {
  return arrayFromBytes('F32', bytes.slice()) as Float32Array;
}

function viewFloats(bytes: Uint8Array): Float32Array {
  const isInPlace = LITTLE_ENDIAN_HOST && bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
  return isInPlace ? new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4) : copyFloats(bytes);
}

function requireEqual(name: string, value: number, expected: number): void {
  if (value !== expected) fail('ERR_ADAPTER_CORRUPT', name, value, `${expected}`);
}
