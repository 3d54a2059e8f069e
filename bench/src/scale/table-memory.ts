/** What the TypeScript side of a pool keeps about a user, beside the slot: names, dates, statistics. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { type AdapterPool, createAdapterPool, silentLogger } from 'lorakeet';

export interface TableMemoryRow {
  users: number;
  /** JavaScript heap and typed arrays, without the user ids themselves, which are the caller's. */
  bytesPerUser: number;
}

/** Small: what is measured does not depend on it. */
const SHAPE = { rank: 1, embeddingDim: 16 };
const USERS_PER_CALL = 1000;

export async function measureTables(userCounts: readonly number[]): Promise<TableMemoryRow[]> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const bytesInUse = async (): Promise<number> => {
    // what a collection finds unused is given back in the turns of the event loop that follow
    for (let i = 0; i < 3; i++) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    const { heapUsed, arrayBuffers } = process.memoryUsage();
    return heapUsed + arrayBuffers;
  };
  const rows: TableMemoryRow[] = [];
  for (const users of userCounts) {
    const userIds = Array.from({ length: users }, (_, i) => `user-${i}`);
    const before = await bytesInUse();
    const pool = createAdapterPool({ ...SHAPE, capacity: users, optimizer: 'sgd', logger: silentLogger });
    for (let first = 0; first < users; first += USERS_PER_CALL) {
      await learn(pool, userIds.slice(first, first + USERS_PER_CALL));
    }
    rows.push({ users, bytesPerUser: ((await bytesInUse()) - before) / users });
    await pool.close();
  }
  return rows;
}

async function learn(pool: AdapterPool, userIds: readonly string[]): Promise<void> {
  const length = userIds.length * SHAPE.embeddingDim;
  const [content, target] = [new Float32Array(length).fill(0.1), new Float32Array(length).fill(0.2)];
  await pool.learn({ userIds, content, target });
}
