/**
 * A feed whose users click: each click teaches the user's adapter to move what was shown towards what was chosen. Ten times
 * more users than fit into memory; the rest lie in a SQLite file, from which the next run goes on.
 */
import { createAdapterPool, createPersonalizationService, type ServiceStats, silentLogger } from 'lorakeet';
import { SqliteAdapterStore } from 'lorakeet/stores/sqlite';

export interface FeedOptions {
  /** File of the adapters. */
  store: string;
  users: number;
  clicks: number;
  /** Aborting it, on Ctrl-C say, ends the feed; nothing learned is lost. */
  signal?: AbortSignal;
}

export interface FeedResult {
  /** Mean squared distance from what users chose to what they would be shown, as it is and personalised. */
  plainDistance: number;
  personalizedDistance: number;
  stats: ServiceStats;
}

const DIM = 32;
const ITEMS = 200;

export async function runFeed({ store: file, users, clicks, signal }: FeedOptions): Promise<FeedResult> {
  const items = makeItems();
  const itemAt = (i: number) => items.subarray(i * DIM, (i + 1) * DIM);
  const favourite = (user: number) => itemAt((user * 7) % ITEMS);

  const store = new SqliteAdapterStore(file);
  const pool = createAdapterPool({ embeddingDim: DIM, rank: 4, capacity: Math.ceil(users / 10), logger: silentLogger });
  const service = createPersonalizationService({ pool, store, maxQueuedRows: 1000 });
  try {
    // clicks come in from everywhere; a full queue makes the feed wait
    const pending = new Set<Promise<unknown>>();
    for (let click = 0; click < clicks && !signal?.aborted; click++) {
      const user = (click * 13) % users;
      const contentEmbedding = itemAt((click * 31) % ITEMS);
      const learning = service.learn([{ userId: `user-${user}`, contentEmbedding, targetEmbedding: favourite(user) }]);
      pending.add(learning);
      if (pending.size === 256) {
        await Promise.all(pending);
        pending.clear();
      }
    }
    await Promise.all(pending);

    let [plainDistance, personalizedDistance] = [0, 0];
    for (let user = 0; user < users; user++) {
      const shown = itemAt((user * 31) % ITEMS);
      plainDistance += distance(shown, favourite(user)) / users;
      personalizedDistance += distance(await service.personalize([`user-${user}`], shown), favourite(user)) / users;
    }
    return { plainDistance, personalizedDistance, stats: service.stats() };
  } finally {
    await service.close();
    store.close();
  }
}

/** Unit vectors around one common direction, the same in every run. */
function makeItems(): Float32Array {
  const items = new Float32Array(ITEMS * DIM);
  for (let i = 0; i < ITEMS; i++) {
    const row = items.subarray(i * DIM, (i + 1) * DIM);
    for (let j = 0; j < DIM; j++) row[j] = 0.5 + Math.sin(1 + i * 12.9898 + j * 78.233);
    const length = Math.hypot(...row);
    for (let j = 0; j < DIM; j++) row[j] /= length;
  }
  return items;
}

function distance(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + (value - b[i]) ** 2, 0);
}
