/** What may be done to a head, and what becomes of it. Each function changes the head it is given, or throws. */
import { describe } from '../checks.js';
import { LorakeetError, type LorakeetErrorCode } from '../errors.js';
import { type AliasMove, effectsOf } from './change.js';
import { ACTIVE, type Head, KNOWN_GOOD, PREVIOUS, type VersionEntry } from './head.js';
import { compareVersions } from './version-number.js';

/** Aliases that only the operations named here move. */
export const GUARDED: ReadonlyMap<string, string> = new Map([
  [ACTIVE, 'activate, rollback, disable or enable'],
  [PREVIOUS, 'activate or rollback'],
]);

/** Throws ERR_VERSION_NOT_FOUND. */
export function requireEntry(head: Head, version: string): VersionEntry {
  const entry = head.versions.get(version);
  if (!entry) refuse('ERR_VERSION_NOT_FOUND', head, `there is no version ${version}`);
  return entry;
}

/** Throws ERR_VERSION_CONFLICT unless the alias points to `expect`; null stands for nothing, undefined for anything. */
export function requireExpected(head: Head, alias: string, expect: string | null | undefined): void {
  const version = head.aliases.get(alias) ?? null;
  if (expect === undefined || version === expect) return;
  const [got, expected] = [version, expect].map((one) => one ?? 'nothing');
  refuse('ERR_VERSION_CONFLICT', head, `${alias} points to ${got}, the caller expected ${expected}`);
}

/** Throws ERR_ADAPTER_DISABLED. */
export function requireEnabled(head: Head): void {
  if (head.disabled) refuse('ERR_ADAPTER_DISABLED', head, 'the kill switch is on; enable() with a version lifts it');
}

/** Also lifts the kill switch where that is asked for. */
export function activate(head: Head, version: string, override: boolean, lift = false): void {
  if (!lift) requireEnabled(head);
  requireServable(head, version, override);
  head.disabled = false;
  const active = head.aliases.get(ACTIVE);
  if (active === version) return;
  if (active !== undefined) head.aliases.set(PREVIOUS, active);
  if (head.aliases.get(PREVIOUS) === version) head.aliases.delete(PREVIOUS);
  head.aliases.set(ACTIVE, version);
}

/** `to`, else known-good, else previous, takes the place of the active version, which goes into quarantine. */
export function rollBack(head: Head, to: string | undefined, override: boolean): { from: string; to: string } {
  requireEnabled(head);
  const from = head.aliases.get(ACTIVE);
  if (from === undefined) refuse('ERR_NO_ROLLBACK_TARGET', head, 'nothing is active');
  const target = to ?? rollbackTarget(head, from);
  if (target === from) refuse('ERR_NO_ROLLBACK_TARGET', head, `${from} is the active version itself`);
  requireServable(head, target, override);
  isolate(head, from);
  if (head.aliases.get(PREVIOUS) === target) head.aliases.delete(PREVIOUS);
  head.aliases.set(ACTIVE, target);
  return { from, to: target };
}

/** What a change of `active` or of the kill switch was: its effects, so that undo() can take them back. */
export interface VersionMove {
  /** What `active` pointed to before; null: nothing. */
  from: string | null;
  /** What it points to now. */
  to: string | null;
  /** The kill switch, before and after. */
  disabled: { from: boolean; to: boolean };
  aliases: readonly AliasMove[];
  /** Versions that it put into quarantine. */
  quarantined: readonly string[];
}

export function moveOf(before: Head, after: Head): VersionMove {
  const { aliases, quarantined } = effectsOf(before, after);
  const [from, to] = [before, after].map((head) => head.aliases.get(ACTIVE) ?? null);
  return { from, to, disabled: { from: before.disabled, to: after.disabled }, aliases, quarantined };
}

/** All that the move has changed becomes as it was, if it still is as the move has left it. Throws ERR_VERSION_CONFLICT. */
export function undo(head: Head, { disabled, aliases, quarantined }: VersionMove): void {
  const isServable = (version: string | null) =>
    version === null || quarantined.includes(version) || head.versions.get(version)?.quarantined === false;
  const untouched =
    head.disabled === disabled.to &&
    aliases.every(({ alias, from, to }) => (head.aliases.get(alias) ?? null) === to && isServable(from)) &&
    quarantined.every((version) => head.versions.get(version)?.quarantined);
  if (!untouched) refuse('ERR_VERSION_CONFLICT', head, 'what is to be undone has been changed by somebody else since');
  for (const version of quarantined) requireEntry(head, version).quarantined = false;
  for (const { alias, from } of aliases) {
    if (from === null) head.aliases.delete(alias);
    else head.aliases.set(alias, from);
  }
  head.disabled = disabled.from;
}

