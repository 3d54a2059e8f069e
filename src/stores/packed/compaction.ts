/**
 * Gives back the room of what was replaced or deleted: what is live in a segment is written again, behind everything else,
 * and synced; then the file goes. Until it is gone both say the same, so that it may end at any moment.
 */
import type { Logger } from '../../logger.js';
import { liveRecords } from './live-records.js';
import type { Places } from './places.js';
import type { Segment } from './segment.js';
import type { Writer } from './writer.js';

/** A segment is worth the work when less than this share of it is live: each byte written again frees at least one more. */
const LIVE_SHARE = 0.5;
/** Portions on their way to the writer. */
const PORTIONS = 8;

export class Compaction {
  readonly #places: Places;
  readonly #writer: Writer;
  readonly #logger: Logger;
  /** Segments that something was wrong with; they stay as they are. */
  readonly #givenUp = new Set<Segment>();
  /** A file that could not be removed: what it holds comes back when the store is opened, and so must every deletion. */
  #hasLeftover = false;
  #running: Promise<void> | undefined;
  #isStopped = false;

  constructor(places: Places, writer: Writer, logger: Logger) {
    this.#places = places;
    this.#writer = writer;
    this.#logger = logger;
  }

  /** Starts in the background if there is a segment that is worth it. */
  start(): void {
    if (this.#running || this.#isStopped || !this.#next()) return;
    this.#run(() => this.#compactWorthwhile());
  }

  /** Every segment with anything in it that is not live. Throws what has kept the first one from being compacted. */
  async compactAll(): Promise<void> {
    while (this.#running) await this.#running;
    let failure: unknown;
    await this.#run(async () => {
      const segments = [...this.#places.segments()].filter((segment) => this.#places.hasDead(segment));
      if (segments.includes(this.#writer.active)) await this.#writer.roll();
      for (const segment of segments) await this.#compact(segment).catch((error) => (failure ??= error));
    });
    if (failure) throw failure;
  }

  /** Resolves once nothing is being done, for good. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    while (this.#running) await this.#running;
  }

  #run(work: () => Promise<void>): Promise<void> {
    this.#running = work().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #compactWorthwhile(): Promise<void> {
    for (let segment = this.#next(); segment && !this.#isStopped; segment = this.#next()) {
      await this.#compact(segment).catch((error) => {
        this.#givenUp.add(segment as Segment);
        this.#logger.error(`lorakeet: a segment is not compacted: ${(error as Error).message}`);
      });
    }
  }

  /** The one of which the least is live. */
  #next(): Segment | undefined {
    let [best, least]: [Segment | undefined, number] = [undefined, LIVE_SHARE];
    for (const segment of this.#places.segments()) {
      const share = this.#places.liveBytesOf(segment) / segment.byteLength;
      if (segment !== this.#writer.active && share < least && !this.#givenUp.has(segment)) {
        [best, least] = [segment, share];
      }
    }
    return best;
  }

  async #compact(segment: Segment): Promise<void> {
    await this.#moveRecords(segment);
    await this.#moveDeletions(segment);
    if (this.#isStopped) return;
    this.#places.removeSegment(segment);
    try {
      await segment.remove();
    } catch (error) {
      this.#hasLeftover = true;
      throw error;
    }
    if (!this.#hasLeftover) this.#places.forgetOldestDeletions();
  }

  async #moveRecords(segment: Segment): Promise<void> {
    const moving: Promise<void>[] = [];
    try {
      for await (const records of liveRecords(this.#places, [segment])) {
        if (this.#isStopped) break;
        moving.push(this.#writer.write(records.map(({ id, bytes, place }) => ({ id, bytes, movedFrom: place }))));
        if (moving.length === PORTIONS) await Promise.all(moving.splice(0));
      }
    } finally {
      await Promise.all(moving);
    }
  }

  async #moveDeletions(segment: Segment): Promise<void> {
    for await (const { records } of segment.batches()) {
      const deleted = records.filter(({ id, extent }) => !extent && this.#places.isDeletedIn(id, segment));
      if (deleted.length > 0) await this.#writer.write(deleted.map(({ id }) => ({ id, deletedIn: segment })));
    }
  }
}
