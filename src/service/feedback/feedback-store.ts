/** What keeps feedback, and how it is read. */
import { fail, requireInteger } from '../../checks.js';
import { END_OF_TIME, type Feedback, type FeedbackInput } from './feedback.js';

/** From `since` on, before `until`; each default: no limit. */
export interface FeedbackWindow {
  since?: Date;
  until?: Date;
}

export interface FeedbackPage {
  rows: Feedback[];
  /** To be given as `after` for what follows; undefined at the end. */
  next?: string;
}

export interface FeedbackCounts {
  total: number;
  byType: Readonly<Record<string, number>>;
  byIntent: Readonly<Record<string, number>>;
  byProject: Readonly<Record<string, number>>;
}

export interface AppendedFeedback {
  /** Of each row given. */
  ids: string[];
  /** How many were not there before. */
  added: number;
}

/**
 * What append() has acknowledged survives the process and the power, and is there once however often it is appended: of rows
 * with the same id the first stays. All rows of a call are kept, or none. Rows are ordered by time, then by id in the order
 * of its UTF-8 bytes. Wrong arguments reject with ERR_INVALID_ARGUMENT, what fails with ERR_STORE_UNAVAILABLE, and calls
 * after close() with ERR_CLOSED.
 */
export interface FeedbackStore {
  append(feedback: readonly FeedbackInput[]): Promise<AppendedFeedback>;
  /** At most `limit` rows, 1 to 10,000; `after` is the `next` of the page before. */
  page(window: FeedbackWindow, options: { limit: number; after?: string }): Promise<FeedbackPage>;
  count(window: FeedbackWindow): Promise<FeedbackCounts>;
  /** Waits for what is being appended. */
  close(): Promise<void>;
}

const PAGE_ROWS = 500;
export const MAX_PAGE_ROWS = 10_000;
const DAY_MS = 86_400_000;

/** The `days` before `until`. */
export function lastDays(days: number, until = new Date()): Required<FeedbackWindow> {
  requireInteger('days', days, 1, 36_500, 'ERR_INVALID_ARGUMENT');
  return { since: new Date(until.getTime() - days * DAY_MS), until };
}

/** Row after row, of which only a page is in memory; what is appended meanwhile may come or not. */
export async function* readFeedback(store: FeedbackStore, window: FeedbackWindow = {}): AsyncGenerator<Feedback> {
  let after: string | undefined;
  do {
    const page = await store.page(window, { limit: PAGE_ROWS, after });
    yield* page.rows;
    after = page.next;
  } while (after !== undefined);
}

/** Milliseconds, with a beginning and an end for those that are open. Throws ERR_INVALID_ARGUMENT. */
export function requireWindow(window: FeedbackWindow): { since: number; until: number } {
  const timeOf = (name: 'since' | 'until', fallback: number) => {
    const value = window?.[name];
    if (value === undefined) return fallback;
    const time = value instanceof Date ? value.getTime() : NaN;
    return Number.isNaN(time)
      ? fail('ERR_INVALID_ARGUMENT', `window.${name}`, value, 'a Date')
      : Math.min(Math.max(time, 0), END_OF_TIME);
  };
  return { since: timeOf('since', 0), until: timeOf('until', END_OF_TIME) };
}

/** Where a page begins: after this time, as the store writes it, and this id. */
export interface Cursor {
  time: string;
  id: string;
}

export function requirePageOptions(options: { limit: number; after?: string }): { limit: number; after?: Cursor } {
  const limit = requireInteger('options.limit', options?.limit, 1, MAX_PAGE_ROWS, 'ERR_INVALID_ARGUMENT');
  const { after } = options;
  if (after === undefined) return { limit };
  const [, time, id] = (typeof after === 'string' && /^([0-9TZ:.-]{1,40}) (.{1,1000})$/s.exec(after)) || [];
  if (time === undefined) fail('ERR_INVALID_ARGUMENT', 'options.after', after, 'the next of a page');
  return { limit, after: { time, id } };
}

export const cursorOf = ({ time, id }: Cursor): string => `${time} ${id}`;

/** Counts of each combination → counts by each. */
export function sumCounts(
  groups: Iterable<{ type: string; intent: string; project: string; count: number }>,
): FeedbackCounts {
  let total = 0;
  const [byType, byIntent, byProject] = [new Map(), new Map(), new Map()] as Map<string, number>[];
  const add = (counts: Map<string, number>, key: string, count: number) =>
    counts.set(key, (counts.get(key) ?? 0) + count);
  for (const { type, intent, project, count } of groups) {
    total += count;
    add(byType, type, count);
    add(byIntent, intent, count);
    add(byProject, project, count);
  }
  const [a, b, c] = [byType, byIntent, byProject].map((counts) => Object.fromEntries(counts));
  return { total, byType: a, byIntent: b, byProject: c };
}
