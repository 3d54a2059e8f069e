/**
 * Where versions lie: blobs that never change, named by their SHA-256, and one small document per adapter, its head, which is
 * replaced by compare-and-set. Whatever is true of an adapter hangs from its head, so one conditional write is all that a
 * store must do in one step; S3 can, and so can a row of a database. versionStoreConformance in src/testing is what an
 * implementation must pass.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { types } from 'node:util';
import { describe, fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { requireRelativeName } from '../files/confined-path.js';

/** node:crypto and Buffer take less than 2 GiB in one piece. */
export const MAX_BLOB_BYTES = 2 ** 31 - 1;

export interface StoredBlob {
  sha256: string;
  sizeBytes: number;
  /** When it was last put. */
  putAt: Date;
}

export interface StoredHead {
  bytes: Uint8Array;
  /** Another one after every write, and none comes back. */
  revision: string;
}

/**
 * Content by its hash, a part of every VersionStore, so that a store may also keep its blobs in another one. All methods
 * reject as those of VersionStore do.
 */
export interface BlobStore {
  /** Stores the bytes, at most MAX_BLOB_BYTES, under their SHA-256 (64 hexadecimal digits). Sets putAt also if they are there. */
  putBlob(bytes: Uint8Array): Promise<string>;

  /** The bytes as the store has them, or undefined: readBlob() below holds them against their name. */
  getBlob(sha256: string): Promise<Uint8Array | undefined>;

  /**
   * Removes the blob, unless it has been put at or after `putBefore`, also meanwhile. Whether it has removed it. A store that
   * cannot check and remove in one step may err for puts that happen during the call.
   */
  deleteBlob(sha256: string, putBefore: Date): Promise<boolean>;

  /** Every blob, in any order; of those put or removed meanwhile, any. */
  listBlobs(): AsyncIterable<StoredBlob>;
}

/**
 * All methods reject, nothing changed, with ERR_INVALID_ARGUMENT or ERR_PATH_NOT_ALLOWED for arguments that the checks below
 * refuse, and with ERR_STORE_UNAVAILABLE or ERR_FILE_ACCESS when the store fails; over a network a write that rejects so may
 * have happened, whole. What has resolved is durable.
 */
export interface VersionStore extends BlobStore {
  /** `name` is a relative path of plain names, such as team/adapter-1. */
  getHead(name: string): Promise<StoredHead | undefined>;

  /**
   * Writes the head if its revision is still `expected`, undefined for none there yet: the new revision, or undefined if
   * that does not hold; over a network also if it did, but the answer was lost and then another write came. Of any number at
   * once exactly one succeeds.
   */
  setHead(name: string, bytes: Uint8Array, expected: string | undefined): Promise<string | undefined>;

  /** The names of all heads, in any order. */
  listHeads(): AsyncIterable<string>;
}

/** Some ten milliseconds. */
const HASH_SLICE_BYTES = 2 ** 23;

const SHA256 = /^[0-9a-f]{64}$/;

export function isSha256(value: unknown): value is string {
  return typeof value === 'string' && SHA256.test(value);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function requireSha256(name: string, value: unknown): string {
  if (!isSha256(value)) fail('ERR_INVALID_ARGUMENT', name, value, '64 hexadecimal digits in lower case');
  return value;
}

/** The check of putBlob and setHead. Throws ERR_INVALID_ARGUMENT. */
export function requireBlob(name: string, value: unknown): Uint8Array {
  if (!types.isUint8Array(value) || value.length > MAX_BLOB_BYTES) {
    fail('ERR_INVALID_ARGUMENT', name, value, `a Uint8Array of at most ${MAX_BLOB_BYTES} bytes`);
  }
  return value;
}

/** The check of heads. Throws ERR_PATH_NOT_ALLOWED. */
export function requireHeadName(value: unknown): string {
  return requireRelativeName('name', value);
}

/** What requireHeadName lets pass. */
export function isHeadName(value: unknown): value is string {
  try {
    return requireHeadName(value) === value;
  } catch {
    return false;
  }
}

/** The check of deleteBlob. Throws ERR_INVALID_ARGUMENT. */
export function requireDate(name: string, value: unknown): Date {
  if (!types.isDate(value) || Number.isNaN(value.getTime())) fail('ERR_INVALID_ARGUMENT', name, value, 'a valid Date');
  return value;
}

export function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The same, others having the thread in between where it takes long. */
export async function hashBlob(bytes: Uint8Array): Promise<string> {
  const hash = createHash('sha256');
  for (let from = 0; from < bytes.length; from += HASH_SLICE_BYTES) {
    if (from > 0) await turn();
    hash.update(bytes.subarray(from, from + HASH_SLICE_BYTES));
  }
  return hash.digest('hex');
}

/**
 * The bytes of a blob that something points to. Rejects with ERR_STORE_FAILURE, naming `what`, where they are missing or not
 * those of their name.
 */
export async function readBlob(store: BlobStore, what: string, sha256: string): Promise<Uint8Array> {
  const bytes = await store.getBlob(sha256);
  if (bytes === undefined) throw new LorakeetError('ERR_STORE_FAILURE', `${what}: the store has no blob ${sha256}`);
  const found = await hashBlob(requireBlob(what, bytes));
  if (found !== sha256) {
    const got = `${describe(bytes)} with SHA-256 ${found}`;
    throw new LorakeetError('ERR_STORE_FAILURE', `${what}: got ${got}, expected SHA-256 ${sha256}`);
  }
  return bytes;
}
