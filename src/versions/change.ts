/**
 * The audit trail: one blob for every change of a head, each with the hash of the one before, so that none can be altered or
 * left out without the head telling.
 */
import type { JsonObject } from '../adapter/meta.js';
import { DocumentReader, encodeDocument, hasShape, isObject, isText } from './document.js';
import { type Head, isAlias } from './head.js';
import { compareVersions, isVersionNumber } from './version-number.js';
import { isSha256, readBlob, type VersionStore } from './version-store.js';

export const OPERATIONS = [
  ...['publish', 'approve', 'disapprove', 'activate', 'rollback', 'promote', 'alias', 'disable', 'enable'],
  ...['undo', 'quarantine', 'release', 'delete', 'retain'],
] as const;
export type VersionOperation = (typeof OPERATIONS)[number];

export interface AliasMove {
  alias: string;
  /** null: it pointed to nothing. */
  from: string | null;
  /** null: it points to nothing now. */
  to: string | null;
}

export interface VersionChange {
  /** A UUID, so that two changes are told apart that are alike in everything else. */
  id: string;
  adapter: string;
  /** 1 for the first of an adapter, then one more each. */
  sequence: number;
  /** ISO 8601, UTC. */
  at: string;
  operation: string;
  actor: string | null;
  reason: string | null;
  /** What the operation was asked to do it with, if it was about one version. */
  version: string | null;
  /** Whether a version was activated though it was not approved. */
  override: boolean;
  aliases: AliasMove[];
  /** Versions that it put into quarantine. */
  quarantined: string[];
  /** Versions that it deleted. */
  deleted: string[];
  /** What the caller gave as grounds of an approval. */
  evidence: JsonObject | null;
  /** SHA-256 of the change before. */
  previous: string | null;
}

export function encodeChange(change: VersionChange): Uint8Array {
  return encodeDocument('the change', change as unknown as JsonObject);
}

/** Throws ERR_STORE_FAILURE unless `bytes` are the change of that adapter with that number. */
export function decodeChange(bytes: Uint8Array, adapter: string, sequence: number): VersionChange {
  const reader = new DocumentReader(`change ${sequence} of ${adapter}`, bytes);
  const isNumbers = (value: unknown): value is string[] => Array.isArray(value) && value.every(isVersionNumber);
  const change = {
    id: reader.text('id'),
    adapter: reader.take('adapter', JSON.stringify(adapter), (value): value is string => value === adapter),
    sequence: reader.take('sequence', `${sequence}`, (value): value is number => value === sequence),
    at: reader.time('at'),
    operation: reader.text('operation'),
    actor: reader.optional('actor', 'a string', isText),
    reason: reader.optional('reason', 'a string', isText),
    version: reader.optional('version', 'a version number', isVersionNumber),
    override: reader.flag('override'),
    aliases: reader.array('aliases') as unknown as AliasMove[],
    quarantined: reader.take('quarantined', 'version numbers', isNumbers),
    deleted: reader.take('deleted', 'version numbers', isNumbers),
    evidence: reader.optional('evidence', 'an object', isObject),
    previous: reader.take('previous', sequence === 1 ? 'null' : 'a SHA-256', (value): value is string | null =>
      sequence === 1 ? value === null : isSha256(value),
    ),
  };
  reader.end();
  if (!change.aliases.every(isMove)) reader.refuse('aliases', change.aliases, 'moves of aliases');
  return change;
}

/** What has become different from `before` to `after`. */
export function effectsOf(before: Head, after: Head): Pick<VersionChange, 'aliases' | 'quarantined' | 'deleted'> {
  const names = [...new Set([...before.aliases.keys(), ...after.aliases.keys()])].sort();
  const aliases = names
    .map((alias) => ({ alias, from: before.aliases.get(alias) ?? null, to: after.aliases.get(alias) ?? null }))
    .filter(({ from, to }) => from !== to);
  const among = (head: Head, accept: (version: string) => boolean) =>
    [...head.versions.keys()].filter(accept).sort(compareVersions);
  const wasQuarantined = (version: string) => before.versions.get(version)?.quarantined ?? false;
  return {
    aliases,
    quarantined: among(after, (version) => !!after.versions.get(version)?.quarantined && !wasQuarantined(version)),
    deleted: among(before, (version) => !after.versions.has(version)),
  };
}

/** The changes that led to `head`, newest first, each with its hash. Throws ERR_STORE_FAILURE where the chain is broken. */
export async function* readChanges(store: VersionStore, head: Head) {
  let { sequence, change: sha256 } = head;
  for (; sha256 !== null; sequence--) {
    const bytes = await readBlob(store, `change ${sequence} of ${head.adapter}`, sha256);
    const change = decodeChange(bytes, head.adapter, sequence);
    yield { sha256, change };
    sha256 = change.previous;
  }
}

function isMove(value: unknown): boolean {
  const isTarget = (target: unknown) => target === null || isVersionNumber(target);
  return hasShape(value as JsonObject, { alias: isAlias, from: isTarget, to: isTarget });
}
