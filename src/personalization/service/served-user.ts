/** What the service knows of a user who is in memory or has something to do. */
import type { GroupedFeedback } from '../grouped-feedback.js';
import { Fifo } from './fifo.js';

/**
 * Where a user's adapter is:
 *
 *   none → waiting (for a place in memory) → loading (has a place) → held (in the pool)
 *                                                                  → absent (the store has none; the place is kept)
 *
 * A user with nothing to do is only ever none or held.
 */
export type Place = 'none' | 'waiting' | 'loading' | 'absent' | 'held';

/** One learn() call, on whose users the service works one by one. */
export interface Call {
  feedback: GroupedFeedback;
  /** performance.now() */
  arrivedAt: number;
  /** Users still to be dealt with. */
  remaining: number;
  /** Users left unchanged because their loss or gradient was not finite. */
  rejected: string[];
  failures: { userId: string; error: unknown }[];
  finish(): void;
}

/** The rows of one user in one call. */
export interface UserRows {
  kind: 'rows';
  call: Call;
  /** The user's index in call.feedback. */
  index: number;
  rows: number;
}

/** Anything else that has its turn among a user's rows. */
export interface Task {
  kind: 'task';
  /** Wants the adapter in memory; otherwise it runs wherever the adapter is. */
  needsAdapter: boolean;
  run(user: ServedUser): Promise<void>;
  /** Called in place of run() when the adapter could not be had. */
  fail(error: unknown): void;
}

export type Operation = UserRows | Task;

export class ServedUser {
  place: Place = 'none';
  /** To be done in this order; the first stays until it is done. */
  readonly pending = new Fifo<Operation>();
  /** Reads to be told once the adapter is here, or that the store has none, or why neither. */
  readers: ((error?: unknown) => void)[] = [];
  /** Counts changes of the adapter in memory. */
  changes = 0;
  /** `changes` at the last one that the store has. */
  saved = 0;
  /** A save or delete of this user on its way to the store; the next one, and any load, comes after it. */
  write: Promise<void> | undefined;

  /** Used last just before and after this one; see Recency. */
  older: ServedUser | undefined;
  newer: ServedUser | undefined;

  constructor(readonly id: string) {}

  /** There is something to do for him, so he must stay in memory. */
  get isBusy(): boolean {
    return this.pending.length > 0 || this.readers.length > 0;
  }

  /** The store has the adapter as it is. */
  get isSaved(): boolean {
    return this.changes === this.saved;
  }
}
