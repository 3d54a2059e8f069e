/** Search among vectors that stand for adapters, users or patterns: the interface, and the checks that all forms share. */
import { fail, rejectUnknownKeys, requireInteger, requireOneOf, requireVector } from '../checks.js';

export const METRICS = ['cosine', 'dot'] as const;
export type Metric = (typeof METRICS)[number];

export type MetadataValue = string | number | boolean;
/** Keys are letters, digits and underscores, at most 63 of them. */
export type Metadata = Readonly<Record<string, MetadataValue>>;

export interface VectorRecord {
  /** 1 to 500 UTF-16 units, without NUL. */
  id: string;
  /** As many finite numbers as the collection has dimensions; for cosine not all 0. */
  vector: Float32Array;
  metadata?: Metadata;
}

/** What a metadata value must be: equal, one of several, or a number within bounds that are included. */
export type Condition = MetadataValue | readonly MetadataValue[] | { readonly min?: number; readonly max?: number };

/** All conditions must hold; a record without the key fails. */
export type VectorFilter = Readonly<Record<string, Condition>>;

export interface VectorQuery {
  vector: Float32Array;
  /** 1 … 10 000. */
  k: number;
  filter?: VectorFilter;
}

export interface VectorHit {
  id: string;
  /** Cosine of the angle, or the dot product; in float32. */
  score: number;
  metadata: Metadata;
}

export interface CollectionShape {
  /** 1 … 16 000. */
  dimensions: number;
  metric: Metric;
}

/**
 * Vectors of one kind. Wrong arguments are refused before anything changes: ERR_LENGTH_MISMATCH for another number of
 * dimensions, ERR_NOT_FINITE, ERR_OUT_OF_RANGE for a vector of zeros where cosine has no direction, ERR_INVALID_ARGUMENT.
 * Services answer ERR_STORE_UNAVAILABLE when they cannot be reached, ERR_COLLECTION_NOT_FOUND when the collection is gone.
 */
export interface VectorCollection extends Readonly<CollectionShape> {
  /** Adds records, or replaces those with the same id. */
  put(records: readonly VectorRecord[]): Promise<void>;
  /** Removes records; ids that are not there do no harm. */
  delete(ids: readonly string[]): Promise<void>;
  /** The k best, the best first; equal ones in no particular order. */
  search(query: VectorQuery): Promise<VectorHit[]>;
  count(): Promise<number>;
  close(): Promise<void>;
}

const MAX_ID = 500;
const MAX_K = 10_000;

export function requireShape(options: CollectionShape): CollectionShape {
  const dimensions = requireInteger('options.dimensions', options.dimensions, 1, 16_000);
  return { dimensions, metric: requireOneOf('options.metric', options.metric, METRICS) };
}

/** A name that is safe wherever it ends up: 1 to 40 of a–z, 0–9 and _, a letter first. */
export function requireCollectionName(name: unknown): string {
  if (typeof name !== 'string' || !/^[a-z][a-z0-9_]{0,39}$/.test(name)) {
    fail('ERR_INVALID_CONFIG', 'options.collection', name, 'up to 40 of a-z, 0-9 and _, a letter first');
  }
  return name;
}

export function requireIds(ids: unknown): readonly string[] {
  if (!Array.isArray(ids)) fail('ERR_INVALID_ARGUMENT', 'ids', ids, 'an array of ids');
  ids.forEach((id, i) => {
    requireId(`ids[${i}]`, id);
  });
  return ids;
}

function requireId(name: string, id: unknown): void {
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID || id.includes('\0') || /\p{Surrogate}/u.test(id)) {
    fail('ERR_INVALID_ARGUMENT', name, id, `a well-formed string of 1 to ${MAX_ID} characters without NUL`);
  }
}

