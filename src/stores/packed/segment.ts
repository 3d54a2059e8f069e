/** One file of a packed store: whole batches, one after another; bytes that are written never change. */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { crc32 } from 'node:zlib';
import { LorakeetError } from '../../errors.js';
import { syncFolder, writeSynced } from '../../files/atomic-write.js';
import { accessFile, type RandomAccess } from '../../files/random-access.js';
import {
  BATCH_HEADER_BYTES,
  decodeBatchHeader,
  decodeTable,
  type EncodedBatch,
  type Extent,
  encodeBatch,
  encodeSegmentHeader,
  type NewRecord,
  type RecordPlace,
  SEGMENT_HEADER_BYTES,
  segmentHeaderFault,
} from './format.js';

/** Enough for the header and the table of most batches; what is read too much is part of the payload. */
const LOOK_AHEAD_BYTES = 16_384;
const ZEROS_CHUNK_BYTES = 2 ** 20;

/** What is told of the segments that are opened. */
export interface SegmentSink {
  /** Before its records. */
  addSegment(segment: Segment): void;
  /** A batch of its records. */
  add(segment: Segment, records: readonly RecordPlace[]): void;
}

interface Batch {
  records: RecordPlace[];
  /** Where the next one starts. */
  end: number;
}

export class Segment {
  readonly number: number;
  readonly path: string;
  /** Of the batches that are whole and synced. */
  byteLength: number;
  readonly #file: RandomAccess;
  #writing: FileHandle | undefined;
  /** Behind the last batch there may be part of one whose write failed. */
  #hasRest = false;
  #readers = 0;
  #isRemoved = false;

  private constructor(number: number, path: string, byteLength: number, file: RandomAccess) {
    this.number = number;
    this.path = path;
    this.byteLength = byteLength;
    this.#file = file;
  }

  /** A new file, empty but for its header, that survives the power. Throws ERR_FILE_ACCESS. */
  static async create(path: string, number: number): Promise<Segment> {
    await writeSynced(path, (append) => append(encodeSegmentHeader(number)));
    await attempt(path, () => syncFolder(dirname(path)));
    return new Segment(number, path, SEGMENT_HEADER_BYTES, await accessFile(path));
  }

