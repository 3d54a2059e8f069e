/** What it costs to get from TypeScript to a kernel and back, and what the public pool adds. */
import {
  type AdapterPool,
  createAdapterPool,
  createLoRAPersonalizationEngine,
  ReasoningBank,
  silentLogger,
  type UserLoRAAdapter,
} from 'lorakeet';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { newReport } from '#lorakeet/testing/harness.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { CheckedPool } from './check.js';
import type { Caches } from './machine.js';
import { type Measurement, type MeasureOptions, measure, type Subject } from './measure.js';
import type { Operation, Optimizer, Shape } from './model.js';
import type { KernelCase } from './native-programs.js';
import { benchConfig, cachedUsers, createFilledPool, makeCalls, RowStore } from './population.js';

export interface FacadeSettings {
  shapes: readonly Shape[];
  backends: readonly KernelBackend[];
  caches: Caches;
  /** ns per user of the same kernel called from C; null where it cannot be measured. */
  kernelTimeNs: ((kernel: KernelCase) => number) | null;
  measure?: MeasureOptions;
  onProgress?: (what: string) => void;
}

export interface FacadeRow {
  what: string;
  dim: number;
  rank: number;
  backend: string;
  isa: string;
  per: 'call' | 'user' | 'row';
  /** CPU time of the whole process. */
  ns: number;
  spread: number;
  /** The kernel's own part of it, measured from C in the same run; null for js and where there is no native program. */
  kernelNs: number | null;
  /** ns − kernelNs */
  overheadNs: number | null;
  /** Users per second of CPU time, for whole batches. */
  usersPerSecond: number | null;
}

/** Users of a batch for the public pool. */
const USERS = 1000;
/** Rows of the item table. */
const ITEMS = 1000;
/** Rows per user of an update. */
const ROWS = 8;
/** Updates between two turns of the event loop, in one of which their episodes are stored: so that every sample has them. */
const UPDATES = 64;
/** Longer than for kernels: more happens in a call, garbage collection included, and more code has to be compiled first. */
const MEASURE: MeasureOptions = { totalMs: 600 };

export async function runFacadeSuite(settings: FacadeSettings): Promise<FacadeRow[]> {
  const store = new RowStore(settings.caches);
  const rows: FacadeRow[] = [];
  for (const shape of settings.shapes) {
    for (const backend of settings.backends) {
      settings.onProgress?.(`${shape.dim}/${shape.rank}, ${backend.device}`);
      rows.push(...(await timeKernelCalls(settings, shape, backend, store)));
      rows.push(...(await timeAdapterPool(settings, shape, backend, store)));
    }
  }
  return rows;
}

/** A subject and how its row in the table reads. */
interface Entry extends Subject {
  per: FacadeRow['per'];
  kernel?: { operation: Operation; users: number; rows: number };
}

async function timeKernelCalls(
  settings: FacadeSettings,
  shape: Shape,
  backend: KernelBackend,
  store: RowStore,
): Promise<FacadeRow[]> {
  // a batch that stays in the second-level cache, so that the difference to the kernel's own time is the call's
  const users = cachedUsers(shape, 'adamw', ROWS, settings.caches);
  const pool = createFilledPool(backend, benchConfig(shape, 'adamw', users));
  try {
    const { kernel } = CheckedPool.check(`${backend.name} ${backend.device}`, pool, ROWS);
    store.rewind();
    const [single] = makeCalls(shape, 1, 1, 1, store);
    const [ones] = makeCalls(shape, 1, users, users, store);
    const [batch] = makeCalls(shape, ROWS, users, users, store);
    const report = newReport(users);
    const nothing = { slots: new Uint32Array(0), x: new Float32Array(0) };
    const noResult = new Float32Array(0);
    return await timeEntries(settings, shape, backend, 'adamw', [
      { name: 'apply, no rows', per: 'call', items: 1, run: () => kernel.apply(nothing, noResult) },
      {
        name: 'apply, 1 row',
        per: 'call',
        items: 1,
        run: () => kernel.apply(single.apply, single.y),
        kernel: { operation: 'apply', users: 1, rows: 1 },
      },
      {
        name: `apply, batch of ${users}`,
        per: 'user',
        items: users,
        run: () => kernel.apply(ones.apply, ones.y),
        kernel: { operation: 'apply', users: users, rows: 1 },
      },
      {
        name: `update, batch of ${users} × ${ROWS} rows`,
        per: 'user',
        items: users,
        run: () => kernel.update(batch.update, report),
        kernel: { operation: 'update', users: users, rows: ROWS },
      },
    ]);
  } finally {
    pool.close();
  }
}

