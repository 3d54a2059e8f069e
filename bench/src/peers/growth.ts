/** What becomes of the time and the memory of one user as users become more. */
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { CheckedPool } from '../check.js';
import { subjectOf } from '../kernel-suite.js';
import type { Caches } from '../machine.js';
import { type MeasureOptions, measure } from '../measure.js';
import type { Level, Operation, Shape } from '../model.js';
import {
  benchConfig,
  createFilledPool,
  levelOf,
  makeCalls,
  RowStore,
  slotBytes,
  usersPerStreamingCall,
} from '../population.js';

export interface GrowthRow extends Shape {
  op: Operation;
  /** Rows per user. */
  n: number;
  users: number;
  /** Where all users together lie. */
  level: Level;
  nsPerUser: number;
  spread: number;
  /** Bytes of the pool per user beyond the slot itself; null where the native program is not there. */
  bytesBeyondSlot: number | null;
}

export interface GrowthSettings {
  shape: Shape;
  users: readonly number[];
  caches: Caches;
  /** Pools that do not fit are left out. */
  memoryBytes: number;
  /** Bytes that a pool of so many users takes for each. */
  bytesPerUser: ((shape: Shape, users: number) => Promise<number>) | null;
  measure?: MeasureOptions;
}

/** Long enough to visit many more users than the caches hold. */
const MEASURE: MeasureOptions = { totalMs: 200 };

/** Users in order, none twice before all others have come, as the streaming populations of the kernel table. */
export async function timeGrowth(backend: KernelBackend, settings: GrowthSettings): Promise<GrowthRow[]> {
  const { shape, caches, memoryBytes, bytesPerUser } = settings;
  const store = new RowStore(caches);
  const slot = slotBytes(shape, 'sgd');
  const rows: GrowthRow[] = [];
  for (const users of settings.users.filter((count) => count * slot <= memoryBytes)) {
    const beyond = bytesPerUser && (await bytesPerUser(shape, users)) - slot;
    const pool = createFilledPool(backend, benchConfig(shape, 'sgd', users));
    try {
      for (const [op, n] of [
        ['apply', 1],
        ['update', 8],
      ] as const) {
        const checked = CheckedPool.check(`${backend.device}, ${users} users`, pool, n);
        const perCall = Math.min(usersPerStreamingCall(op, shape, n, store), users);
        const subject = subjectOf(backend.device, checked, op, makeCalls(shape, n, users, perCall, store));
        const [{ nsPerItem, spread }] = await measure([subject], settings.measure ?? MEASURE);
        const level = levelOf(users, shape, 'sgd', n, caches);
        rows.push({ op, ...shape, n, users, level, nsPerUser: nsPerItem, spread, bytesBeyondSlot: beyond });
      }
    } finally {
      pool.close();
    }
  }
  return rows;
}
