/** Where each adapter lies, and how much of each segment is still of use. Built anew whenever a store is opened. */
import { type Extent, padded, type RecordPlace } from './format.js';
import type { Segment } from './segment.js';

export interface Place {
  readonly segment: Segment;
  readonly extent: Extent;
}

/** Bytes of a record beside its content, about: its row of the table and its id. */
const RECORD_OVERHEAD_BYTES = 32;

interface Tally {
  /** Records written, deletions among them. */
  records: number;
  /** Those that no later record replaces. */
  live: number;
  liveBytes: number;
}

export class Places {
  readonly #places = new Map<string, Place>();
  /** Ids that were deleted, by the segment that says so, as long as an older segment may hold a record of theirs. */
  readonly #deletions = new Map<string, Segment>();
  /** In the order in which they were written. */
  readonly #segments = new Map<Segment, Tally>();

  get size(): number {
    return this.#places.size;
  }

  /** In the order in which they were written; those that are added meanwhile come too, those removed do not. */
  segments(): IterableIterator<Segment> {
    return this.#segments.keys();
  }

  get(id: string): Place | undefined {
    return this.#places.get(id);
  }

  /** What the segment holds that no later record replaces, about. */
  liveBytesOf(segment: Segment): number {
    return this.#tallyOf(segment).liveBytes;
  }

  /** Whether the segment holds anything that a later record replaces. */
  hasDead(segment: Segment): boolean {
    const { records, live } = this.#tallyOf(segment);
    return live < records;
  }

  /** A segment that is younger than all others. */
  addSegment(segment: Segment): void {
    this.#segments.set(segment, { records: 0, live: 0, liveBytes: 0 });
  }

  /** Of a segment nothing of which is live. */
  removeSegment(segment: Segment): void {
    this.#segments.delete(segment);
  }

  /** Records of a batch, in their order: each replaces what was known of its id. */
  add(segment: Segment, records: readonly RecordPlace[]): void {
    this.#tallyOf(segment).records += records.length;
    for (const { id, extent } of records) {
      this.#forget(id);
      if (extent) this.#places.set(id, { segment, extent });
      else this.#deletions.set(id, segment);
      this.#count(segment, extent?.length ?? 0, 1);
    }
  }

  /** Whether the deletion of this id stands in this segment and in no later one, and an older one may have a record. */
  isDeletedIn(id: string, segment: Segment): boolean {
    return this.#deletions.get(id) === segment;
  }

  /** Deletions in the oldest segment mean nothing: what they delete stands in front of them, and goes with them. */
  forgetOldestDeletions(): void {
    const [oldest] = this.#segments.keys();
    for (const [id, segment] of this.#deletions) if (segment === oldest) this.#dropDeletion(id);
  }

  #forget(id: string): void {
    const place = this.#places.get(id);
    if (place) {
      this.#places.delete(id);
      this.#count(place.segment, place.extent.length, -1);
    }
    this.#dropDeletion(id);
  }

  #dropDeletion(id: string): void {
    const segment = this.#deletions.get(id);
    if (!segment) return;
    this.#deletions.delete(id);
    this.#count(segment, 0, -1);
  }

  #count(segment: Segment, length: number, sign: 1 | -1): void {
    const tally = this.#tallyOf(segment);
    tally.live += sign;
    tally.liveBytes += sign * (padded(length) + RECORD_OVERHEAD_BYTES);
  }

  #tallyOf(segment: Segment): Tally {
    return this.#segments.get(segment) as Tally;
  }
}
