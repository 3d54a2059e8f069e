/**
 * The JSON documents of a store: heads, manifests, changes. They are written in one way only and read strictly, for a store
 * may be damaged, or written by somebody else.
 */
import { decodeMeta, encodeMeta, type JsonObject, type JsonValue } from '../adapter/meta.js';
import { describe } from '../checks.js';
import { LorakeetError } from '../errors.js';

export type Check<T> = (value: JsonValue | undefined) => value is T & JsonValue;

export const FORMAT = 1;

/** Throws ERR_INVALID_ARGUMENT for what is no JSON or takes more than a MiB. */
export function encodeDocument(name: string, document: JsonObject): Uint8Array {
  return encodeMeta(name, { format: FORMAT, ...document });
}

/** A document being read, field by field. Everything it throws is ERR_STORE_FAILURE and names the field. */
export class DocumentReader {
  readonly #name: string;
  readonly #fields: Map<string, JsonValue | undefined>;

  constructor(name: string, bytes: Uint8Array) {
    this.#name = name;
    try {
      this.#fields = new Map(Object.entries(decodeMeta(name, bytes)));
    } catch (cause) {
      throw new LorakeetError('ERR_STORE_FAILURE', (cause as Error).message, { cause });
    }
    this.take('format', `the format ${FORMAT}`, (value): value is number => value === FORMAT);
  }

  /** A field, which `check` must accept. */
  take<T extends JsonValue>(key: string, expected: string, check: (value: JsonValue | undefined) => value is T): T {
    const value = this.#fields.get(key);
    if (!check(value)) this.refuse(key, value, expected);
    this.#fields.delete(key);
    return value;
  }

  text(key: string): string {
    return this.take(key, 'a string', isText);
  }

  /** A time as Date.toISOString writes it. */
  time(key: string): string {
    return this.take(key, 'a time like 2026-01-31T12:00:00.000Z', isTime);
  }

  count(key: string): number {
    return this.take(key, 'an integer from 1 on', (value): value is number => isCount(value) && value >= 1);
  }

  flag(key: string): boolean {
    return this.take(key, 'true or false', isFlag);
  }

  optional<T extends JsonValue>(key: string, expected: string, check: (value: JsonValue | undefined) => value is T) {
    return this.take(key, `${expected} or null`, (value): value is T | null => value === null || check(value));
  }

  object(key: string): JsonObject {
    return this.take(key, 'an object', isObject);
  }

  array(key: string): JsonValue[] {
    return this.take(key, 'an array', (value): value is JsonValue[] => Array.isArray(value));
  }

  /** To be called last: a field that nobody has taken is unknown. */
  end(): void {
    for (const [key, value] of this.#fields) this.refuse(key, value, 'no such field');
  }

  refuse(key: string, value: unknown, expected: string): never {
    const what = `${this.#name}: ${key.slice(0, 100)}: got ${describe(value)}, expected ${expected}`;
    throw new LorakeetError('ERR_STORE_FAILURE', what);
  }
}

export const isText = (value: JsonValue | undefined): value is string => typeof value === 'string';
export const isFlag = (value: JsonValue | undefined): value is boolean => typeof value === 'boolean';
export const isCount = (value: JsonValue | undefined): value is number =>
  Number.isSafeInteger(value) && Number(value) >= 0;
export const isObject = (value: JsonValue | undefined): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
export const isTime = (value: JsonValue | undefined): value is string => {
  const time = typeof value === 'string' ? new Date(value) : undefined;
  return time !== undefined && !Number.isNaN(time.getTime()) && time.toISOString() === value;
};

/** Whether an object has exactly these fields, each accepted by its check. */
export function hasShape(
  value: JsonValue | undefined,
  shape: Record<string, (value: JsonValue | undefined) => boolean>,
) {
  if (!isObject(value)) return false;
  const keys = Object.keys(value);
  return (
    keys.length === Object.keys(shape).length &&
    keys.every((key) => Object.hasOwn(shape, key) && shape[key](value[key]))
  );
}
