/** The versions of one adapter in a store: publishing, reading, and every change of what is served. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { readChanges, type VersionChange, type VersionOperation } from './change.js';
import {
  type ActivateOptions,
  type ApproveOptions,
  type ChangeOptions,
  type ExpectOptions,
  type ReasonedOptions,
  type RollbackOptions,
  requireChangeOptions,
  requireText,
} from './change-options.js';
import { ACTIVE, ALIAS_FORM, copyHead, type Head, isAlias, KNOWN_GOOD } from './head.js';
import { changeHead, readHead } from './head-changes.js';
import { decodeManifest, encodeManifest, type VersionManifest } from './manifest.js';
import {
  chooseNumber,
  LIBRARY_VERSION,
  type Publication,
  pinParents,
  putFiles,
  requireKey,
  requirePublication,
} from './publication.js';
import type { VersionMove } from './rules.js';
import * as rules from './rules.js';
import { compareVersions, isVersionNumber, requireVersionNumber } from './version-number.js';
import { readBlob, requireHeadName, type VersionStore } from './version-store.js';

export interface AdapterVersionsOptions {
  /** Who changes things, unless a call says otherwise. */
  actor?: string;
  /** The clock; default: the system's. */
  now?: () => Date;
}

export interface VersionSummary {
  version: string;
  createdAt: string;
  approved: boolean;
  quarantined: boolean;
}

export interface VersionState {
  adapter: string;
  /** Changes so far: what was read at the same number is still true. */
  sequence: number;
  /** Whether the kill switch is on. */
  disabled: boolean;
  aliases: Record<string, string>;
  /** In numeric order. */
  versions: VersionSummary[];
}

export interface LoadedVersion {
  version: string;
  manifest: VersionManifest;
  files: Map<string, Uint8Array>;
}

export interface RetentionOptions extends ChangeOptions {
  /** So many of the highest numbers are kept; an integer from 0 on. */
  keepLatest: number;
  /** Versions younger than this are kept. Default: age keeps none. */
  keepForMs?: number;
}

interface Applied<T> {
  /** What it was about. */
  version?: string;
  result: T;
  /** Nothing has changed, which needs no record. */
  idle?: boolean;
}

/**
 * One adapter's versions. Any number of these, in any processes, may work on the same adapter: every change is one
 * compare-and-set, made on what is true at that moment. All methods read the store anew. They reject, nothing changed, with
 * ERR_INVALID_ARGUMENT and ERR_INVALID_CONFIG for their arguments, ERR_VERSION_NOT_FOUND for a version or alias that is not
 * there, the errors of the store, and ERR_STORE_FAILURE where it holds something else than was written.
 */
export class AdapterVersions {
  readonly #store: VersionStore;
  readonly #actor: string | null;
  readonly #now: () => Date;
  /** Such as team/adapter-1. */
  readonly adapter: string;

  /** Throws ERR_PATH_NOT_ALLOWED for an adapter that is not a relative path of plain names, ERR_INVALID_ARGUMENT. */
  constructor(store: VersionStore, adapter: string, options: AdapterVersionsOptions = {}) {
    rejectUnknownKeys('options', options, ['actor', 'now']);
    this.#store = store;
    this.adapter = requireHeadName(adapter);
    this.#actor = options.actor === undefined ? null : requireText('options.actor', options.actor);
    this.#now = options.now ?? (() => new Date());
  }

