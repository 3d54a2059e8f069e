/** What becomes of the time and the memory of one user as users become more. */
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
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
  /** In which users come: slot after slot, or scattered over all of them. */
  order: 'in order' | 'scattered';
  /** Where all that the operation touches lies. */
  level: Level;
  nsPerUser: number;
  spread: number;
  /** Bytes of the pool per user beyond the slot itself, working memory included. */
  bytesBeyondSlot: number;
}

export interface GrowthSettings {
  shape: Shape;
  users: readonly number[];
  caches: Caches;
  /** Pools that do not fit are left out. */
  memoryBytes: number;
  measure?: MeasureOptions;
}

/** Long enough to visit many more users than the caches hold. */
const MEASURE: MeasureOptions = { totalMs: 200 };

/** No user comes twice before all others have, as in the streaming populations of the kernel table. */
export async function timeGrowth(backend: KernelBackend, settings: GrowthSettings): Promise<GrowthRow[]> {
  const { shape, caches, memoryBytes } = settings;
  const store = new RowStore(caches);
  const slot = slotBytes(shape, 'sgd');
  const rows: GrowthRow[] = [];
  for (const users of settings.users.filter((count) => count * slot <= memoryBytes)) {
    const pool = createFilledPool(backend, benchConfig(shape, 'sgd', users));
    const scattered = new SeededRandom(users).distinct(users, users);
    try {
      for (const [op, n] of [
        ['apply', 1],
        ['update', 8],
      ] as const) {
        const checked = CheckedPool.check(`${backend.device}, ${users} users`, pool, n);
        const perCall = Math.min(usersPerStreamingCall(op, shape, n, store), users);
        const orders = { 'in order': undefined, scattered } as const;
        const subjects = Object.entries(orders).map(([name, order]) =>
          subjectOf(name, checked, op, makeCalls(shape, n, users, perCall, store, order)),
        );
        const measured = await measure(subjects, settings.measure ?? MEASURE);
        const level = levelOf(op, users, shape, 'sgd', n, caches);
        const bytesBeyondSlot = pool.memoryBytes / users - slot;
        measured.forEach(({ nsPerItem, spread }, i) => {
          const order = Object.keys(orders)[i] as GrowthRow['order'];
          rows.push({ op, ...shape, n, users, order, level, nsPerUser: nsPerItem, spread, bytesBeyondSlot });
        });
      }
    } finally {
      pool.close();
    }
  }
  return rows;
}
