/** What the page knows of the service. Where a request fails, what was known before stays, with the reason and since when. */
import { ApiError, Unreachable } from './api.js';
import type { DayCount } from './feedback-days.js';
import type { AdapterSummary, Health, JobPage, LoraStatus, Overview, TrainingStatus } from './wire.js';

export interface Reading<T> {
  value?: T;
  failure?: { message: string; since: Date; unreachable: boolean };
}

export interface Session {
  name: string;
  scope: 'read' | 'operate';
  /** Whether the service knows tokens at all. */
  tokens: boolean;
}

export interface State {
  session: Reading<Session>;
  training: Reading<TrainingStatus>;
  jobs: Reading<JobPage>;
  lora: Reading<LoraStatus>;
  adapters: Reading<{ adapters: AdapterSummary[] }>;
  overview: Reading<Overview>;
  days: Reading<DayCount[]>;
  health: Reading<Health>;
}

export function emptyState(): State {
  return { session: {}, training: {}, jobs: {}, lora: {}, adapters: {}, overview: {}, days: {}, health: {} };
}

export function noteSuccess<T>(reading: Reading<T>, value: T): void {
  reading.value = value;
  reading.failure = undefined;
}

export function noteFailure(reading: Reading<unknown>, error: unknown): void {
  reading.failure = {
    message: describeError(error),
    since: reading.failure?.since ?? new Date(),
    unreachable: error instanceof Unreachable,
  };
}

export function describeError(error: unknown): string {
  if (error instanceof ApiError) return `${error.message} (${error.code})`;
  if (error instanceof Unreachable) return `The service cannot be reached: ${error.message}`;
  return error instanceof Error ? error.message : String(error);
}

/** Why the service would refuse a change now; undefined: it would not, as far as can be told from here. */
export function refusal({ session, lora }: State): string | undefined {
  if (session.value?.scope === 'read') return 'This token may only read (scope read).';
  return lora.failure?.unreachable ? 'The service cannot be reached.' : undefined;
}

/** Versions that may be served instead of the active one, newest first. */
export function candidates({ adapters, lora }: State): AdapterSummary[] {
  return (adapters.value?.adapters ?? []).filter(
    ({ version, approved, quarantined }) => approved && !quarantined && version !== lora.value?.active,
  );
}

/** Says that what a part of the page shows is not there yet, or old. */
export function readingNote({ value, failure }: Reading<unknown>, time: (date: Date) => string): string | undefined {
  if (failure) {
    const what = value === undefined ? failure.message : `${failure.message} Shown is what was known before.`;
    return `Since ${time(failure.since)}: ${what}`;
  }
  return value === undefined ? 'Loading…' : undefined;
}
