/** Millions of small adapters in few files: they are appended, many at a time, and found through an index in memory. */
import { mkdir, readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fail, rejectUnknownKeys, requireInteger } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { confinePath } from '../../files/confined-path.js';
import { consoleLogger, type Logger } from '../../logger.js';
import {
  type AdapterCollection,
  requireAdapterIds,
  requireStoredAdapters,
  type StoredAdapter,
} from '../../versions/adapter-store.js';
import { Compaction } from './compaction.js';
import { MAX_RECORD_BYTES } from './format.js';
import { liveRecords } from './live-records.js';
import { type FolderLock, lockFolder } from './lock.js';
import { Places } from './places.js';
import { Segment } from './segment.js';
import { Writer } from './writer.js';

const DEFAULT_SEGMENT_BYTES = 2 ** 28;
const SEGMENT_NAME = /^(\d{8,15})\.segment$/;

export interface PackedStoreOptions {
  /** A file that would become longer is followed by another one; 4096 … 2³⁶, default 2²⁸. */
  segmentBytes?: number;
  /** Is told of segments that cannot be compacted; default: the console. */
  logger?: Logger;
}

export interface PackedStoreStats {
  adapters: number;
  segments: number;
  /** Of all files. */
  sizeBytes: number;
  /** What of them is of use, about. */
  liveBytes: number;
}

/**
 * A store in a folder, for one process at a time. What save() and delete() have acknowledged survives the process and the
 * power; calls that come at once are synced together. The index takes some 160 bytes of memory for each adapter. The room of
 * what was replaced or deleted comes back in the background, once it is half of a segment, or with compact().
 */
export class PackedAdapterStore implements AdapterCollection {
  readonly #places: Places;
  readonly #lock: FolderLock;
  readonly #writer: Writer;
  readonly #compaction: Compaction;
  #closing: Promise<void> | undefined;

  private constructor(folder: string, places: Places, active: Segment, lock: FolderLock, options: PackedStoreOptions) {
    const { segmentBytes = DEFAULT_SEGMENT_BYTES, logger = consoleLogger } = options;
    this.#places = places;
    this.#lock = lock;
    const pathOf = (number: number) => join(folder, nameOf(number));
    this.#writer = new Writer(places, active, segmentBytes, pathOf, () => this.#compaction.start());
    this.#compaction = new Compaction(places, this.#writer, logger);
  }

  /**
   * Opens the store in this folder, made when missing. What a process was writing when it was killed is cut off: it was not
   * acknowledged. Rejects with ERR_STORE_UNAVAILABLE while the store is open elsewhere, ERR_STORE_CORRUPT naming file and
   * offset, ERR_FILE_ACCESS, ERR_PATH_NOT_ALLOWED where links lead out of the folder, ERR_SQLITE_UNAVAILABLE where there is
   * no SQLite (Node before 22.13 without the package @photostructure/sqlite), whose locks it uses, ERR_INVALID_CONFIG.
   */
  static async open(folder: string, options: PackedStoreOptions = {}): Promise<PackedAdapterStore> {
    requireOptions(options);
    const root = resolve(folder);
    await attempt(root, () => mkdir(root, { recursive: true }));
    const lock = lockFolder(await confinePath(root, 'lock.db'), `the packed store in ${root}`);
    const places = new Places();
    try {
      await openSegments(root, places);
      const active = [...places.segments()].at(-1) as Segment;
      return new PackedAdapterStore(root, places, active, lock, options);
    } catch (error) {
      await closeAll(places);
      lock.release();
      throw error;
    }
  }

  /** Adapters held. */
  get size(): number {
    return this.#places.size;
  }

