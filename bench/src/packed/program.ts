/**
 * A snapshot of all users of a pool into a packed store and back, beside what the disk does at least: the same bytes written
 * into one file and synced, and read from it. The restored pool is held against the first before anything is reported.
 */
import { ok, strictEqual } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { silentLogger } from '#lorakeet/logger.js';
import { type AdapterPool, createAdapterPool } from '#lorakeet/personalization/pool.js';
import { PackedAdapterStore } from '#lorakeet/stores/packed.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { cpuClock } from '../measure.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';

export interface PackedRow {
  optimizer: 'sgd' | 'adamw';
  operation: string;
  sizeBytes: number;
  seconds: number;
  cpuSeconds: number;
  /** Time beside the floor of the same kind. */
  ratio?: number;
  /** The longest that anything else in the process had to wait. */
  longestTurnMs?: number;
}

const DIM = 128;
const RANK = 8;
/** Written or read at once by the floor. */
const CHUNK_BYTES = 2 ** 23;
const USERS_PER_LEARN = 1000;

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const { users, folder } = parseOptions(args);
  const rows: PackedRow[] = [];
  for (const optimizer of ['sgd', 'adamw'] as const) {
    onProgress(`${users} users, ${optimizer}`);
    rows.push(...(await runPacked(users, optimizer, folder)));
  }
  console.log(`\n${users} users at ${DIM}/${RANK}, with EWC\n`);
  const texts = rows.map(({ optimizer, operation, sizeBytes, seconds, cpuSeconds, ratio, longestTurnMs }) => [
    ...[optimizer, operation, (sizeBytes / 1e9).toFixed(2), seconds.toFixed(2), cpuSeconds.toFixed(2)],
    ...[(sizeBytes / 1e6 / seconds).toFixed(0), ratio?.toFixed(2) ?? '', longestTurnMs?.toFixed(1) ?? ''],
  ]);
  const head = ['<optimizer', '<operation', 'GB', 's', 'CPU s', 'MB/s', '× disk', 'longest turn, ms'];
  console.log(formatTable(head, texts));
  return { users, rows };
}

export async function runPacked(users: number, optimizer: 'sgd' | 'adamw', top = tmpdir()): Promise<PackedRow[]> {
  const folder = mkdtempSync(join(top, 'lorakeet-packed-'));
  const newPool = () =>
    createAdapterPool({ embeddingDim: DIM, rank: RANK, capacity: users, optimizer, logger: silentLogger });
  const [pool, restored] = [newPool(), newPool()];
  try {
    await fill(pool, users);
    const path = join(folder, 'store');
    let store = await PackedAdapterStore.open(path);
    const saved = await timed(() => pool.saveTo(store));
    const { sizeBytes } = store.stats();
    const written = await timed(() => writeFile(join(folder, 'file'), sizeBytes));
    const changed = pool.revision;
    await fill(pool, Math.ceil(users / 100));
    const few = await timed(() => pool.saveTo(store, { changedSince: changed }));
    const fewBytes = store.stats().sizeBytes - sizeBytes;
    await store.close();

    const read = await timed(() => readFile(join(folder, 'file')));
    const opened = await timed(async () => {
      store = await PackedAdapterStore.open(path);
    });
    const back = await timed(() => restored.restoreFrom(store));
    await store.close();
    requireSame(pool, restored);
    const row = (operation: string, time: Timing, bytes = sizeBytes, floor?: Timing): PackedRow => ({
      ...{ optimizer, operation, sizeBytes: bytes, seconds: time.seconds, cpuSeconds: time.cpuSeconds },
      ...(floor && { ratio: time.seconds / floor.seconds, longestTurnMs: time.longestTurnMs }),
    });
    return [
      row('file: write and sync', written),
      row('pool.saveTo', saved, sizeBytes, written),
      row('… of the 1 % that changed', few, fewBytes),
      row('file: read', read),
      row('open the store', opened),
      row('pool.restoreFrom', back, sizeBytes, read),
    ];
  } finally {
    await Promise.all([pool.close(), restored.close()]);
    rmSync(folder, { recursive: true });
  }
}

/** One step for each of so many users, which leaves them all with state of their own. */
async function fill(pool: AdapterPool, users: number): Promise<void> {
  const random = new SeededRandom(users);
  for (let first = 0; first < users; first += USERS_PER_LEARN) {
    const count = Math.min(USERS_PER_LEARN, users - first);
    const userIds = Array.from({ length: count }, (_, i) => `user-${first + i}`);
    const [content, target] = [random.normals(count * DIM), random.normals(count * DIM)];
    await pool.learn({ userIds, content, target });
  }
}

function requireSame(pool: AdapterPool, restored: AdapterPool): void {
  strictEqual(restored.size, pool.size);
  for (let i = 0; i < pool.size; i += 97) {
    const [one, other] = [pool, restored].map((each) => each.getAdapter(`user-${i}`));
    ok(one && other, `user-${i}`);
    strictEqual(other.version, one.version);
    strictEqual(Buffer.compare(Buffer.from(other.matrixB.buffer), Buffer.from(one.matrixB.buffer)), 0);
  }
}

async function writeFile(path: string, sizeBytes: number): Promise<void> {
  const bytes = new Uint8Array(new SeededRandom(1).normals(CHUNK_BYTES / 4).buffer);
  const file = await open(path, 'wx');
  try {
    for (let left = sizeBytes; left > 0; left -= CHUNK_BYTES) await file.write(bytes, 0, Math.min(left, CHUNK_BYTES));
    await file.sync();
  } finally {
    await file.close();
  }
}

async function readFile(path: string): Promise<void> {
  const bytes = new Uint8Array(CHUNK_BYTES);
  const file = await open(path, 'r');
  try {
    while ((await file.read(bytes, 0, CHUNK_BYTES)).bytesRead > 0);
  } finally {
    await file.close();
  }
}

interface Timing {
  seconds: number;
  cpuSeconds: number;
  longestTurnMs: number;
}

async function timed(work: () => Promise<unknown>): Promise<Timing> {
  let [longestTurnMs, isOver] = [0, false];
  let last = performance.now();
  const turn = () => {
    const now = performance.now();
    longestTurnMs = Math.max(longestTurnMs, now - last);
    last = now;
    if (!isOver) setTimeout(turn, 1);
  };
  setTimeout(turn, 1);
  const [wall, cpu] = [performance.now(), cpuClock()];
  await work();
  const [seconds, cpuSeconds] = [(performance.now() - wall) / 1000, (cpuClock() - cpu) / 1000];
  isOver = true;
  return { seconds, cpuSeconds, longestTurnMs };
}

function parseOptions(args: readonly string[]): { users: number; folder: string | undefined } {
  const options = { users: { type: 'string' }, folder: { type: 'string' } } as const;
  let values: { users?: string; folder?: string };
  try {
    values = parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const users = Number(values.users ?? 100_000);
  if (!Number.isInteger(users) || users < 1 || users > 1_000_000) {
    throw new UsageError(`--users: got ${values.users}, expected an integer from 1 to 1000000`);
  }
  return { users, folder: values.folder };
}