async function timeAdapterPool(
  settings: FacadeSettings,
  shape: Shape,
  backend: KernelBackend,
  store: RowStore,
): Promise<FacadeRow[]> {
  const pool = await openAdapterPool(shape, backend);
  if (!pool) return [];
  const { rank, embeddingDim, backend: name } = pool.getConfig();
  const options = { rank, embeddingDim, backend: name, threads: 1, logger: silentLogger };
  const engine = createLoRAPersonalizationEngine(options);
  const reasoningBank = new ReasoningBank();
  const advised = createLoRAPersonalizationEngine({ ...options, reasoningBank });
  try {
    const names = Array.from({ length: USERS }, (_, user) => `user-${user}`);
    const userIds = names.flatMap((name) => new Array<string>(ROWS).fill(name));
    store.rewind();
    const { x: content, target } = store.take(userIds.length * shape.dim);
    const columns = { userIds, content, target };
    const numbers = Uint32Array.from(userIds, (_, row) => row % ITEMS);
    const objects = userIds.map((userId, row) => ({
      userId,
      contentEmbedding: content.subarray(row * shape.dim, (row + 1) * shape.dim),
      targetEmbedding: target.subarray(row * shape.dim, (row + 1) * shape.dim),
    }));
    const ones = content.subarray(0, USERS * shape.dim);
    const y = new Float32Array(ones.length);
    await pool.learn(columns); // creates the users
    const x = content.slice(0, shape.dim);
    const adapter = pool.getAdapter(names[0]) as UserLoRAAdapter;
    const learned = { operation: 'update', users: USERS, rows: ROWS } as const;
    const learn = async (feedback: Parameters<AdapterPool['learn']>[0]): Promise<void> => {
      const { updates } = await pool.learn(feedback);
      if (updates !== USERS) throw new Error(`pool.learn: got ${updates} updates, expected ${USERS}`);
    };
    const size = `batch of ${USERS} × ${ROWS} rows`;
    const feedback = objects.slice(0, ROWS).map((row) => ({ ...row, reward: 1, timestamp: new Date(0) }));
    const updates = [engine, advised].map((each, i) => ({
      name: `engine.updateAdapter, ${ROWS} rows${i === 0 ? '' : ', ReasoningBank warm'}`,
      per: 'call' as const,
      items: UPDATES,
      asynchronous: true,
      // always of the same adapter, so that the bank's answer is known
      run: async () => {
        for (let update = 0; update < UPDATES; update++) await each.updateAdapter(adapter, feedback);
      },
      kernel: { operation: 'update', users: 1, rows: ROWS } as const,
    }));
    return await timeEntries(settings, shape, backend, 'adamw', [
      {
        name: `pool.learn, columns, ${size}`,
        per: 'user',
        items: USERS,
        asynchronous: true,
        run: () => learn(columns),
        kernel: learned,
      },
      {
        name: `pool.learn, item numbers, ${size}`,
        per: 'user',
        items: USERS,
        asynchronous: true,
        run: () => learn({ userIds, content: numbers, target: numbers }),
      },
      {
        name: `pool.learn, objects, ${size}`,
        per: 'user',
        items: USERS,
        asynchronous: true,
        run: () => learn(objects),
        kernel: learned,
      },
      {
        name: 'engine.computeLoRAForward',
        per: 'call',
        items: 1,
        run: () => void engine.computeLoRAForward(x, adapter),
        kernel: { operation: 'apply', users: 1, rows: 1 },
      },
      ...updates,
      {
        name: `pool.personalize, batch of ${USERS}`,
        per: 'user',
        items: USERS,
        run: () => void pool.personalize(names, ones, y),
        kernel: { operation: 'apply', users: USERS, rows: 1 },
      },
    ]);
  } finally {
    await pool.close();
    await engine.close();
    await advised.close();
    await reasoningBank.close();
  }
}

/** The public pool takes a backend by name; null if that is another instruction set than the one to be measured. */
async function openAdapterPool({ dim, rank }: Shape, backend: KernelBackend): Promise<AdapterPool | null> {
  const items = new SeededRandom(4).normals(ITEMS * dim);
  const options = { rank, embeddingDim: dim, threads: 1, logger: silentLogger, backend: backend.name };
  const pool = createAdapterPool({ ...options, capacity: USERS, items });
  if (pool.backend.device === backend.device) return pool;
  await pool.close();
  return null;
}

async function timeEntries(
  settings: FacadeSettings,
  shape: Shape,
  backend: KernelBackend,
  optimizer: Optimizer,
  entries: readonly Entry[],
): Promise<FacadeRow[]> {
  const { kernelTimeNs } = settings;
  const measured = await measure(entries, settings.measure ?? MEASURE);
  return entries.map(({ name, per, kernel }, i) => {
    const { nsPerItem: ns, spread }: Measurement = measured[i];
    const isa = backend.device;
    const native = kernel && kernelTimeNs && backend.name === 'cpu';
    const kernelNs = native ? kernelTimeNs({ ...shape, ...kernel, isa, optimizer }) : null;
    return {
      what: name,
      ...shape,
      backend: backend.name,
      isa,
      per,
      ns,
      spread,
      kernelNs,
      overheadNs: kernelNs === null ? null : ns - kernelNs,
      usersPerSecond: per === 'user' ? 1e9 / ns : null,
    };
  });
}
