/** What a version is made of and where it comes from. A manifest is a blob: its hash stands for the whole version. */
import type { JsonObject } from '../adapter/meta.js';
import { requireRelativeName } from '../files/confined-path.js';
import { DocumentReader, encodeDocument, hasShape, isCount, isText } from './document.js';
import { isVersionNumber } from './version-number.js';
import { isSha256 } from './version-store.js';

export interface VersionFile {
  sha256: string;
  sizeBytes: number;
}

/** A version that this one was made from, pinned by the hash of its manifest. */
export interface VersionParent {
  adapter: string;
  version: string;
  manifest: string;
}

export interface VersionManifest {
  adapter: string;
  version: string;
  /** ISO 8601, UTC. */
  createdAt: string;
  author: string | null;
  /** By name, such as adapter.bin. */
  files: Record<string, VersionFile>;
  parents: VersionParent[];
  /** The model that the adapter belongs to, where there is one; the hash is whatever identifies its weights. */
  baseModel: { name: string; sha256: string } | null;
  /** Provenance of the training, as the publisher tells it. */
  training: JsonObject;
  metrics: Record<string, number>;
  /** Of lorakeet. */
  libraryVersion: string;
}

export function encodeManifest(manifest: VersionManifest): Uint8Array {
  return encodeDocument('the manifest', manifest as unknown as JsonObject);
}

/** Throws ERR_STORE_FAILURE unless `bytes` are a manifest of that version of that adapter. */
export function decodeManifest(bytes: Uint8Array, adapter: string, version: string): VersionManifest {
  const reader = new DocumentReader(`the manifest of ${adapter} ${version}`, bytes);
  const manifest = {
    adapter: reader.take('adapter', JSON.stringify(adapter), (value): value is string => value === adapter),
    version: reader.take('version', version, (value): value is string => value === version),
    createdAt: reader.time('createdAt'),
    author: reader.optional('author', 'a string', isText),
    files: reader.object('files') as unknown as Record<string, VersionFile>,
    parents: reader.array('parents') as unknown as VersionParent[],
    baseModel: reader.optional('baseModel', '{ name, sha256 }', isBaseModel),
    training: reader.object('training'),
    metrics: reader.object('metrics') as Record<string, number>,
    libraryVersion: reader.text('libraryVersion'),
  };
  reader.end();
  if (!areFiles(manifest.files)) reader.refuse('files', manifest.files, FILES);
  if (!manifest.parents.every(isParent)) reader.refuse('parents', manifest.parents, 'an array of versions');
  const wrong = Object.entries(manifest.metrics).find(([, value]) => typeof value !== 'number');
  if (wrong) reader.refuse(`metrics.${wrong[0]}`, wrong[1], 'a finite number');
  return manifest;
}

export const FILES = 'at least one { sha256, sizeBytes } by plain names that do not differ in case alone';

/** Names that any file system can hold side by side. */
export function areFileNames(names: readonly string[]): boolean {
  return (
    names.length > 0 &&
    names.every(isRelativeName) &&
    new Set(names.map((name) => name.toLowerCase())).size === names.length
  );
}

function areFiles(files: Record<string, VersionFile>): boolean {
  const shape = { sha256: isSha256, sizeBytes: isCount };
  return areFileNames(Object.keys(files)) && Object.values(files).every((file) => hasShape({ ...file }, shape));
}

function isBaseModel(value: unknown): value is { name: string; sha256: string } {
  return hasShape(value as JsonObject, { name: isText, sha256: isSha256 });
}

function isParent(value: unknown): boolean {
  return hasShape(value as JsonObject, { adapter: isRelativeName, version: isVersionNumber, manifest: isSha256 });
}

function isRelativeName(value: unknown): boolean {
  try {
    requireRelativeName('name', value);
    return true;
  } catch {
    return false;
  }
}
