/** Events of users as a service sees them, and clients that send them, each waiting for its answer. */
import type { PoolFeedback } from '#lorakeet/personalization/types.js';
import { SeededRandom } from '#lorakeet/testing/random.js';

export interface LoadSize {
  dim: number;
  users: number;
  events: number;
  seed: number;
}

/** Rows of content that the events are about. */
const ITEMS = 1000;

/** One row each; the i-th user's share of them is proportional to 1/i (zipf). */
export function makeEvents({ dim, users, events, seed }: LoadSize): PoolFeedback[] {
  const random = new SeededRandom(seed);
  const table = random.normals(ITEMS * dim, 1 / Math.sqrt(dim));
  const item = () => {
    const i = random.integer(0, ITEMS - 1);
    return table.subarray(i * dim, (i + 1) * dim);
  };
  const upTo = new Float64Array(users);
  for (let i = 0; i < users; i++) upTo[i] = (i === 0 ? 0 : upTo[i - 1]) + 1 / (i + 1);
  return Array.from({ length: events }, () => {
    const user = firstAbove(upTo, random.uniform() * upTo[users - 1]);
    return { userId: `user-${user}`, contentEmbedding: item(), targetEmbedding: item() };
  });
}

function firstAbove(rising: Float64Array, value: number): number {
  let [low, high] = [0, rising.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rising[middle] > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

export interface LoadResult {
  wallMs: number;
  /** Of the whole process, all threads. */
  cpuMs: number;
  /** [events] wall time of each, in ms */
  latencies: Float64Array;
}

/** `clients` of them take one event after the other, in order, and wait for `send` before the next. */
export async function runClients(
  events: readonly PoolFeedback[],
  clients: number,
  send: (event: PoolFeedback) => Promise<unknown>,
): Promise<LoadResult> {
  const latencies = new Float64Array(events.length);
  let next = 0;
  const client = async () => {
    while (next < events.length) {
      const i = next++;
      const start = performance.now();
      await send(events[i]);
      latencies[i] = performance.now() - start;
    }
  };
  const [cpu, start] = [process.cpuUsage(), performance.now()];
  await Promise.all(Array.from({ length: clients }, client));
  const { user, system } = process.cpuUsage(cpu);
  return { wallMs: performance.now() - start, cpuMs: (user + system) / 1000, latencies };
}

/** The value below which the share `share` of the values lies. */
export function quantile(values: Float64Array, share: number): number {
  const sorted = values.toSorted();
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}
