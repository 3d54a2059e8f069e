/**
 * Where adapters lie while no pool holds them. The smallest thing that serves: bytes by id, many in one call. Implementations
 * are in src/stores; adapterStoreConformance in src/testing is what each of them must pass.
 */
import { types } from 'node:util';
import { fail } from '../checks.js';

/** An adapter at rest. */
export interface StoredAdapter {
  /** Any string but the empty one; whose adapter it is. */
  id: string;
  /** As encodeAdapter made them. A store does not look inside. */
  bytes: Uint8Array;
}

/** All methods reject with ERR_INVALID_ARGUMENT, nothing changed, for arguments that the checks below refuse. */
export interface AdapterStore {
  /** The bytes of each id in turn, undefined for an id that is not there. The caller may keep and change them. */
  load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]>;

  /**
   * Adds or replaces adapters with distinct ids. Resolves once all of them are durable. Whatever happens meanwhile, every
   * id holds either its old bytes or its new ones, whole; after a rejection each may hold either. The bytes stay unchanged
   * until the promise settles, not longer.
   */
  save(adapters: readonly StoredAdapter[]): Promise<void>;

  /** Resolves once none of the ids is there any more; ids that never were do no harm. */
  delete(ids: readonly string[]): Promise<void>;
}

/** A store that can tell all that it has. */
export interface AdapterCollection extends AdapterStore {
  /**
   * Every adapter, some at a time, in any order, at least once; if more than once, as it is now last. One that is deleted
   * meanwhile may have come or not. The bytes may share memory; the caller may keep and change them.
   */
  entries(): AsyncIterable<readonly StoredAdapter[]>;
}

/** Also found in a string that is no Unicode text, of which UTF-8 keeps no trace: two ids could become one. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** An id that every store can hold: text, not empty. Throws ERR_INVALID_ARGUMENT. */
export function requireAdapterId(name: string, id: unknown): string {
  if (typeof id !== 'string' || id === '' || LONE_SURROGATE.test(id)) {
    fail('ERR_INVALID_ARGUMENT', name, id, 'a string of Unicode text that is not empty');
  }
  return id;
}

/** The check of load and delete. */
export function requireAdapterIds(ids: readonly string[]): void {
  if (!Array.isArray(ids)) fail('ERR_INVALID_ARGUMENT', 'ids', ids, 'an array of strings');
  for (let i = 0; i < ids.length; i++) requireAdapterId(`ids[${i}]`, ids[i]);
}

/** The check of save. */
export function requireStoredAdapters(adapters: readonly StoredAdapter[]): void {
  if (!Array.isArray(adapters)) fail('ERR_INVALID_ARGUMENT', 'adapters', adapters, 'an array of StoredAdapters');
  const ids = new Set<string>();
  adapters.forEach((adapter, i) => {
    const id = requireAdapterId(`adapters[${i}].id`, adapter?.id);
    if (ids.has(id)) fail('ERR_INVALID_ARGUMENT', `adapters[${i}].id`, id, 'no id twice');
    ids.add(id);
    if (!types.isUint8Array(adapter.bytes)) {
      fail('ERR_INVALID_ARGUMENT', `adapters[${i}].bytes`, adapter.bytes, 'a Uint8Array');
    }
  });
}
