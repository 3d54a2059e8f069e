/** The public types of the service form. */
import type { AdapterStore } from '../../versions/adapter-store.js';
import type { AdapterPool } from '../pool.js';

export interface PersonalizationServiceOptions {
  /**
   * Holds the adapters in use; its capacity is the number of users in memory. The service takes it over: users who are in it
   * already are served and saved, nobody else may change it from now on, and close() closes it.
   */
  pool: AdapterPool;
  /** Holds everybody's adapters. Only one service at a time may use the same ids; the store stays open. */
  store: AdapterStore;
  /** Rows that one micro-batch takes at most, 1 … 2²⁰ (one call's rows of one user stay together); default 1024 */
  maxBatchRows?: number;
  /**
   * How long feedback may wait for more to come, in ms; default 0: a micro-batch is what came in since the last one, at
   * least everything of one turn of the event loop.
   */
  maxDelayMs?: number;
  /** Rows that may be under way, 1 … 2³¹−1; default 65 536. A call with more is taken when nothing else is. */
  maxQueuedRows?: number;
  /** What learn() does when the queue is full: 'wait' (default) for its turn, or 'reject' with ERR_QUEUE_FULL. */
  whenFull?: 'wait' | 'reject';
  /**
   * 'per-call' (default): every call is one optimizer step for each of its users, so that what a user learns depends on his
   * calls and their order alone. 'merged': calls of a user that wait together become one step on all their rows, which
   * lets a hot user take in more than one call per micro-batch; his steps then depend on timing.
   */
  steps?: 'per-call' | 'merged';
  /** How long the store may take for one answer, in ms; default 30 000 */
  storeTimeoutMs?: number;
  /** Aborting it is calling close(). */
  signal?: AbortSignal;
}

/** What became of one learn() call. */
export interface ServiceLearnReport {
  /** Feedback rows in the call. */
  rows: number;
  /** Users in the call. */
  users: number;
  /** Those left unchanged because their loss or gradient was not finite. */
  rejected: string[];
}

/** Counters since the service began, and what there is at this moment (inMemory, unsaved, queued…, waiting…). */
export interface ServiceStats {
  /** Users in memory, and how many there can be. */
  inMemory: number;
  capacity: number;
  /** Users in memory whose latest change the store does not have yet. */
  unsaved: number;

  /** Rows under way, from learn() until their step; the queue's depth. */
  queuedRows: number;
  /** learn() calls that wait because the queue is full. */
  waitingCalls: number;
  /** learn() calls refused because the queue was full. */
  refusedCalls: number;
  /** Users whose feedback or reads wait for their adapter. */
  waitingUsers: number;

  /** Optimizer steps of users. */
  updates: number;
  /** Feedback rows learned. */
  rows: number;
  /** Adapters made for new users. */
  created: number;
  /** Steps not taken because loss or gradient was not finite. */
  rejectedUpdates: number;
  /** Micro-batches learned. */
  batches: number;
  /** Rows of the largest micro-batch. */
  largestBatch: number;
  /** Element i: micro-batches of 2^i to 2^(i+1) − 1 rows. */
  batchSizes: number[];

  /** Users taken out of memory. */
  evictions: number;
  /** Users brought back from the store. */
  reloads: number;
  /** Adapters written to the store. */
  saves: number;
  /** Calls of the store that failed or took too long, and adapters that came back unusable. */
  failures: { load: number; save: number; delete: number; unusable: number };
}
