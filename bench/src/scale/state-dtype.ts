/** What keeping Fisher and anchor in bf16 gains an update whose users stream through memory. */
import { type KernelBackend, STATE_DTYPES, type StateDtype } from '#lorakeet/kernels/contract.js';
import { CheckedPool } from '../check.js';
import { subjectOf } from '../kernel-suite.js';
import type { Caches } from '../machine.js';
import { type MeasureOptions, measure } from '../measure.js';
import type { Shape } from '../model.js';
import {
  benchConfig,
  createFilledPool,
  makeCalls,
  RowStore,
  shapeName,
  slotBytes,
  streamingUsers,
  usersPerStreamingCall,
} from '../population.js';

export interface StateDtypeRow extends Shape {
  op: 'update';
  /** Rows per user. */
  n: number;
  users: number;
  /** ns per user */
  fp32: number;
  bf16: number;
  /** fp32 / bf16 */
  ratio: number;
  slotBytes: Record<StateDtype, number>;
  /** Bytes of the pool per user beyond the slot itself. */
  bytesBeyondSlot: Record<StateDtype, number>;
}

export interface StateDtypeSettings {
  shapes: readonly Shape[];
  /** Rows per user. */
  rows: readonly number[];
  caches: Caches;
  memoryBytes: number;
  measure?: MeasureOptions;
}

/** SGD with EWC, as many users for both: those of the kernel table's streaming population. */
export async function timeStateDtypes(backend: KernelBackend, settings: StateDtypeSettings): Promise<StateDtypeRow[]> {
  const { shapes, caches, memoryBytes } = settings;
  const store = new RowStore(caches);
  const rows: StateDtypeRow[] = [];
  for (const shape of shapes) {
    const users = streamingUsers(shape, 'sgd', caches, memoryBytes / 2);
    const pools = STATE_DTYPES.map((dtype) => createFilledPool(backend, benchConfig(shape, 'sgd', users, dtype)));
    const byDtype = (value: (dtype: StateDtype, i: number) => number): Record<StateDtype, number> =>
      Object.fromEntries(STATE_DTYPES.map((dtype, i) => [dtype, value(dtype, i)])) as Record<StateDtype, number>;
    try {
      for (const n of settings.rows) {
        const perCall = Math.min(usersPerStreamingCall('update', shape, n, store), users);
        const calls = makeCalls(shape, n, users, perCall, store);
        const subjects = pools.map((pool, i) => {
          const checked = CheckedPool.check(`${STATE_DTYPES[i]}, ${shapeName(shape)}`, pool, n);
          return subjectOf(STATE_DTYPES[i], checked, 'update', calls);
        });
        const [fp32, bf16] = (await measure(subjects, settings.measure)).map(({ nsPerItem }) => nsPerItem);
        rows.push({
          op: 'update',
          ...shape,
          n,
          users,
          fp32,
          bf16,
          ratio: fp32 / bf16,
          slotBytes: byDtype((dtype) => slotBytes(shape, 'sgd', dtype)),
          bytesBeyondSlot: byDtype((dtype, i) => pools[i].memoryBytes / users - slotBytes(shape, 'sgd', dtype)),
        });
      }
    } finally {
      for (const pool of pools) pool.close();
    }
  }
  return rows;
}
