/**
 * The bytes of a segment: a header, then batches. docs/packed-store.md describes every byte. A batch says where it lies, so
 * that bytes of another file or another place are never taken for one, and has a checksum for its header, one for its table
 * and one for each record, so that opening a store need not read what it holds.
 */
import { crc32 } from 'node:zlib';

export const SEGMENT_HEADER_BYTES = 32;
export const BATCH_HEADER_BYTES = 48;
const TABLE_ENTRY_BYTES = 12;
const ALIGNMENT = 8;

/** A byte order mark is part of an id. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

const SEGMENT_MAGIC = 'LORAPACK';
const SEGMENT_VERSION = 1;
const BATCH_MAGIC = 'LRBT';
/** In the place of a length: the adapter with this id was deleted. */
const DELETED = 2 ** 32 - 1;
/** The longest record that a table can tell of. */
export const MAX_RECORD_BYTES = DELETED - 1;

/** What is known of a record without reading it. */
export interface RecordPlace {
  id: string;
  /** In the segment; undefined for a deletion. */
  extent?: Extent;
}

export interface Extent {
  position: number;
  length: number;
  checksum: number;
}

/** One record to write; without bytes a deletion. */
export interface NewRecord {
  id: string;
  bytes?: Uint8Array;
  /** Where it is known: the checksum of the bytes. */
  checksum?: number;
}

export interface BatchHeader {
  recordCount: number;
  tableBytes: number;
  payloadBytes: number;
  tableChecksum: number;
}

export interface EncodedBatch {
  /** To be written one after another. */
  parts: Uint8Array[];
  byteLength: number;
  records: RecordPlace[];
}

/** The bytes that `length` bytes take: the next thing starts at a multiple of 8, where its numbers can be read in place. */
export function padded(length: number): number {
  return Math.ceil(length / ALIGNMENT) * ALIGNMENT;
}

export function encodeSegmentHeader(segment: number): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_HEADER_BYTES);
  bytes.set(Buffer.from(SEGMENT_MAGIC, 'latin1'));
  const view = viewOf(bytes);
  view.setUint32(8, SEGMENT_VERSION, true);
  view.setBigUint64(16, BigInt(segment), true);
  view.setUint32(24, crc32(bytes.subarray(0, 24)), true);
  return bytes;
}

/** What is wrong with the header of a segment; undefined: nothing. */
export function segmentHeaderFault(bytes: Uint8Array, segment: number): string | undefined {
  if (Buffer.compare(bytes, encodeSegmentHeader(segment)) === 0) return undefined;
  const view = viewOf(bytes);
  const isWhole = Buffer.from(bytes.subarray(0, 8)).toString('latin1') === SEGMENT_MAGIC;
  if (isWhole && crc32(bytes.subarray(0, 24)) === view.getUint32(24, true)) {
    const [version, number] = [view.getUint32(8, true), view.getBigUint64(16, true)];
    if (version !== SEGMENT_VERSION) return `it has version ${version}, expected ${SEGMENT_VERSION}`;
    return `it says that it is segment ${number}`;
  }
  return 'its header is not that of a segment';
}