/** Turns the kill switch on: nothing is active any more, and what was goes into quarantine. */
export function disable(head: Head): void {
  const active = head.aliases.get(ACTIVE);
  if (active !== undefined) isolate(head, active);
  head.disabled = true;
}

export function promote(head: Head, version: string): void {
  const { approved } = requireUnquarantined(head, version);
  if (!approved) refuse('ERR_VERSION_UNAPPROVED', head, `${version} is not approved, so it is not known to be good`);
  head.aliases.set(KNOWN_GOOD, version);
}

export function moveAlias(head: Head, alias: string, version: string | null): void {
  if (version === null) {
    head.aliases.delete(alias);
    return;
  }
  requireUnquarantined(head, version);
  head.aliases.set(alias, version);
}

/** Takes all aliases from a version, for good, or until it is released. */
export function quarantine(head: Head, version: string): void {
  requireEntry(head, version);
  if (head.aliases.get(ACTIVE) === version) {
    refuse('ERR_VERSION_IN_USE', head, `${version} is active: roll back or disable, which puts it into quarantine too`);
  }
  isolate(head, version);
}

/** Out of quarantine, but it must be approved anew. */
export function release(head: Head, version: string): void {
  const entry = requireEntry(head, version);
  if (entry.quarantined) Object.assign(entry, { quarantined: false, approved: false });
}

/** A version that is not approved stays active if it is, but is not known-good. */
export function setApproval(head: Head, version: string, approved: boolean): void {
  const entry = approved ? requireUnquarantined(head, version) : requireEntry(head, version);
  entry.approved = approved;
  if (!approved && head.aliases.get(KNOWN_GOOD) === version) head.aliases.delete(KNOWN_GOOD);
}

export function remove(head: Head, version: string): void {
  requireEntry(head, version);
  const alias = aliasesOf(head, version)[0];
  if (alias) refuse('ERR_VERSION_IN_USE', head, `${alias} points to ${version}`);
  head.versions.delete(version);
}

export interface Retention {
  keepLatest: number;
  /** ISO 8601: versions made at this time or later are kept. */
  keepSince?: string;
}

/** Deletes what no rule keeps and no alias points to; in numeric order. */
export function retain(head: Head, { keepLatest, keepSince }: Retention): string[] {
  const numbers = [...head.versions.keys()].sort(compareVersions);
  const old = numbers.slice(0, Math.max(0, numbers.length - keepLatest));
  const deleted = old.filter((version) => {
    const young = keepSince !== undefined && requireEntry(head, version).createdAt >= keepSince;
    return !young && aliasesOf(head, version).length === 0;
  });
  for (const version of deleted) head.versions.delete(version);
  return deleted;
}

function rollbackTarget(head: Head, from: string): string {
  for (const alias of [KNOWN_GOOD, PREVIOUS]) {
    const version = head.aliases.get(alias);
    // neither alias ever points to a version in quarantine
    if (version !== undefined && version !== from && requireEntry(head, version).approved) return version;
  }
  refuse('ERR_NO_ROLLBACK_TARGET', head, `neither ${KNOWN_GOOD} nor ${PREVIOUS} is another version that is approved`);
}

function requireServable(head: Head, version: string, override: boolean): void {
  const { approved } = requireUnquarantined(head, version);
  if (!approved && !override) {
    refuse('ERR_VERSION_UNAPPROVED', head, `${version} is not approved; approve it, or give override and a reason`);
  }
}

function requireUnquarantined(head: Head, version: string): VersionEntry {
  const entry = requireEntry(head, version);
  if (entry.quarantined) refuse('ERR_VERSION_QUARANTINED', head, `${version} is in quarantine; release it first`);
  return entry;
}

function isolate(head: Head, version: string): void {
  requireEntry(head, version).quarantined = true;
  for (const alias of aliasesOf(head, version)) head.aliases.delete(alias);
}

function aliasesOf(head: Head, version: string): string[] {
  return [...head.aliases].filter(([, target]) => target === version).map(([alias]) => alias);
}

function refuse(code: LorakeetErrorCode, head: Head, what: string): never {
  throw new LorakeetError(code, `adapter ${describe(head.adapter)}: ${what}`);
}
