/** Connects learning steps of the engine and the pool with what is remembered of each user (src/continual). */

import { UserMemories } from '../continual/user-memories.js';
import { type Rows, UpdateFlag, type UpdateReport } from '../kernels/contract.js';
import type { ResolvedConfig } from './options.js';
import type { StepRows } from './training-step.js';

/** Users remembered by an engine, which does not know who is still there. */
const ENGINE_USERS = 10_000;

/** Rows of users one after another (CSR). */
export interface UserRows {
  /** [users + 1] */
  rowOffsets: Uint32Array;
  /** [n × features], or item numbers [n] */
  x: Rows;
  target: Rows;
  rowWeight?: Float32Array;
}

/** Users whose turn it is, and the rows that their Fisher is taken of. */
export interface DueConsolidation {
  /** Positions in the list of users. */
  users: number[];
  /** [users + 1] */
  rowOffsets: Uint32Array;
  /** [n × features] */
  x: Float32Array;
}

export class Retention {
  readonly #memories: UserMemories;
  readonly #features: number;
  readonly #replays: boolean;
  readonly #items: Float32Array | null;

  private constructor(config: ResolvedConfig, items: Float32Array | null, users: number) {
    this.#features = config.embeddingDim;
    this.#items = items;
    this.#replays = config.replayRows > 0;
    this.#memories = new UserMemories({
      policy: config.consolidation,
      replayRows: config.replayRows,
      users,
      features: config.embeddingDim,
      seed: config.seed,
    });
  }

  /** Undefined when the configuration asks for nothing to be remembered. */
  static of(config: ResolvedConfig, items: Float32Array | null = null, users = ENGINE_USERS): Retention | undefined {
    return config.consolidation.when === 'manual' && config.replayRows === 0
      ? undefined
      : new Retention(config, items, users);
  }

  /** The rows, and behind each user's those that he learns again. */
  withReplay<T extends UserRows>(userIds: readonly string[], rows: T): T {
    if (!this.#replays) return rows;
    const width = this.#features;
    const { rowOffsets, rowWeight } = rows;
    const counts = (user: number) =>
      rowWeight?.subarray(rowOffsets[user], rowOffsets[user + 1]).some((weight) => weight > 0) ?? true;
    // rows without weight are no occasion to learn
    const replays = userIds.map((userId, user) =>
      counts(user) ? this.#memories.replayOf(userId) : new Float32Array(0),
    );
    const added = replays.reduce((sum, replay) => sum + replay.length / (2 * width), 0);
    if (added === 0) return rows;
    const [x, target] = [this.#vectors(rows.x), this.#vectors(rows.target)];
    const total = rowOffsets[userIds.length] + added;
    const joined = {
      rowOffsets: new Uint32Array(userIds.length + 1),
      x: new Float32Array(total * width),
      target: new Float32Array(total * width),
      rowWeight: new Float32Array(total).fill(1),
    };
    let place = 0;
    userIds.forEach((_, user) => {
      const [first, end] = [rowOffsets[user], rowOffsets[user + 1]];
      joined.x.set(x.subarray(first * width, end * width), place * width);
      joined.target.set(target.subarray(first * width, end * width), place * width);
      if (rowWeight) joined.rowWeight.set(rowWeight.subarray(first, end), place);
      place += end - first;
      const replay = replays[user];
      for (let start = 0; start < replay.length; start += 2 * width, place++) {
        joined.x.set(replay.subarray(start, start + width), place * width);
        joined.target.set(replay.subarray(start + width, start + 2 * width), place * width);
      }
      joined.rowOffsets[user + 1] = place;
    });
    return { ...rows, ...joined };
  }

  /** Remembers rows that were learned (as they came, without replayed ones), and says who is to be consolidated now. */
  observe(
    userIds: readonly string[],
    rows: UserRows,
    report: Pick<UpdateReport, 'loss' | 'flags'>,
  ): DueConsolidation | undefined {
    const width = this.#features;
    const users: number[] = [];
    const parts: Float32Array[] = [];
    const [x, target] = [this.#vectors(rows.x), this.#vectors(rows.target)];
    userIds.forEach((userId, user) => {
      if (report.flags[user] & (UpdateFlag.REJECTED | UpdateFlag.NO_WEIGHT)) return;
      const [first, end] = [rows.rowOffsets[user] * width, rows.rowOffsets[user + 1] * width];
      const due = this.#memories.observe(
        userId,
        x.subarray(first, end),
        target.subarray(first, end),
        report.loss[user],
      );
      if (!due) return;
      users.push(user);
      parts.push(due);
    });
    if (users.length === 0) return undefined;
    const rowOffsets = new Uint32Array(users.length + 1);
    parts.forEach((part, i) => {
      rowOffsets[i + 1] = rowOffsets[i] + part.length / width;
    });
    const due = new Float32Array(rowOffsets[users.length] * width);
    parts.forEach((part, i) => {
      due.set(part, rowOffsets[i] * width);
    });
    return { users, rowOffsets, x: due };
  }

  /** withReplay for the rows of one user. */
  withReplayOf(userId: string, { count, x, target }: StepRows): StepRows {
    const joined = this.withReplay([userId], { rowOffsets: Uint32Array.of(0, count), x, target });
    return { count: joined.rowOffsets[1], x: joined.x as Float32Array, target: joined.target as Float32Array };
  }

  /** observe for the rows of one user, who took the step. */
  observeOf(userId: string, { count, x, target }: StepRows, loss: number): DueConsolidation | undefined {
    const report = { loss: Float32Array.of(loss), flags: new Uint8Array(1) };
    return this.observe([userId], { rowOffsets: Uint32Array.of(0, count), x, target }, report);
  }

  forget(userId: string): void {
    this.#memories.forget(userId);
  }

  #vectors(rows: Rows): Float32Array {
    if (rows instanceof Float32Array) return rows;
    const width = this.#features;
    const vectors = new Float32Array(rows.length * width);
    rows.forEach((item, i) => {
      vectors.set((this.#items as Float32Array).subarray(item * width, (item + 1) * width), i * width);
    });
    return vectors;
  }
}
