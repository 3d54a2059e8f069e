/** Going through what a store holds in the order in which it lies there, in large reads. */
import { padded, type RecordPlace } from './format.js';
import type { Place, Places } from './places.js';
import type { Segment } from './segment.js';

/** Read at once, unless one record is longer. */
const READ_BYTES = 2 ** 20;

export interface LiveRecord {
  id: string;
  bytes: Uint8Array;
  place: Place;
}

interface Run {
  segment: Segment;
  records: { id: string; place: Place }[];
}

/**
 * What is live in the segments, portion after portion; the next one is read while the caller has this one. `segments` may
 * grow meanwhile. Throws ERR_STORE_CORRUPT, ERR_FILE_ACCESS.
 */
export async function* liveRecords(places: Places, segments: Iterable<Segment>): AsyncGenerator<LiveRecord[]> {
  let reading: Promise<LiveRecord[]> | undefined;
  try {
    for await (const run of liveRuns(places, segments)) {
      const next = readRun(run);
      // who awaits it sees the error
      next.catch(() => undefined);
      if (reading) yield await reading;
      reading = next;
    }
    if (reading) yield await reading;
  } finally {
    await reading?.catch(() => undefined);
  }
}

async function readRun({ segment, records }: Run): Promise<LiveRecord[]> {
  const parts = await segment.readRun(records.map(({ place }) => place.extent));
  return records.map(({ id, place }, i) => ({ id, place, bytes: parts[i] }));
}

async function* liveRuns(places: Places, segments: Iterable<Segment>): AsyncGenerator<Run> {
  for (const segment of segments) {
    segment.hold();
    try {
      for await (const { records } of segment.batches()) yield* runsOf(places, segment, records);
    } finally {
      segment.release();
    }
  }
}

/** Live records without anything between them. */
function* runsOf(places: Places, segment: Segment, records: readonly RecordPlace[]): Generator<Run> {
  let run: Run = { segment, records: [] };
  let [start, end] = [0, 0];
  for (const { id, extent } of records) {
    const place = places.get(id);
    if (!extent || place?.segment !== segment || place.extent.position !== extent.position) continue;
    const isNext = extent.position === end && extent.position + extent.length - start <= READ_BYTES;
    if (!isNext && run.records.length > 0) {
      yield run;
      run = { segment, records: [] };
    }
    if (run.records.length === 0) start = extent.position;
    run.records.push({ id, place });
    end = extent.position + padded(extent.length);
  }
  if (run.records.length > 0) yield run;
}