  /**
   * Opens a file and tells `sink` what is in it. The last file of a store may end within a batch that was being written when
   * the process or the power died: that is cut off, and a file that has no header yet is removed. Throws ERR_STORE_CORRUPT
   * for anything else that is not as it was written, ERR_FILE_ACCESS.
   */
  static async open(path: string, number: number, isLast: boolean, sink: SegmentSink): Promise<void> {
    const file = await accessFile(path);
    const segment = new Segment(number, path, file.byteLength, file);
    try {
      if (isLast && (await segment.#hasNoHeaderYet())) {
        await segment.remove();
        return;
      }
      await segment.#requireHeader();
      sink.addSegment(segment);
      const end = await segment.#readBatches(isLast, sink);
      if (end < segment.byteLength) await segment.#cut(end);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get hasBatches(): boolean {
    return this.byteLength > SEGMENT_HEADER_BYTES;
  }

  /** The batches in their order, from what is known to be whole; as of the moment when each is asked for. */
  async *batches(): AsyncGenerator<Batch> {
    for (let position = SEGMENT_HEADER_BYTES; position < this.byteLength; ) {
      const batch = await this.#readTable(position);
      if (typeof batch === 'string') throw this.damaged(position, batch);
      yield batch;
      position = batch.end;
    }
  }

  /** Writes a batch behind the last one and syncs it. If that fails the file ends where it did. Throws ERR_FILE_ACCESS. */
  async append(records: readonly NewRecord[]): Promise<EncodedBatch> {
    if (this.#hasRest) await this.#cut(this.byteLength);
    const batch = encodeBatch(this.number, this.byteLength, records);
    try {
      this.#hasRest = true;
      await attempt(this.path, async () => {
        this.#writing ??= await open(this.path, 'r+');
        await writeAll(this.#writing, batch.parts, this.byteLength);
        await this.#writing.datasync();
      });
    } catch (error) {
      // if even that fails, the next append tries it first
      await this.#cut(this.byteLength).catch(() => undefined);
      throw error;
    }
    this.#hasRest = false;
    this.byteLength += batch.byteLength;
    return batch;
  }

  /** The bytes of a record, held against their checksum. Throws ERR_STORE_CORRUPT, ERR_FILE_ACCESS. */
  async read(extent: Extent): Promise<Uint8Array> {
    const bytes = await this.#file.read(extent.position, extent.length);
    return this.#checked(extent, bytes);
  }

  /** Records that lie one after another, in one read; views into memory that they share. Throws as read does. */
  async readRun(extents: readonly Extent[]): Promise<Uint8Array[]> {
    const start = extents[0].position;
    const last = extents[extents.length - 1];
    const bytes = await this.#file.read(start, last.position + last.length - start);
    return extents.map((extent) => {
      const from = extent.position - start;
      return this.#checked(extent, bytes.subarray(from, from + extent.length));
    });
  }

  #checked(extent: Extent, bytes: Uint8Array): Uint8Array {
    if (crc32(bytes) === extent.checksum) return bytes;
    throw this.damaged(extent.position, `${extent.length} bytes do not match their checksum`);
  }

  damaged(position: number, what: string): LorakeetError {
    return new LorakeetError('ERR_STORE_CORRUPT', `${this.path}: damaged at offset ${position}: ${what}`);
  }

  /** Until released it can be read, also if it is removed. */
  hold(): void {
    this.#readers += 1;
  }

  release(): void {
    this.#readers -= 1;
    // a failure to close what was only read loses nothing
    if (this.#isRemoved && this.#readers === 0) void this.#file.close().catch(() => undefined);
  }

  /** No more is written to it. */
  async seal(): Promise<void> {
    await this.#writing?.close();
    this.#writing = undefined;
  }

  /** Removes the file; it does not come back. Throws ERR_FILE_ACCESS. */
  async remove(): Promise<void> {
    await this.seal();
    await attempt(this.path, async () => {
      await rm(this.path);
      await syncFolder(dirname(this.path));
    });
    this.#isRemoved = true;
    if (this.#readers === 0) await this.#file.close();
  }

  async close(): Promise<void> {
    await this.seal();
    await this.#file.close();
  }

  /** The process or the power died while the file was being made. */
  async #hasNoHeaderYet(): Promise<boolean> {
    if (this.byteLength < SEGMENT_HEADER_BYTES) return true;
    return this.byteLength === SEGMENT_HEADER_BYTES && (await this.#isZeroFrom(0));
  }

  async #requireHeader(): Promise<void> {
    if (this.byteLength < SEGMENT_HEADER_BYTES) throw this.damaged(0, 'it is shorter than its header');
    const fault = segmentHeaderFault(await this.#file.read(0, SEGMENT_HEADER_BYTES), this.number);
    if (fault) throw this.damaged(0, fault);
  }

  /** Where the last whole batch ends. */
  async #readBatches(isLast: boolean, sink: SegmentSink): Promise<number> {
    let position = SEGMENT_HEADER_BYTES;
    let last: readonly RecordPlace[] = [];
    while (position < this.byteLength) {
      const batch = await this.#readTable(position);
      if (typeof batch === 'string') {
        if (isLast && (batch === CUT_SHORT || (await this.#isZeroFrom(position)))) break;
        throw this.damaged(position, batch);
      }
      sink.add(this, batch.records);
      last = batch.records;
      position = batch.end;
    }
    // every batch was synced before the next one was begun, so only the last can have been lost from memory
    if (isLast) for (const { extent } of last) if (extent) await this.read(extent);
    return position;
  }

  /** The batch at this position, or what is wrong with it. */
  async #readTable(position: number): Promise<Batch | string> {
    const room = this.byteLength - position;
    if (room < BATCH_HEADER_BYTES) return CUT_SHORT;
    const front = await this.#file.read(position, Math.min(room, LOOK_AHEAD_BYTES));
    const header = decodeBatchHeader(front, this.number, position);
    if (!header) return 'no batch of this segment starts there';
    const payloadStart = position + BATCH_HEADER_BYTES + header.tableBytes;
    const end = payloadStart + header.payloadBytes;
    if (end > this.byteLength) return CUT_SHORT;
    const inFront = front.subarray(BATCH_HEADER_BYTES, BATCH_HEADER_BYTES + header.tableBytes);
    const isInFront = inFront.length === header.tableBytes;
    const table = isInFront ? inFront : await this.#file.read(position + BATCH_HEADER_BYTES, header.tableBytes);
    const records = decodeTable(table, header, payloadStart);
    return records ? { records, end } : 'the table of the batch does not match its checksum';
  }

  /** As a file ends of which the length was written before the power failed, and the content was not. */
  async #isZeroFrom(position: number): Promise<boolean> {
    for (let at = position; at < this.byteLength; at += ZEROS_CHUNK_BYTES) {
      const bytes = await this.#file.read(at, Math.min(ZEROS_CHUNK_BYTES, this.byteLength - at));
      if (bytes.some((byte) => byte !== 0)) return false;
    }
    return true;
  }

  async #cut(byteLength: number): Promise<void> {
    await attempt(this.path, async () => {
      this.#writing ??= await open(this.path, 'r+');
      await this.#writing.truncate(byteLength);
      await this.#writing.datasync();
    });
    this.byteLength = byteLength;
    this.#hasRest = false;
  }
}

const CUT_SHORT = 'the file ends within a batch';

async function writeAll(file: FileHandle, parts: readonly Uint8Array[], position: number): Promise<void> {
  let rest = parts;
  let at = position;
  while (rest.length > 0) {
    let { bytesWritten } = await file.writev(rest as Uint8Array[], at);
    at += bytesWritten;
    let done = 0;
    while (done < rest.length && bytesWritten >= rest[done].length) bytesWritten -= rest[done++].length;
    rest = rest.slice(done);
    if (bytesWritten > 0) rest = [rest[0].subarray(bytesWritten), ...rest.slice(1)];
  }
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be written (${cause})`, { cause });
  }
}
