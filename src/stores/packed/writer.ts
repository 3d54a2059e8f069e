/** All that is written, one batch after another: calls that come while one is being synced share the next one. */
import type { NewRecord } from './format.js';
import type { Place, Places } from './places.js';
import { Segment } from './segment.js';

/** A batch is closed once it has so much; also what is checksummed in one go. */
const BATCH_BYTES = 2 ** 23;
/** And once it has so many records. */
const BATCH_RECORDS = 2 ** 14;

/** What one call wants written. */
export interface Wanted {
  id: string;
  /** undefined: to be deleted. */
  bytes?: Uint8Array;
  /** For one that only moves: where it comes from; it is passed over if it is not there any more. */
  movedFrom?: Place;
  /** For a deletion that only moves: where it comes from. */
  deletedIn?: Segment;
}

interface Job {
  wanted: readonly Wanted[];
  done: () => void;
  failed: (error: unknown) => void;
}

export class Writer {
  readonly #places: Places;
  readonly #segmentBytes: number;
  readonly #pathOf: (number: number) => string;
  readonly #onWritten: () => void;
  #jobs: Job[] = [];
  #active: Segment;
  #running: Promise<void> | undefined;
  #rollIsDue = false;

  /** `active` is the youngest segment of `places`; `onWritten` is called after every batch. */
  constructor(
    places: Places,
    active: Segment,
    segmentBytes: number,
    pathOf: (number: number) => string,
    onWritten: () => void,
  ) {
    this.#places = places;
    this.#active = active;
    this.#segmentBytes = segmentBytes;
    this.#pathOf = pathOf;
    this.#onWritten = onWritten;
  }

  /** The segment that is written to. */
  get active(): Segment {
    return this.#active;
  }

  /** Resolves once a segment is written to that did not exist before. Throws ERR_FILE_ACCESS. */
  roll(): Promise<void> {
    this.#rollIsDue = true;
    return this.#enqueue([]);
  }

  /** Resolves once all of it is durable; in the order of the calls. Throws ERR_FILE_ACCESS: each may be written or not. */
  async write(wanted: readonly Wanted[]): Promise<void> {
    await Promise.all(portions(wanted).map((portion) => this.#enqueue(portion)));
  }

  /** Resolves once nothing is being written. */
  async idle(): Promise<void> {
    while (this.#running) await this.#running;
  }

  #enqueue(wanted: readonly Wanted[]): Promise<void> {
    return new Promise((done, failed) => {
      this.#jobs.push({ wanted, done, failed });
      this.#running ??= this.#run();
    });
  }

  async #run(): Promise<void> {
    // so that calls of the same turn share the batch
    await Promise.resolve();
    while (this.#jobs.length > 0) {
      const jobs = this.#takeJobs();
      try {
        await this.#writeBatch(this.#recordsOf(jobs));
        for (const job of jobs) job.done();
      } catch (error) {
        for (const job of jobs) job.failed(error);
      }
    }
    this.#running = undefined;
  }

  /** At least one. */
  #takeJobs(): Job[] {
    let [count, bytes, records] = [0, 0, 0];
    do {
      bytes += this.#jobs[count].wanted.reduce((sum, one) => sum + (one.bytes?.length ?? 0), 0);
      records += this.#jobs[count].wanted.length;
      count += 1;
    } while (count < this.#jobs.length && bytes < BATCH_BYTES && records < BATCH_RECORDS);
    return this.#jobs.splice(0, count);
  }

  /** The last word on each id. */
  #recordsOf(jobs: readonly Job[]): NewRecord[] {
    const records = new Map<string, NewRecord>();
    for (const { wanted } of jobs) {
      for (const { id, bytes, movedFrom, deletedIn } of wanted) {
        if (movedFrom) {
          if (records.has(id) || this.#places.get(id) !== movedFrom) continue;
          records.set(id, { id, bytes, checksum: movedFrom.extent.checksum });
        } else if (deletedIn) {
          if (!records.has(id) && this.#places.isDeletedIn(id, deletedIn)) records.set(id, { id });
        } else if (bytes) {
          records.set(id, { id, bytes });
        } else if (this.#places.get(id)) {
          records.set(id, { id });
        } else {
          records.delete(id);
        }
      }
    }
    return [...records.values()];
  }

  async #writeBatch(records: readonly NewRecord[]): Promise<void> {
    await this.#makeRoom(records.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0));
    if (records.length === 0) return;
    const batch = await this.#active.append(records);
    this.#places.add(this.#active, batch.records);
    this.#onWritten();
  }

  async #makeRoom(size: number): Promise<void> {
    const isFull = this.#active.byteLength + size > this.#segmentBytes && this.#active.hasBatches;
    if (!isFull && !this.#rollIsDue) return;
    const number = this.#active.number + 1;
    const next = await Segment.create(this.#pathOf(number), number);
    await this.#active.seal();
    this.#places.addSegment(next);
    this.#active = next;
    this.#rollIsDue = false;
  }
}

/** Parts of a long call, each no longer than a batch. */
function portions(wanted: readonly Wanted[]): (readonly Wanted[])[] {
  const parts: (readonly Wanted[])[] = [];
  let [start, bytes] = [0, 0];
  wanted.forEach((one, i) => {
    const size = one.bytes?.length ?? 0;
    if (i > start && (bytes + size > BATCH_BYTES || i - start === BATCH_RECORDS)) {
      parts.push(wanted.slice(start, i));
      [start, bytes] = [i, 0];
    }
    bytes += size;
  });
  return [...parts, wanted.slice(start)];
}
