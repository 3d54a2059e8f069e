/** Feedback of each of the last days, in UTC. */
import { read } from './api.js';
import type { FeedbackCounts } from './wire.js';

export interface DayCount {
  /** 2026-11-20 */
  day: string;
  total: number;
}

const DAYS = 7;
const DAY_MS = 86_400_000;
/** A day that is over is asked for once. */
const past = new Map<string, number>();

/** Today last. Rejects as read. */
export async function readDays(now = Date.now()): Promise<DayCount[]> {
  const today = Math.floor(now / DAY_MS);
  const days = Array.from({ length: DAYS }, (_, i) => today - DAYS + 1 + i);
  return Promise.all(days.map((day) => countOf(day, day < today)));
}

async function countOf(number: number, isOver: boolean): Promise<DayCount> {
  const [since, until] = [number, number + 1].map((day) => new Date(day * DAY_MS).toISOString());
  const day = since.slice(0, 10);
  const known = past.get(day);
  if (known !== undefined) return { day, total: known };
  const { total } = await read<FeedbackCounts>(`feedback/count?since=${since}&until=${until}`);
  if (isOver) past.set(day, total);
  return { day, total };
}
