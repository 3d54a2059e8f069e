/** Many adapters in one piece of bytes: a count, and each blob with its length. Bytes: docs/adapter-format.md. */
import { fail, requireInteger } from '../checks.js';
import { MIN_ADAPTER_BYTES } from './codec.js';
import {
  allocateEnvelope,
  CHECKSUM_BYTES,
  type EnvelopeKind,
  openEnvelope,
  PREAMBLE_BYTES,
  requireBytes,
  sealEnvelope,
  viewOf,
} from './envelope.js';

const HEADER_BYTES = PREAMBLE_BYTES + 4;
/** What the length of a blob, a u32, can say. */
const MAX_BLOB_BYTES = 2 ** 32 - 1;
const SNAPSHOT: EnvelopeKind = {
  what: 'snapshot',
  magic: 'LORASNAP',
  version: 1,
  minLength: HEADER_BYTES + CHECKSUM_BYTES,
};

/** The blobs, as encodeAdapter made them, in one piece. Throws ERR_INVALID_ARGUMENT for what cannot be an adapter. */
export function encodeSnapshot(adapters: Iterable<Uint8Array>): Uint8Array {
  if (typeof adapters?.[Symbol.iterator] !== 'function') {
    fail('ERR_INVALID_ARGUMENT', 'adapters', adapters, 'an iterable of Uint8Arrays');
  }
  const blobs = Array.from(adapters, (adapter, i) => requireBlob(`adapters[${i}]`, adapter));
  const total = blobs.reduce((sum, blob) => sum + 4 + blob.length, HEADER_BYTES + CHECKSUM_BYTES);
  const bytes = allocateEnvelope(SNAPSHOT, total);
  const view = viewOf(bytes);
  view.setUint32(PREAMBLE_BYTES, blobs.length, true);
  let position = HEADER_BYTES;
  for (const blob of blobs) {
    view.setUint32(position, blob.length, true);
    bytes.set(blob, position + 4);
    position += 4 + blob.length;
  }
  sealEnvelope(SNAPSHOT, bytes);
  return bytes;
}

/**
 * The blobs of a snapshot in their order, as views into `bytes`, for decodeAdapter to read. The whole frame is checked
 * before anything is returned; errors as for decodeAdapter.
 */
export function decodeSnapshot(bytes: Uint8Array): Uint8Array[] {
  const content = openEnvelope(SNAPSHOT, bytes);
  const view = viewOf(content);
  const count = view.getUint32(PREAMBLE_BYTES, true);
  const blobs: Uint8Array[] = [];
  let position = HEADER_BYTES;
  for (let i = 0; i < count; i++) {
    const room = content.length - position - 4;
    if (room < MIN_ADAPTER_BYTES) {
      fail('ERR_ADAPTER_CORRUPT', `snapshot.adapters[${i}]`, room, `room for at least ${MIN_ADAPTER_BYTES} bytes`);
    }
    const length = view.getUint32(position, true);
    requireInteger(`snapshot.adapters[${i}].byteLength`, length, MIN_ADAPTER_BYTES, room, 'ERR_ADAPTER_CORRUPT');
    blobs.push(content.subarray(position + 4, position + 4 + length));
    position += 4 + length;
  }
  if (position !== content.length) {
    fail('ERR_ADAPTER_CORRUPT', 'snapshot.byteLength', content.length, `${position}, the end of the last adapter`);
  }
  return blobs;
}

function requireBlob(name: string, value: unknown): Uint8Array {
  const blob = requireBytes(name, value);
  if (blob.length < MIN_ADAPTER_BYTES || blob.length > MAX_BLOB_BYTES) {
    fail('ERR_INVALID_ARGUMENT', name, blob, `the bytes of an adapter, at least ${MIN_ADAPTER_BYTES} and below 4 GiB`);
  }
  return blob;
}
