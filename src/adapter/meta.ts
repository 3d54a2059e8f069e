/**
 * The JSON that travels with an adapter. The text is exactly what JSON.stringify writes for the object, so one object
 * has one encoding; a reader can tell so, which also rules out duplicate keys and numbers that overflow.
 */
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';

export type JsonValue = string | number | boolean | null | JsonValue[] | JsonObject;

/** A field that is undefined is left out, as JSON.stringify does. */
export interface JsonObject {
  [key: string]: JsonValue | undefined;
}

/** Longest meta in bytes: far more than a description needs, and little to parse for whoever sends garbage. */
export const MAX_META_BYTES = 2 ** 20;

/** Deepest nesting: keeps every later recursion over the object, such as a clone, within the stack. */
const MAX_META_DEPTH = 32;

/** Throws ERR_INVALID_ARGUMENT naming the field unless `meta` is an object of JSON values, not too deep or too long. */
export function encodeMeta(name: string, meta: JsonObject): Buffer {
  if (!isPlainObject(meta)) fail('ERR_INVALID_ARGUMENT', name, meta, 'a plain object');
  requireJson(name, meta, 1);
  const json = JSON.stringify(meta);
  requireShort(name, json);
  return Buffer.from(json, 'utf8');
}

/** encodeMeta(name, meta).length for a `meta` of JSON values, which are not checked, without encoding. */
export function encodedMetaLength(name: string, meta: JsonObject): number {
  return requireShort(name, JSON.stringify(meta));
}

/** The length in bytes. */
function requireShort(name: string, json: string): number {
  const length = Buffer.byteLength(json, 'utf8');
  if (length > MAX_META_BYTES) {
    fail('ERR_INVALID_ARGUMENT', name, length, `at most ${MAX_META_BYTES} bytes as JSON`);
  }
  return length;
}

/** Throws ERR_ADAPTER_CORRUPT unless `bytes` are what encodeMeta writes for some object. */
export function decodeMeta(name: string, bytes: Uint8Array): JsonObject {
  if (bytes.length > MAX_META_BYTES) fail('ERR_ADAPTER_CORRUPT', name, bytes, `at most ${MAX_META_BYTES} bytes`);
  try {
    // ignoreBOM: a byte order mark stays in the text, where JSON does not allow it
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    const meta = JSON.parse(text);
    if (!isPlainObject(meta)) fail('ERR_ADAPTER_CORRUPT', name, meta, 'a JSON object');
    requireJson(name, meta, 1);
    if (JSON.stringify(meta) !== text) fail('ERR_ADAPTER_CORRUPT', name, text, 'JSON as JSON.stringify writes it');
    return meta;
  } catch (cause) {
    throw new LorakeetError('ERR_ADAPTER_CORRUPT', `${name}: not a well-formed JSON object (${cause})`, { cause });
  }
}

function requireJson(name: string, value: unknown, depth: number): void {
  if (depth > MAX_META_DEPTH) fail('ERR_INVALID_ARGUMENT', name, value, `at most ${MAX_META_DEPTH} levels of nesting`);
  if (Array.isArray(value)) {
    // not forEach, which passes over holes
    for (let i = 0; i < value.length; i++) requireJson(`${name}[${i}]`, value[i], depth + 1);
  } else if (isPlainObject(value)) {
    for (const [key, field] of Object.entries(value)) {
      // a later Object.assign would take it for the prototype
      if (key === '__proto__') fail('ERR_INVALID_ARGUMENT', name, value, 'no key named __proto__');
      if (field !== undefined) requireJson(`${name}.${key.slice(0, 60)}`, field, depth + 1);
    }
  } else if (!isJsonScalar(value)) {
    fail('ERR_INVALID_ARGUMENT', name, value, 'a JSON value (string, finite number, boolean, null, array, object)');
  }
}

function isJsonScalar(value: unknown): boolean {
  return value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
}

function isPlainObject(value: unknown): value is JsonObject {
  if (typeof value !== 'object' || value === null) return false;
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}
