/** Whose adapters proved themselves, in which kind of situation: among them new users of that kind look for their like. */
import type { Episode } from './episode.js';
import { type BucketPlace, isSameKind, placeOf } from './situation.js';

/** What some of a user's updates have shown. */
export interface UserProof {
  userId: string;
  updates: number;
  /** Sum over the updates of the share of the residual that the adapter had explained of rows before it learned them. */
  explained: number;
}

/** An adapter that made everything worse says no more than one that doubled the error. */
const WORST = -1;

/** Updates' worth of doubt: a user with little to show comes after one who has shown as much for longer. */
const DOUBT = 2;

/** Those who learned last; skills would have them grow without end. */
const MAX_USERS = 100_000;

/** Undefined for what proves nothing: an adapter's first update, or rows that want no change. */
export function proofOf({ input, output }: Episode): UserProof | undefined {
  const residual = input.feedback.residualRms ** 2;
  if (input.previousVersion === 1 || residual === 0) return undefined;
  return { userId: input.userId, updates: 1, explained: Math.max(WORST, 1 - output.lossBefore / residual) };
}

/** One per user, the most convincing first. */
export function mergeProofs(all: Iterable<UserProof>): UserProof[] {
  const merged = new Map<string, UserProof>();
  for (const { userId, updates, explained } of all) {
    const sum = merged.get(userId);
    if (sum) {
      sum.updates += updates;
      sum.explained += explained;
    } else merged.set(userId, { userId, updates, explained });
  }
  return [...merged.values()].sort((a, b) => strengthOf(b) - strengthOf(a));
}

interface ProvenUser {
  proof: UserProof;
  /** Of the latest update */
  bucket: string;
}

export class ProvenUsers {
  readonly #users = new Map<string, ProvenUser>();
  /** Of all buckets that users have been in, so that looking for users reads none of their names */
  readonly #places = new Map<string, BucketPlace>();

  add(bucket: string, proof: UserProof): void {
    if (!this.#places.has(bucket)) this.#places.set(bucket, placeOf(bucket));
    const { userId, updates, explained } = proof;
    const before = this.#users.get(userId)?.proof;
    const sum = before
      ? { userId, updates: before.updates + updates, explained: before.explained + explained }
      : { ...proof };
    this.#users.delete(userId);
    this.#users.set(userId, { proof: sum, bucket });
    if (this.#users.size > MAX_USERS) this.#users.delete(this.#users.keys().next().value as string);
  }

  /** Takes back what was added. */
  remove({ userId, updates, explained }: UserProof): void {
    const user = this.#users.get(userId);
    if (!user) return;
    user.proof.updates -= updates;
    user.proof.explained -= explained;
    if (user.proof.updates <= 0) this.#users.delete(userId);
  }

  /** Up to `k` users of that kind other than `userId` who have explained something, the most convincing first. */
  find(bucket: string, userId: string, k: number): string[] {
    const here = placeOf(bucket);
    const near = new Set<string>();
    for (const [name, place] of this.#places) if (isSameKind(place, here)) near.add(name);
    const found: UserProof[] = [];
    for (const { proof, bucket: latest } of this.#users.values()) {
      if (proof.explained > 0 && near.has(latest) && proof.userId !== userId) found.push(proof);
    }
    return strongest(found, k).map((proof) => proof.userId);
  }
}

/** The k-th strength first, as numbers are sorted much faster than objects. */
function strongest(proofs: readonly UserProof[], k: number): UserProof[] {
  const least = Float64Array.from(proofs, strengthOf).sort()[Math.max(0, proofs.length - k)];
  return proofs
    .filter((proof) => strengthOf(proof) >= least)
    .sort((a, b) => strengthOf(b) - strengthOf(a))
    .slice(0, k);
}

function strengthOf({ updates, explained }: UserProof): number {
  return explained / (updates + DOUBT);
}
