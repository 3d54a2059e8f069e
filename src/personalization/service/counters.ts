/** What the parts of the service count; ServiceStats is made of it. */
import type { ServiceStats } from './types.js';

export type Counters = Pick<
  ServiceStats,
  | 'refusedCalls'
  | 'updates'
  | 'rows'
  | 'created'
  | 'rejectedUpdates'
  | 'batches'
  | 'largestBatch'
  | 'batchSizes'
  | 'evictions'
  | 'reloads'
  | 'saves'
  | 'failures'
>;

export function newCounters(): Counters {
  return {
    refusedCalls: 0,
    updates: 0,
    rows: 0,
    created: 0,
    rejectedUpdates: 0,
    batches: 0,
    largestBatch: 0,
    batchSizes: [],
    evictions: 0,
    reloads: 0,
    saves: 0,
    failures: { load: 0, save: 0, delete: 0, unusable: 0 },
  };
}

export function countBatch(counters: Counters, rows: number): void {
  counters.batches += 1;
  counters.largestBatch = Math.max(counters.largestBatch, rows);
  const size = Math.floor(Math.log2(rows));
  while (counters.batchSizes.length <= size) counters.batchSizes.push(0);
  counters.batchSizes[size] += 1;
}
