/** Options of the service form: defaults, and checks that name the option. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber, requireOneOf } from '../../checks.js';
import type { AdapterStore } from '../../versions/adapter-store.js';
import { AdapterPool } from '../pool.js';
import type { PersonalizationServiceOptions } from './types.js';

export type ResolvedServiceOptions = Required<Omit<PersonalizationServiceOptions, 'signal'>> & { signal?: AbortSignal };

const KEYS: readonly (keyof PersonalizationServiceOptions)[] = [
  'pool',
  'store',
  'maxBatchRows',
  'maxDelayMs',
  'maxQueuedRows',
  'whenFull',
  'steps',
  'storeTimeoutMs',
  'signal',
];

/** Longest delay that a timer of Node keeps. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Throws ERR_INVALID_CONFIG naming the option. */
export function resolveServiceOptions(options: PersonalizationServiceOptions): ResolvedServiceOptions {
  if (typeof options !== 'object' || options === null) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
  rejectUnknownKeys('options', options, KEYS);
  const { pool, signal, maxBatchRows = 1024, maxDelayMs = 0, maxQueuedRows = 65_536 } = options;
  const { whenFull = 'wait', steps = 'per-call', storeTimeoutMs = 30_000 } = options;
  if (!(pool instanceof AdapterPool)) fail('ERR_INVALID_CONFIG', 'pool', pool, 'an AdapterPool');
  if (signal !== undefined && !(signal instanceof AbortSignal)) {
    fail('ERR_INVALID_CONFIG', 'signal', signal, 'an AbortSignal');
  }
  return {
    pool,
    store: requireStore(options.store),
    maxBatchRows: requireInteger('maxBatchRows', maxBatchRows, 1, 2 ** 20),
    maxDelayMs: requireNumber('maxDelayMs', maxDelayMs, { min: 0, max: MAX_TIMER_MS }),
    maxQueuedRows: requireInteger('maxQueuedRows', maxQueuedRows, 1, 2 ** 31 - 1),
    whenFull: requireOneOf('whenFull', whenFull, ['wait', 'reject']),
    steps: requireOneOf('steps', steps, ['per-call', 'merged']),
    storeTimeoutMs: requireNumber('storeTimeoutMs', storeTimeoutMs, { above: 0, max: MAX_TIMER_MS }),
    signal,
  };
}

function requireStore(store: AdapterStore): AdapterStore {
  for (const method of ['load', 'save', 'delete'] as const) {
    if (typeof store?.[method] !== 'function') {
      fail('ERR_INVALID_CONFIG', `store.${method}`, store?.[method], 'a function');
    }
  }
  return store;
}
