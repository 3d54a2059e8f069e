/**
 * What every lorakeet file has in common: eight magic bytes and a format version in front, and at the end the SHA-256 of
 * everything before it. The checksum finds damage; it is no signature. docs/adapter-format.md has the bytes.
 */
import { createHash } from 'node:crypto';
import { types } from 'node:util';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';

export interface EnvelopeKind {
  /** For messages: 'adapter'. */
  readonly what: string;
  /** Eight ASCII characters. */
  readonly magic: string;
  /** The only format version written and read. */
  readonly version: number;
  /** Shortest possible file, checksum included. */
  readonly minLength: number;
}

/** Magic and version: where the content of a file starts. */
export const PREAMBLE_BYTES = 12;
export const CHECKSUM_BYTES = 32;

/** node:crypto takes less than 2 GiB in one piece. */
const HASH_CHUNK_BYTES = 2 ** 28;

/** Zeroed bytes for a file; throws ERR_OUT_OF_MEMORY rather than a RangeError. */
export function allocateEnvelope(kind: EnvelopeKind, byteLength: number): Uint8Array {
  try {
    return new Uint8Array(byteLength);
  } catch (cause) {
    throw new LorakeetError('ERR_OUT_OF_MEMORY', `${kind.what}: cannot allocate ${byteLength} bytes`, { cause });
  }
}

export function writePreamble(kind: EnvelopeKind, bytes: Uint8Array): void {
  bytes.set(Buffer.from(kind.magic, 'latin1'));
  viewOf(bytes).setUint32(8, kind.version, true);
}

/** Fills in magic, version and, last, the checksum of `bytes`, whose content is complete. */
export function sealEnvelope(kind: EnvelopeKind, bytes: Uint8Array): void {
  writePreamble(kind, bytes);
  const end = bytes.length - CHECKSUM_BYTES;
  bytes.set(sha256(bytes.subarray(0, end)), end);
}

/**
 * Checks type, length, magic, version and checksum, and returns the bytes in front of the checksum. Throws
 * ERR_INVALID_ARGUMENT, ERR_ADAPTER_VERSION for a newer version (before the checksum, which that version may define
 * otherwise), and ERR_ADAPTER_CORRUPT for everything else.
 */
export function openEnvelope(kind: EnvelopeKind, input: unknown): Uint8Array {
  const bytes = requireBytes('bytes', input);
  if (bytes.length < kind.minLength) {
    fail('ERR_ADAPTER_CORRUPT', 'bytes', bytes, `at least the ${kind.minLength} bytes of the smallest ${kind.what}`);
  }
  const magic = Buffer.from(bytes.subarray(0, 8)).toString('latin1');
  if (magic !== kind.magic) fail('ERR_ADAPTER_CORRUPT', `the ${kind.what}'s magic`, magic, JSON.stringify(kind.magic));
  const version = viewOf(bytes).getUint32(8, true);
  if (version > kind.version) {
    fail('ERR_ADAPTER_VERSION', `the ${kind.what}'s format version`, version, `at most ${kind.version}`);
  }
  if (version !== kind.version) {
    fail('ERR_ADAPTER_CORRUPT', `the ${kind.what}'s format version`, version, `${kind.version}`);
  }
  const content = bytes.subarray(0, bytes.length - CHECKSUM_BYTES);
  if (!sha256(content).equals(bytes.subarray(content.length))) {
    fail('ERR_ADAPTER_CORRUPT', 'bytes', bytes, `${kind.what} bytes that match their checksum (damaged or cut short)`);
  }
  return content;
}

/** A plain view of any Uint8Array (a Buffer's slice shares memory, a Uint8Array's does not), or ERR_INVALID_ARGUMENT. */
export function requireBytes(name: string, value: unknown): Uint8Array {
  if (!types.isUint8Array(value)) fail('ERR_INVALID_ARGUMENT', name, value, 'a Uint8Array');
  // also what a detached array looks like, of which no view can be made
  if (value.length === 0) return new Uint8Array(0);
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function sha256(bytes: Uint8Array): Buffer {
  const hash = createHash('sha256');
  for (let start = 0; start < bytes.length; start += HASH_CHUNK_BYTES) {
    hash.update(bytes.subarray(start, start + HASH_CHUNK_BYTES));
  }
  return hash.digest();
}
