/** Reading the head of one adapter, and changing it by compare-and-set: the change's record first, then the head. */
import { randomInt, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { JsonObject } from '../adapter/meta.js';
import { describe } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { effectsOf, encodeChange, readChanges, type VersionOperation } from './change.js';
import { copyHead, decodeHead, emptyHead, encodeHead, type Head } from './head.js';
import type { VersionStore } from './version-store.js';

/** So often does a change begin anew after somebody else's came first; each time somebody else has got on. */
const MAX_ATTEMPTS = 100;
/** In attempts, which take a millisecond on one store and a tenth of a second on another. */
const MAX_BACK_OFF = 8;
const MAX_BACK_OFF_MS = 2000;

export interface ChangeDetails {
  actor: string | null;
  reason: string | null;
  version?: string;
  override?: boolean;
  evidence?: JsonObject;
}

export interface ReadHead {
  head: Head;
  /** undefined: nothing has ever been written. */
  revision: string | undefined;
}

export async function readHead(store: VersionStore, adapter: string): Promise<ReadHead> {
  const found = await store.getHead(adapter);
  if (!found) return { head: emptyHead(adapter), revision: undefined };
  return { head: decodeHead(found.bytes, adapter), revision: found.revision };
}

export interface Prepared<T> {
  result: T;
  /** undefined: there is nothing to be changed. */
  details: ChangeDetails | undefined;
}

/**
 * Makes one change, once. `prepare` changes the head it is given, or throws to refuse; it is called anew whenever another
 * change came in between. Rejects with ERR_STORE_FAILURE if that happens MAX_ATTEMPTS times, with ERR_VERSION_NOT_FOUND for an
 * adapter of which nothing has been published, unless that is the change.
 */
export async function changeHead<T>(
  store: VersionStore,
  adapter: string,
  operation: VersionOperation,
  now: () => Date,
  prepare: (head: Head) => Promise<Prepared<T>>,
): Promise<T> {
  const refused: Refused<T> = new Map();
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const began = performance.now();
    const { head, revision } = await readHead(store, adapter);
    const made = await findMade(store, head, refused);
    if (made) return made.result;
    if (revision === undefined && operation !== 'publish') {
      throw new LorakeetError('ERR_VERSION_NOT_FOUND', `adapter ${describe(adapter)}: nothing has been published`);
    }
    const next = copyHead(head);
    const { result, details } = await prepare(next);
    if (!details) return result;
    next.sequence += 1;
    const { actor, reason, version = null, override = false, evidence = null } = details;
    const facts = {
      id: randomUUID(),
      adapter,
      sequence: next.sequence,
      at: now().toISOString(),
      operation,
      actor,
      reason,
    };
    const grounds = { version, override, evidence, previous: head.change };
    next.change = await store.putBlob(encodeChange({ ...facts, ...grounds, ...effectsOf(head, next) }));
    if ((await store.setHead(adapter, encodeHead(next), revision)) !== undefined) return result;
    refused.set(next.change, { sequence: next.sequence, result });
    await backOff(attempt, performance.now() - began);
  }
  const what = `adapter ${describe(adapter)}: ${operation}: others came first ${MAX_ATTEMPTS} times`;
  throw new LorakeetError('ERR_STORE_FAILURE', what);
}

/** For a random time, so that those who have met do not meet again. */
async function backOff(attempt: number, tookMs: number): Promise<void> {
  const atMostMs = Math.min(MAX_BACK_OFF_MS, Math.min(MAX_BACK_OFF, 2 ** attempt) * tookMs);
  await delay(randomInt(Math.ceil(atMostMs) + 1));
}

/** Changes that the store has refused, by their hashes. */
type Refused<T> = Map<string, { sequence: number; result: T }>;

/** One of them that the head stands on all the same: its answer was lost, and then the next change came. */
async function findMade<T>(store: VersionStore, head: Head, refused: Refused<T>): Promise<{ result: T } | undefined> {
  if (refused.size === 0) return undefined;
  const newest = head.change === null ? undefined : refused.get(head.change);
  const first = Math.min(...[...refused.values()].map(({ sequence }) => sequence));
  if (newest || head.sequence <= first) return newest;
  for await (const { sha256, change } of readChanges(store, head)) {
    const made = refused.get(sha256);
    if (made || change.sequence <= first) return made;
  }
  return undefined;
}
