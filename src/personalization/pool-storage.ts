/** All users of a pool into a store and back, some at a time, so that neither memory nor anybody else has to wait for all. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { encodeAdapter, encodeAdapterInto } from '../adapter/codec.js';
import type { AdapterState } from '../adapter/state.js';
import type { AdapterCollection, AdapterStore, StoredAdapter } from '../versions/adapter-store.js';
import type { PooledAdapters } from './pooled-adapters.js';
import { readStoredAdapter } from './stored-adapter.js';
import type { SavedUsers } from './types.js';

/** Of numbers, read or written in one turn of the event loop: about a millisecond's work. */
const BYTES_PER_TURN = 2 ** 19;
/** Handed to the store in one call. */
const BYTES_PER_CALL = 2 ** 23;
/** Calls of the store under way while the next one is prepared. */
const MAX_CALLS = 2;
/** Encoded adapters start at multiples of this, where their numbers can be copied and read as they are. */
const ALIGNMENT = 8;

/** Saves those who changed after the pool had revision `changedSince`. Rejects as the store does. */
export async function saveAdapters(
  adapters: PooledAdapters,
  store: Pick<AdapterStore, 'save'>,
  changedSince: number,
): Promise<SavedUsers> {
  const { revision } = adapters;
  const calls = new SaveCalls(adapters, store);
  try {
    for (const userIds of portionsOf(adapters.usersChangedSince(changedSince), usersPerTurn(adapters))) {
      adapters.viewMany(userIds, (userId, state) => calls.add(userId, state));
      await calls.saveFull();
      await nextTurn();
    }
    await calls.saveAll();
  } finally {
    await calls.ended();
  }
  return { users: calls.saved, revision };
}

/** `requirePlaces` is called before users are put in. Returns their number. Throws as the store does, and readStoredAdapter. */
export async function restoreAdapters(
  adapters: PooledAdapters,
  store: Pick<AdapterCollection, 'entries'>,
  requirePlaces: (userIds: readonly string[]) => void,
): Promise<number> {
  const restored = new Set<string>();
  for await (const entries of store.entries()) {
    for (const some of portionsOf(entries, usersPerTurn(adapters))) {
      const states = new Map(some.map(({ id, bytes }) => [id, readStoredAdapter(id, bytes, adapters.shape)]));
      requirePlaces([...states.keys()]);
      adapters.put([...states.values()]);
      for (const userId of states.keys()) restored.add(userId);
      await nextTurn();
    }
  }
  return restored.size;
}

function usersPerTurn({ slabLength }: PooledAdapters): number {
  return Math.ceil(BYTES_PER_TURN / (4 * slabLength));
}

function* portionsOf<T>(items: Iterable<T>, length: number): Generator<T[]> {
  let portion: T[] = [];
  for (const item of items) {
    portion.push(item);
    if (portion.length === length) {
      yield portion;
      portion = [];
    }
  }
  if (portion.length > 0) yield portion;
}

/** What one call of the store is made of. */
interface Batch {
  room: Uint8Array;
  used: number;
  records: StoredAdapter[];
}

/** Adapters on their way to the store, in memory that is used again. */
class SaveCalls {
  saved = 0;
  readonly #adapters: PooledAdapters;
  readonly #store: Pick<AdapterStore, 'save'>;
  readonly #spare: Batch[] = [];
  readonly #full: Batch[] = [];
  #batch = this.#takeBatch();
  readonly #underWay: Promise<void>[] = [];

  constructor(adapters: PooledAdapters, store: Pick<AdapterStore, 'save'>) {
    this.#adapters = adapters;
    this.#store = store;
  }

  /** Encodes the adapter; `state` is not used afterwards. */
  add(id: string, state: AdapterState): void {
    if (this.#encode(id, state)) return;
    this.#closeBatch();
    // an adapter for which no batch has room is one alone
    if (!this.#encode(id, state)) this.#batch.records.push({ id, bytes: encodeAdapter(state) });
  }

  /** Begins to save the batches that are full; waits while enough are under way. */
  async saveFull(): Promise<void> {
    for (let batch = this.#full.shift(); batch; batch = this.#full.shift()) {
      if (this.#underWay.length === MAX_CALLS) await this.#underWay.shift();
      this.#underWay.push(this.#save(batch));
    }
  }

  async saveAll(): Promise<void> {
    this.#closeBatch();
    await this.saveFull();
    await Promise.all(this.#underWay);
  }

  /** Resolves once the store uses nothing of what it was given. */
  async ended(): Promise<void> {
    await Promise.allSettled(this.#underWay);
  }

  #encode(id: string, state: AdapterState): boolean {
    const { room, used, records } = this.#batch;
    const bytes = encodeAdapterInto(state, room.subarray(used));
    if (!bytes) return false;
    this.#batch.used += Math.ceil(bytes.length / ALIGNMENT) * ALIGNMENT;
    records.push({ id, bytes });
    return true;
  }

  #closeBatch(): void {
    if (this.#batch.records.length === 0) return;
    this.#full.push(this.#batch);
    this.#batch = this.#takeBatch();
  }

  #takeBatch(): Batch {
    return this.#spare.pop() ?? { room: new Uint8Array(BYTES_PER_CALL), used: 0, records: [] };
  }

  #save(batch: Batch): Promise<void> {
    // a user who was removed meanwhile may have been deleted from the store as well: he is not brought back
    const records = batch.records.filter(({ id }) => this.#adapters.has(id));
    const call = this.#store.save(records).then(() => {
      this.saved += records.length;
      this.#spare.push({ room: batch.room, used: 0, records: [] });
    });
    // it is awaited later
    call.catch(() => undefined);
    return call;
  }
}