export function requireRecords(records: unknown, shape: CollectionShape): readonly Required<VectorRecord>[] {
  if (!Array.isArray(records)) fail('ERR_INVALID_ARGUMENT', 'records', records, 'an array of records');
  const seen = new Set<string>();
  return records.map((record: VectorRecord, i) => {
    const name = `records[${i}]`;
    if (typeof record !== 'object' || record === null) fail('ERR_INVALID_ARGUMENT', name, record, 'a record');
    const { id, vector, metadata = {} } = record;
    requireId(`${name}.id`, id);
    if (seen.has(id)) fail('ERR_INVALID_ARGUMENT', `${name}.id`, id, 'each id once');
    seen.add(id);
    requireDirection(`${name}.vector`, vector, shape);
    if (typeof metadata !== 'object' || metadata === null) {
      fail('ERR_INVALID_ARGUMENT', `${name}.metadata`, metadata, 'an object');
    }
    for (const [key, value] of Object.entries(metadata)) {
      requireKey(`${name}.metadata`, key);
      requireValue(`${name}.metadata.${key}`, value);
    }
    return { id, vector, metadata: { ...metadata } };
  });
}

function requireDirection(name: string, vector: unknown, { dimensions, metric }: CollectionShape): void {
  const checked = requireVector(name, vector, dimensions);
  if (metric !== 'cosine') return;
  const norm = normOf(checked);
  if (!(norm > 0)) fail('ERR_OUT_OF_RANGE', name, 0, 'a vector that is not all 0, as cosine needs a direction');
}

export function normOf(vector: Float32Array): number {
  let sum = 0;
  for (const value of vector) sum += value * value;
  return Math.sqrt(sum);
}

function requireKey(name: string, key: string): void {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,62}$/.test(key)) {
    fail('ERR_INVALID_ARGUMENT', `a key of ${name}`, key, 'up to 63 letters, digits and _, no digit first');
  }
}

function requireValue(name: string, value: unknown): void {
  if (typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) return;
  if (typeof value === 'string' && !value.includes('\0') && !/\p{Surrogate}/u.test(value)) return;
  fail('ERR_INVALID_ARGUMENT', name, value, 'a well-formed string without NUL, a finite number, true or false');
}

/** The parts of a filter, one for each key. */
export type FilterPart = { key: string } & ({ anyOf: readonly MetadataValue[] } | { min: number; max: number });

export function requireQuery(
  query: unknown,
  shape: CollectionShape,
): { vector: Float32Array; k: number; parts: FilterPart[] } {
  if (typeof query !== 'object' || query === null) fail('ERR_INVALID_ARGUMENT', 'query', query, 'an object');
  const { vector, k, filter = {} } = query as VectorQuery;
  requireDirection('query.vector', vector, shape);
  requireInteger('query.k', k, 1, MAX_K, 'ERR_INVALID_ARGUMENT');
  if (typeof filter !== 'object' || filter === null) fail('ERR_INVALID_ARGUMENT', 'query.filter', filter, 'an object');
  return { vector, k, parts: Object.entries(filter).map(([key, condition]) => filterPart(key, condition)) };
}

function filterPart(key: string, condition: Condition): FilterPart {
  requireKey('query.filter', key);
  const name = `query.filter.${key}`;
  if (typeof condition === 'object' && condition !== null && !Array.isArray(condition)) {
    rejectUnknownKeys(name, condition, ['min', 'max']);
    const { min = -Number.MAX_VALUE, max = Number.MAX_VALUE } = condition as { min?: number; max?: number };
    requireValue(`${name}.min`, min);
    requireValue(`${name}.max`, max);
    if (typeof min !== 'number' || typeof max !== 'number') {
      fail('ERR_INVALID_ARGUMENT', name, condition, 'bounds that are numbers');
    }
    return { key, min, max };
  }
  const anyOf = Array.isArray(condition) ? condition : [condition];
  if (anyOf.length === 0) fail('ERR_INVALID_ARGUMENT', name, condition, 'at least one value');
  for (const value of anyOf) requireValue(name, value);
  return { key, anyOf };
}

export function matches(metadata: Metadata, parts: readonly FilterPart[]): boolean {
  return parts.every((part) => {
    const value = Object.hasOwn(metadata, part.key) ? metadata[part.key] : undefined;
    if ('anyOf' in part) return value !== undefined && part.anyOf.includes(value);
    return typeof value === 'number' && value >= part.min && value <= part.max;
  });
}
