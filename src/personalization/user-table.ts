/**
 * Which user has which slot of a kernel pool.
 *
 * Slot 0 belongs to nobody and stands for every user that is not here: it is the population's prior, or never written,
 * which makes it the identity map.
 *
 * While an update runs in another thread, its slots are *pinned*: they must neither be written nor go to another user, or
 * one user's feedback could reach another's adapter. A user who is replaced or removed meanwhile leaves a pinned slot at
 * once, but the slot is only free after unpin(). That can need more slots than users, hence SLOTS_PER_USER.
 */
import { SlotList } from '../kernels/slot-list.js';

export const UNKNOWN_USER_SLOT = 0;

const SLOTS_PER_USER = 2;

const NONE: Uint32Array = new Uint32Array(0);

/** Slots that a kernel pool needs so that a table of `capacity` users never runs out of them. */
export function slotsFor(capacity: number): number {
  return 1 + SLOTS_PER_USER * capacity;
}

export class UserTable {
  readonly #slotOf = new Map<string, number>();
  /** By slot. */
  readonly #userIds: (string | undefined)[] = [];
  /** By slot, as far as slots were in use. */
  readonly #isPinned: boolean[] = [];
  #pinned = NONE;
  readonly #slots: SlotList;

  constructor(readonly capacity: number) {
    this.#slots = new SlotList(SLOTS_PER_USER * capacity, 1);
  }

  get size(): number {
    return this.#slotOf.size;
  }

  userIds(): IterableIterator<string> {
    return this.#slotOf.keys();
  }

  slotOf(userId: string): number | undefined {
    return this.#slotOf.get(userId);
  }

  isPinned(slot: number): boolean {
    return this.#isPinned[slot];
  }

  /** A slot to write the user's adapter into: the one that he has, unless it is pinned. assign() or giveBack() it. */
  slotFor(userId: string): number {
    const slot = this.#slotOf.get(userId);
    if (slot !== undefined && !this.#isPinned[slot]) return slot;
    // there are twice as many slots as users, and at most one pinned for each
    return this.#slots.take() as number;
  }

  /** The slot from slotFor() now holds the user's adapter; a slot that he had before is left. */
  assign(userId: string, slot: number): void {
    const before = this.#slotOf.get(userId);
    if (before !== undefined && before !== slot) this.#leave(before);
    this.#slotOf.set(userId, slot);
    this.#userIds[slot] = userId;
    while (this.#isPinned.length <= slot) this.#isPinned.push(false);
  }

  /** A slot from slotFor() was not used after all. */
  giveBack(slot: number): void {
    if (this.#userIds[slot] === undefined) this.#slots.release(slot);
  }

  remove(userId: string): void {
    const slot = this.#slotOf.get(userId);
    if (slot === undefined) return;
    this.#slotOf.delete(userId);
    this.#leave(slot);
  }

  /** `slots` are users'; nothing else may be pinned. */
  pin(slots: Uint32Array): void {
    this.#pinned = slots;
    for (let i = 0; i < slots.length; i++) this.#isPinned[slots[i]] = true;
  }

  /** Ends all pins; returns the slots whose users left meanwhile, which are free from now on. */
  unpin(): number[] {
    const left: number[] = [];
    for (const slot of this.#pinned) {
      this.#isPinned[slot] = false;
      if (this.#userIds[slot] === undefined) left.push(slot);
    }
    this.#pinned = NONE;
    for (const slot of left) this.#slots.release(slot);
    return left;
  }

  #leave(slot: number): void {
    this.#userIds[slot] = undefined;
    if (!this.#isPinned[slot]) this.#slots.release(slot);
  }
}