/** A batch for this place. */
export function encodeBatch(segment: number, position: number, records: readonly NewRecord[]): EncodedBatch {
  const ids = records.map(({ id }) => Buffer.from(id, 'utf8'));
  const idBytes = ids.reduce((sum, id) => sum + id.length, 0);
  const tableBytes = padded(TABLE_ENTRY_BYTES * records.length + idBytes);
  const head = new Uint8Array(BATCH_HEADER_BYTES + tableBytes);
  const view = viewOf(head);
  const parts: Uint8Array[] = [head];
  const places: RecordPlace[] = [];
  const payloadStart = position + head.length;
  let payloadBytes = 0;
  let idPosition = BATCH_HEADER_BYTES + TABLE_ENTRY_BYTES * records.length;
  records.forEach(({ id, bytes, checksum }, i) => {
    const extent = bytes && {
      position: payloadStart + payloadBytes,
      length: bytes.length,
      checksum: checksum ?? crc32(bytes),
    };
    const entry = BATCH_HEADER_BYTES + TABLE_ENTRY_BYTES * i;
    view.setUint32(entry, extent?.length ?? DELETED, true);
    view.setUint32(entry + 4, extent?.checksum ?? 0, true);
    view.setUint32(entry + 8, ids[i].length, true);
    head.set(ids[i], idPosition);
    idPosition += ids[i].length;
    if (bytes && bytes.length > 0) {
      parts.push(bytes);
      const gap = padded(bytes.length) - bytes.length;
      if (gap > 0) parts.push(new Uint8Array(gap));
      payloadBytes += padded(bytes.length);
    }
    places.push({ id, extent });
  });
  const tableChecksum = crc32(head.subarray(BATCH_HEADER_BYTES));
  head.set(
    encodeBatchHeader(segment, position, { recordCount: records.length, tableBytes, payloadBytes, tableChecksum }),
  );
  return { parts, byteLength: head.length + payloadBytes, records: places };
}

function encodeBatchHeader(segment: number, position: number, header: BatchHeader): Uint8Array {
  const bytes = new Uint8Array(BATCH_HEADER_BYTES);
  bytes.set(Buffer.from(BATCH_MAGIC, 'latin1'));
  const view = viewOf(bytes);
  view.setBigUint64(8, BigInt(segment), true);
  view.setBigUint64(16, BigInt(position), true);
  view.setUint32(24, header.recordCount, true);
  view.setUint32(28, header.tableBytes, true);
  view.setBigUint64(32, BigInt(header.payloadBytes), true);
  view.setUint32(40, header.tableChecksum, true);
  view.setUint32(4, crc32(bytes.subarray(8)), true);
  return bytes;
}

/** The header of the batch at this place, undefined if that is none. */
export function decodeBatchHeader(bytes: Uint8Array, segment: number, position: number): BatchHeader | undefined {
  const view = viewOf(bytes);
  const header = {
    recordCount: view.getUint32(24, true),
    tableBytes: view.getUint32(28, true),
    payloadBytes: Number(view.getBigUint64(32, true)),
    tableChecksum: view.getUint32(40, true),
  };
  const expected = encodeBatchHeader(segment, position, header);
  return Buffer.compare(bytes.subarray(0, BATCH_HEADER_BYTES), expected) === 0 ? header : undefined;
}

/** The records of a batch whose payload starts at this place, undefined if the table is not what `header` says. */
export function decodeTable(table: Uint8Array, header: BatchHeader, payloadStart: number): RecordPlace[] | undefined {
  const { recordCount, payloadBytes, tableChecksum } = header;
  if (crc32(table) !== tableChecksum || TABLE_ENTRY_BYTES * recordCount > table.length) return undefined;
  const view = viewOf(table);
  const records: RecordPlace[] = [];
  let position = payloadStart;
  let idPosition = TABLE_ENTRY_BYTES * recordCount;
  for (let entry = 0; entry < TABLE_ENTRY_BYTES * recordCount; entry += TABLE_ENTRY_BYTES) {
    const length = view.getUint32(entry, true);
    const idLength = view.getUint32(entry + 8, true);
    if (idLength === 0 || idPosition + idLength > table.length) return undefined;
    const id = idOf(table.subarray(idPosition, idPosition + idLength));
    if (id === undefined) return undefined;
    idPosition += idLength;
    if (length === DELETED) {
      records.push({ id });
    } else {
      records.push({ id, extent: { position, length, checksum: view.getUint32(entry + 4, true) } });
      position += padded(length);
    }
  }
  return position === payloadStart + payloadBytes && padded(idPosition) === table.length ? records : undefined;
}

function idOf(bytes: Uint8Array): string | undefined {
  try {
    return UTF8.decode(bytes);
  } catch {
    return undefined;
  }
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
