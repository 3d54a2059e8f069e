/** What a store returns for a user → the adapter to put into the pool. */
import { viewAdapter } from '../adapter/codec.js';
import { type AdapterShape, requireSameShape } from '../adapter/config.js';
import type { AdapterState } from '../adapter/state.js';
import { LorakeetError } from '../errors.js';
import { readUserMeta } from './user-meta.js';

/**
 * The sections may be views of `bytes`. Throws ERR_ADAPTER_CORRUPT, ERR_ADAPTER_VERSION, ERR_ADAPTER_MISMATCH, or
 * ERR_USER_MISMATCH for another user's.
 */
export function readStoredAdapter(userId: string, bytes: Uint8Array, shape: AdapterShape): AdapterState {
  try {
    const state = viewAdapter(bytes);
    requireSameShape('adapter', state.shape, shape);
    const owner = readUserMeta(state.meta).userId;
    if (owner !== userId) {
      throw new LorakeetError('ERR_USER_MISMATCH', `adapter.userId: got ${JSON.stringify(owner)}`);
    }
    return state;
  } catch (cause) {
    if (!(cause instanceof LorakeetError)) throw cause;
    const text = `the stored adapter of ${JSON.stringify(userId)} cannot be used: ${cause.message}`;
    throw new LorakeetError(cause.code, text, { cause });
  }
}