  /**
   * Adds a version; it is neither approved nor active, and no alias points to it. Its number is the next one after the
   * highest ever given, v1.0 for the first. Also rejects with ERR_VERSION_CONFLICT for a `version` that is not above all
   * others, ERR_VERSION_NOT_FOUND for a parent that is not there, ERR_PATH_NOT_ALLOWED for names of files. With a `key` that
   * a version has been published with, that version is the answer.
   */
  async publish(publication: Publication): Promise<VersionManifest> {
    requirePublication(publication);
    const { actor, reason, training = {}, metrics = {} } = publication;
    const baseModel = publication.baseModel
      ? { name: publication.baseModel.name, sha256: publication.baseModel.sha256 }
      : null;
    requireChangeOptions({ actor, reason }, []);
    const { key } = publication;
    const files = await putFiles(this.#store, publication);
    return this.#change('publish', { actor, reason }, async (head) => {
      const earlier = key === undefined ? undefined : versionWith(head, key);
      if (earlier !== undefined) return { result: await this.#readManifest(head, earlier), idle: true };
      const version = chooseNumber(head, publication);
      const parents = await pinParents(this.#store, head, publication.parents);
      const createdAt = this.#now().toISOString();
      const origin = { adapter: this.adapter, version, createdAt, author: actor ?? this.#actor };
      const content = { files, parents, baseModel, training, metrics: { ...metrics }, libraryVersion: LIBRARY_VERSION };
      const bytes = encodeManifest({ ...origin, ...content });
      const manifest = await this.#store.putBlob(bytes);
      const unused = { approved: false, quarantined: false };
      head.versions.set(version, { manifest, createdAt, ...(key !== undefined && { key }), ...unused });
      head.highest = version;
      return { version, result: decodeManifest(bytes, this.adapter, version) };
    });
  }

  /** The version that was published with this key, if there is one. */
  async findPublished(key: string): Promise<VersionManifest | undefined> {
    requireKey('key', key);
    const { head } = await readHead(this.#store, this.adapter);
    const version = versionWith(head, key);
    return version === undefined ? undefined : this.#readManifest(head, version);
  }

  /** What is true now. */
  async state(): Promise<VersionState> {
    const { head } = await readHead(this.#store, this.adapter);
    const { adapter, sequence, disabled, aliases, versions } = head;
    const summaries = [...versions].map(([version, { createdAt, approved, quarantined }]) => {
      return { version, createdAt, approved, quarantined };
    });
    summaries.sort((a, b) => compareVersions(a.version, b.version));
    return { adapter, sequence, disabled, aliases: Object.fromEntries(aliases), versions: summaries };
  }

  /** The number that a version or alias stands for. Rejects with ERR_ADAPTER_DISABLED for `active` under the kill switch. */
  async resolve(versionOrAlias: string): Promise<string> {
    return this.#resolve((await readHead(this.#store, this.adapter)).head, versionOrAlias);
  }

  /** As resolve(), its manifest. */
  async manifest(versionOrAlias: string): Promise<VersionManifest> {
    const { head } = await readHead(this.#store, this.adapter);
    return this.#readManifest(head, this.#resolve(head, versionOrAlias));
  }

  /** As resolve(), with all its files, each held against its SHA-256. */
  async load(versionOrAlias: string): Promise<LoadedVersion> {
    const manifest = await this.manifest(versionOrAlias);
    const files = new Map<string, Uint8Array>();
    for (const [name, { sha256 }] of Object.entries(manifest.files)) {
      files.set(name, await readBlob(this.#store, `${name} of ${this.adapter} ${manifest.version}`, sha256));
    }
    return { version: manifest.version, manifest, files };
  }

  /** The audit trail, newest first: every change there has been. */
  async history(limit = 100): Promise<VersionChange[]> {
    requireInteger('limit', limit, 1, Number.MAX_SAFE_INTEGER, 'ERR_INVALID_ARGUMENT');
    const { head } = await readHead(this.#store, this.adapter);
    const changes: VersionChange[] = [];
    for await (const { change } of readChanges(this.#store, head)) {
      if (changes.push(change) === limit) break;
    }
    return changes;
  }

  /** Lets a version become active and known-good. Rejects with ERR_VERSION_QUARANTINED. */
  approve(version: string, options: ApproveOptions = {}): Promise<void> {
    return this.#about('approve', version, options, ['evidence'], (head) => rules.setApproval(head, version, true));
  }

  /** Takes approval back, and known-good with it. The version stays active if it is. */
  disapprove(version: string, options: ReasonedOptions & ApproveOptions): Promise<void> {
    const apply = (head: Head) => rules.setApproval(head, version, false);
    return this.#about('disapprove', version, options, ['evidence'], apply, true);
  }

  /**
   * Points `active` to the version and `previous` to the one before. Rejects with ERR_VERSION_UNAPPROVED without `override`,
   * ERR_VERSION_QUARANTINED, ERR_ADAPTER_DISABLED, ERR_VERSION_CONFLICT.
   */
  async activate(version: string, options: ActivateOptions = {}): Promise<VersionMove> {
    requireVersionNumber('version', version);
    requireChangeOptions(options, ['expect', 'override']);
    return this.#move('activate', options, version, (head) => {
      rules.requireExpected(head, ACTIVE, options.expect);
      rules.activate(head, version, options.override ?? false);
    });
  }

  /**
   * In one step: `active` goes to `to`, else to known-good, else to previous, and the version it leaves goes into quarantine,
   * with all other aliases taken from it. Rejects with ERR_NO_ROLLBACK_TARGET, and as activate() does.
   */
  async rollback(options: RollbackOptions): Promise<VersionMove & { from: string; to: string }> {
    requireChangeOptions(options, ['expect', 'override', 'to'], true);
    const move = await this.#move('rollback', options, undefined, (head) => {
      rules.requireExpected(head, ACTIVE, options.expect);
      rules.rollBack(head, options.to, options.override ?? false);
    });
    return move as VersionMove & { from: string; to: string };
  }

  /**
   * Takes a change back that could not be carried out: aliases, quarantine and kill switch are as before it, in one step. Rejects
   * with ERR_VERSION_CONFLICT if any of that has been changed since, and with ERR_INVALID_ARGUMENT for a move that turned the
   * kill switch on, which only enable() lifts.
   */
  async undo(move: VersionMove, options: ReasonedOptions): Promise<void> {
    requireChangeOptions(options, [], true);
    if (move.disabled.to)
      fail('ERR_INVALID_ARGUMENT', 'move', 'that of disable()', 'that of activate, rollback or enable');
    return this.#change('undo', options, (head) => {
      rules.undo(head, move);
      return { version: move.to ?? undefined, result: undefined };
    });
  }

  /** Points `known-good` to an approved version. Rejects with ERR_VERSION_UNAPPROVED, ERR_VERSION_QUARANTINED, ERR_VERSION_CONFLICT. */
  promote(version: string, options: ExpectOptions = {}): Promise<void> {
    return this.#about('promote', version, options, ['expect'], (head) => {
      rules.requireExpected(head, KNOWN_GOOD, options.expect);
      rules.promote(head, version);
    });
  }

  /**
   * Points an alias of any other name, such as candidate, to a version, or, with null, to nothing. Rejects with
   * ERR_VERSION_QUARANTINED, ERR_VERSION_CONFLICT, and ERR_INVALID_ARGUMENT for aliases that have a method of their own.
   */
  async setAlias(alias: string, version: string | null, options: ExpectOptions = {}): Promise<void> {
    if (!isAlias(alias)) fail('ERR_INVALID_ARGUMENT', 'alias', alias, ALIAS_FORM);
    const method = rules.GUARDED.get(alias) ?? (alias === KNOWN_GOOD && version !== null ? 'promote' : undefined);
    if (method) fail('ERR_INVALID_ARGUMENT', 'alias', alias, `an alias that is not moved by ${method}`);
    if (version !== null) requireVersionNumber('version', version);
    requireChangeOptions(options, ['expect']);
    return this.#change('alias', options, (head) => {
      rules.requireExpected(head, alias, options.expect);
      rules.moveAlias(head, alias, version);
      return { version: version ?? undefined, result: undefined };
    });
  }

  /**
   * The kill switch: from now on nothing is active, and what was goes into quarantine. Harmless if it is on already, and then
   * `expect` is not looked at. Rejects with ERR_VERSION_CONFLICT.
   */
  async disable(options: ExpectOptions & ReasonedOptions): Promise<VersionMove> {
    requireChangeOptions(options, ['expect'], true);
    return this.#move('disable', options, undefined, (head) => {
      if (!head.disabled) rules.requireExpected(head, ACTIVE, options.expect);
      rules.disable(head);
    });
  }

  /** Lifts the kill switch by activating this version, as activate() does. */
  async enable(version: string, options: ActivateOptions & ReasonedOptions): Promise<VersionMove> {
    requireVersionNumber('version', version);
    requireChangeOptions(options, ['expect', 'override'], true);
    return this.#move('enable', options, version, (head) => {
      rules.requireExpected(head, ACTIVE, options.expect);
      rules.activate(head, version, options.override ?? false, true);
    });
  }

  /** Keeps a version from being served: its aliases are taken away. Rejects with ERR_VERSION_IN_USE for the active one. */
  quarantine(version: string, options: ReasonedOptions): Promise<void> {
    return this.#about('quarantine', version, options, [], (head) => rules.quarantine(head, version), true);
  }

  /** Takes a version out of quarantine; it must be approved anew. */
  release(version: string, options: ReasonedOptions): Promise<void> {
    return this.#about('release', version, options, [], (head) => rules.release(head, version), true);
  }

  /** Deletes a version that no alias points to, else ERR_VERSION_IN_USE. collectGarbage() frees its bytes. */
  delete(version: string, options: ChangeOptions = {}): Promise<void> {
    return this.#about('delete', version, options, [], (head) => rules.remove(head, version));
  }

  /** Deletes the versions that no alias points to and that neither rule keeps; which. collectGarbage() frees their bytes. */
  async retain(options: RetentionOptions): Promise<string[]> {
    requireChangeOptions(options, ['keepLatest', 'keepForMs']);
    const keepLatest = requireInteger('options.keepLatest', options.keepLatest, 0, Number.MAX_SAFE_INTEGER);
    const keepForMs = options.keepForMs ?? 0;
    requireNumber('options.keepForMs', keepForMs, { min: 0 });
    return this.#change('retain', options, (head) => {
      const since = Math.max(0, this.#now().getTime() - keepForMs);
      const keepSince = keepForMs > 0 ? new Date(since).toISOString() : undefined;
      const result = rules.retain(head, { keepLatest, keepSince });
      return { result, idle: result.length === 0 };
    });
  }

  /** A change of `active`, about the version named, else the one that it leads to, else the one that it leaves. */
  #move(
    operation: VersionOperation,
    options: ActivateOptions,
    version: string | undefined,
    apply: (head: Head) => void,
  ): Promise<VersionMove> {
    return this.#change(operation, options, (head) => {
      const before = copyHead(head);
      apply(head);
      const move = rules.moveOf(before, head);
      return { version: version ?? move.to ?? move.from ?? undefined, result: move };
    });
  }

  /** A change about one version that exists, without a result. */
  async #about(
    operation: VersionOperation,
    version: string,
    options: ExpectOptions & ApproveOptions,
    known: readonly string[],
    apply: (head: Head) => void,
    reasoned = false,
  ): Promise<void> {
    requireVersionNumber('version', version);
    requireChangeOptions(options, known, reasoned);
    return this.#change(operation, options, (head) => {
      apply(head);
      return { version, result: undefined };
    });
  }

  #change<T>(
    operation: VersionOperation,
    { actor, reason = undefined, override, evidence }: ActivateOptions & ApproveOptions,
    apply: (head: Head) => Promise<Applied<T>> | Applied<T>,
  ): Promise<T> {
    const who = { actor: actor ?? this.#actor, reason: reason ?? null };
    return changeHead(this.#store, this.adapter, operation, this.#now, async (head) => {
      const { version, result, idle } = await apply(head);
      return { result, details: idle ? undefined : { ...who, version, override, evidence } };
    });
  }

  async #readManifest(head: Head, version: string): Promise<VersionManifest> {
    const what = `the manifest of ${this.adapter} ${version}`;
    const bytes = await readBlob(this.#store, what, rules.requireEntry(head, version).manifest);
    return decodeManifest(bytes, this.adapter, version);
  }

  #resolve(head: Head, versionOrAlias: string): string {
    if (isVersionNumber(versionOrAlias)) {
      rules.requireEntry(head, versionOrAlias);
      return versionOrAlias;
    }
    if (!isAlias(versionOrAlias))
      fail('ERR_INVALID_ARGUMENT', 'versionOrAlias', versionOrAlias, 'a version or an alias');
    if (versionOrAlias === ACTIVE) rules.requireEnabled(head);
    const version = head.aliases.get(versionOrAlias);
    if (version !== undefined) return version;
    const what = `adapter ${JSON.stringify(this.adapter)}: ${versionOrAlias} points to nothing`;
    throw new LorakeetError('ERR_VERSION_NOT_FOUND', what);
  }
}

function versionWith(head: Head, key: string): string | undefined {
  for (const [version, entry] of head.versions) if (entry.key === key) return version;
  return undefined;
}
