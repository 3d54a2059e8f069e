/** From what a publisher gives to the files and the manifest of a version. */
import { readFileSync } from 'node:fs';
import { encodeMeta, type JsonObject } from '../adapter/meta.js';
import { describe, fail, rejectUnknownKeys, requireBoolean, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type ChangeOptions, requireText } from './change-options.js';
import type { Head } from './head.js';
import { readHead } from './head-changes.js';
import {
  areFileNames,
  decodeManifest,
  FILES,
  type VersionFile,
  type VersionManifest,
  type VersionParent,
} from './manifest.js';
import { requireEntry } from './rules.js';
import { compareVersions, nextVersion, requireVersionNumber } from './version-number.js';
import { readBlob, requireBlob, requireHeadName, requireSha256, type VersionStore } from './version-store.js';

export interface Publication extends ChangeOptions {
  /** The content by plain relative names, such as `{ 'adapter.bin': bytes }`; at least one. */
  files: Readonly<Record<string, Uint8Array>>;
  /** Versions that this one was made from: `v1.2` of the same adapter, `team/other@v1.0` of another. Default: none. */
  parents?: readonly string[];
  /** How it was trained; any JSON of together less than a MiB. Default: {}. */
  training?: JsonObject;
  /** Default: {}. */
  metrics?: Readonly<Record<string, number>>;
  /** The model that the adapter belongs to. Default: null. */
  baseModel?: { name: string; sha256: string } | null;
  /** A number higher than all before; default: the next one. */
  version?: string;
  /** The next number is v2.0 rather than v1.8. Default: false. */
  major?: boolean;
  /**
   * Such as the id of a job, up to 200 characters: where a version of this adapter has been published with it, that one is
   * the answer, whatever its content, and nothing is added. For as long as that version is not deleted. Default: none.
   */
  key?: string;
}

const KEYS = ['files', 'parents', 'training', 'metrics', 'baseModel', 'version', 'major', 'key', 'actor', 'reason'];

/** Throws ERR_INVALID_ARGUMENT, ERR_INVALID_CONFIG, ERR_PATH_NOT_ALLOWED. */
export function requirePublication(publication: Publication): void {
  if (typeof publication !== 'object' || publication === null) {
    fail('ERR_INVALID_ARGUMENT', 'publication', publication, 'an object with files');
  }
  rejectUnknownKeys('publication', publication, KEYS);
  const { files, parents = [], training = {}, metrics = {}, baseModel = null, version, major = false } = publication;
  if (publication.key !== undefined) requireKey('key', publication.key);
  if (typeof files !== 'object' || files === null) fail('ERR_INVALID_ARGUMENT', 'files', files, 'bytes by name');
  for (const [name, bytes] of Object.entries(files)) requireBlob(`files[${JSON.stringify(name)}]`, bytes);
  if (!areFileNames(Object.keys(files))) {
    const names = Object.keys(files).slice(0, 10).map(describe).join(', ');
    throw new LorakeetError('ERR_PATH_NOT_ALLOWED', `files: got ${names || 'none'}, expected ${FILES}`);
  }
  if (!Array.isArray(parents)) fail('ERR_INVALID_ARGUMENT', 'parents', parents, 'an array of versions');
  parents.forEach((parent, i) => void parseParent(`parents[${i}]`, '', parent));
  encodeMeta('files', Object.fromEntries(Object.keys(files).map((name) => [name, null])));
  encodeMeta('training', training);
  encodeMeta('metrics', metrics as JsonObject);
  for (const [name, value] of Object.entries(metrics)) {
    requireNumber(`metrics.${name}`, value, {}, 'ERR_INVALID_ARGUMENT');
  }
  if (baseModel !== null) {
    if (typeof baseModel?.name !== 'string') fail('ERR_INVALID_ARGUMENT', 'baseModel', baseModel, '{ name, sha256 }');
    requireSha256('baseModel.sha256', baseModel.sha256);
  }
  if (version !== undefined) requireVersionNumber('version', version);
  requireBoolean('major', major);
}

/** Puts the files, before anything points to them. */
export async function putFiles(store: VersionStore, { files }: Publication): Promise<VersionManifest['files']> {
  const put: [string, VersionFile][] = [];
  for (const [name, bytes] of Object.entries(files)) {
    put.push([name, { sha256: await store.putBlob(bytes), sizeBytes: bytes.length }]);
  }
  return Object.fromEntries(put);
}

/**
 * The parents with the hashes of their manifests, each put once more, so that it outlives a clean-up which runs meanwhile.
 * Rejects with ERR_VERSION_NOT_FOUND.
 */
export async function pinParents(store: VersionStore, head: Head, parents: readonly string[] = []) {
  const pinned: VersionParent[] = [];
  for (const [i, text] of parents.entries()) {
    const parent = parseParent(`parents[${i}]`, head.adapter, text);
    const itsHead = parent.adapter === head.adapter ? head : (await readHead(store, parent.adapter)).head;
    const { manifest } = requireEntry(itsHead, parent.version);
    const bytes = await readBlob(store, `the manifest of ${parent.adapter} ${parent.version}`, manifest);
    decodeManifest(bytes, parent.adapter, parent.version);
    await store.putBlob(bytes);
    pinned.push({ ...parent, manifest });
  }
  return pinned;
}

/** The number of the new version. Throws ERR_VERSION_CONFLICT for one that is not higher than all before. */
export function chooseNumber({ adapter, highest }: Head, { version, major = false }: Publication): string {
  if (version === undefined) return nextVersion(highest, major);
  if (highest !== null && compareVersions(version, highest) <= 0) {
    const what = `adapter ${describe(adapter)}: version: got ${version}, expected one above ${highest}`;
    throw new LorakeetError('ERR_VERSION_CONFLICT', what);
  }
  return version;
}

const MAX_KEY = 200;

const PACKAGE = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };
/** Of this package. */
export const LIBRARY_VERSION = PACKAGE.version;

/** Throws ERR_INVALID_ARGUMENT. */
export function requireKey(name: string, value: unknown): string {
  const key = requireText(name, value);
  if (key.length > MAX_KEY) fail('ERR_INVALID_ARGUMENT', name, value, `at most ${MAX_KEY} characters`);
  return key;
}

function parseParent(name: string, adapter: string, text: unknown): { adapter: string; version: string } {
  if (typeof text !== 'string') fail('ERR_INVALID_ARGUMENT', name, text, 'a version such as v1.2 or team/other@v1.0');
  const at = text.lastIndexOf('@');
  const version = requireVersionNumber(name, text.slice(at + 1));
  return { adapter: at < 0 ? adapter : requireHeadName(text.slice(0, at)), version };
}