  stats(): PackedStoreStats {
    const segments = [...this.#places.segments()];
    const sum = (bytesOf: (segment: Segment) => number) => segments.reduce((total, one) => total + bytesOf(one), 0);
    return {
      adapters: this.#places.size,
      segments: segments.length,
      sizeBytes: sum((segment) => segment.byteLength),
      liveBytes: sum((segment) => this.#places.liveBytesOf(segment)),
    };
  }

  /** Rejects with ERR_STORE_CORRUPT naming file and offset, ERR_FILE_ACCESS. */
  async load(ids: readonly string[]): Promise<(Uint8Array | undefined)[]> {
    requireAdapterIds(ids);
    this.#requireOpen();
    return Promise.all(
      ids.map(async (id) => {
        const place = this.#places.get(id);
        if (!place) return undefined;
        place.segment.hold();
        try {
          return await place.segment.read(place.extent);
        } finally {
          place.segment.release();
        }
      }),
    );
  }

  /** Rejects with ERR_FILE_ACCESS. */
  async save(adapters: readonly StoredAdapter[]): Promise<void> {
    requireStoredAdapters(adapters);
    adapters.forEach(({ bytes }, i) => {
      if (bytes.length > MAX_RECORD_BYTES) {
        fail('ERR_INVALID_ARGUMENT', `adapters[${i}].bytes`, bytes, `at most ${MAX_RECORD_BYTES} bytes`);
      }
    });
    this.#requireOpen();
    await this.#writer.write(adapters);
  }

  /** Rejects with ERR_FILE_ACCESS. */
  async delete(ids: readonly string[]): Promise<void> {
    requireAdapterIds(ids);
    this.#requireOpen();
    await this.#writer.write(ids.map((id) => ({ id })));
  }

  /** In the order in which they were written, some MiB at a time. Throws ERR_STORE_CORRUPT, ERR_FILE_ACCESS. */
  async *entries(): AsyncGenerator<readonly StoredAdapter[]> {
    this.#requireOpen();
    for await (const records of liveRecords(this.#places, this.#places.segments())) {
      yield records.map(({ id, bytes }) => ({ id, bytes }));
      this.#requireOpen();
    }
  }

  /**
   * Removes everything that was replaced or deleted from the disk, now. Rejects with ERR_STORE_CORRUPT or ERR_FILE_ACCESS if a
   * segment could not be compacted, with all others done and nothing lost.
   */
  async compact(): Promise<void> {
    this.#requireOpen();
    await this.#compaction.compactAll();
  }

  /** Waits for the calls made so far, then closes the files; later calls reject with ERR_STORE_UNAVAILABLE. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    await this.#compaction.stop();
    await this.#writer.idle();
    try {
      await closeAll(this.#places);
    } finally {
      this.#lock.release();
    }
  }

  #requireOpen(): void {
    if (this.#closing) throw new LorakeetError('ERR_STORE_UNAVAILABLE', 'the packed store has been closed');
  }
}

/** All of them, oldest first, and a new one if there is none. */
async function openSegments(root: string, places: Places): Promise<void> {
  const names = await attempt(root, () => readdir(root));
  const numbers = names.map((name) => Number(SEGMENT_NAME.exec(name)?.[1]));
  const present = numbers.filter((number, i) => names[i] === nameOf(number)).sort((a, b) => a - b);
  for (const number of present) {
    const path = await confinePath(root, nameOf(number));
    await Segment.open(path, number, number === present.at(-1), places);
  }
  places.forgetOldestDeletions();
  const [first] = places.segments();
  if (!first) places.addSegment(await Segment.create(await confinePath(root, nameOf(1)), 1));
}

async function closeAll(places: Places): Promise<void> {
  await Promise.all([...places.segments()].map((segment) => segment.close()));
}

function nameOf(number: number): string {
  return `${String(number).padStart(8, '0')}.segment`;
}

function requireOptions(options: PackedStoreOptions): void {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
  rejectUnknownKeys('options', options, ['segmentBytes', 'logger']);
  if (options.logger !== undefined && typeof options.logger?.error !== 'function') {
    fail(
      'ERR_INVALID_CONFIG',
      'options.logger',
      options.logger,
      'an object with functions debug, info, warn and error',
    );
  }
  if (options.segmentBytes !== undefined) requireInteger('options.segmentBytes', options.segmentBytes, 4096, 2 ** 36);
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be used (${cause})`, { cause });
  }
}
