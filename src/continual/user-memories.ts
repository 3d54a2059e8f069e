/**
 * What is remembered of each user's feedback so that learning does not undo itself: a sample of rows to learn again, a
 * sample of rows since the last consolidation, and whether it is time for the next one.
 */
import { hashSeed, Random } from '../adapter/random.js';
import { Reservoir } from './reservoir.js';
import { ShiftDetector } from './shift-detector.js';

export interface ConsolidationPolicy {
  /** 'samples': every so many rows; 'shift': when the losses say that the feedback has changed */
  when: 'manual' | 'samples' | 'shift';
  everySamples: number;
  /** Rows of which the Fisher is taken, at most. */
  rows: number;
}

export interface MemorySettings {
  policy: ConsolidationPolicy;
  /** Rows kept of each user to be learned again; 0: none. */
  replayRows: number;
  /** Users remembered; beyond it the one that learned longest ago is forgotten. */
  users: number;
  features: number;
  seed: number;
}

interface UserMemory {
  /** [x | target] */
  replay: Reservoir | undefined;
  recent: Reservoir | undefined;
  shift: ShiftDetector | undefined;
  samples: number;
}

export class UserMemories {
  readonly #settings: MemorySettings;
  /** The one that learned longest ago comes first. */
  readonly #users = new Map<string, UserMemory>();

  constructor(settings: MemorySettings) {
    this.#settings = settings;
  }

  /** Rows to be learned again, [n × 2·features], input and target; a view. */
  replayOf(userId: string): Float32Array {
    return this.#users.get(userId)?.replay?.rows ?? new Float32Array(0);
  }

  /**
   * Remembers rows that were just learned, x and target [n × features], and the loss before that. Returns the rows to
   * consolidate on, [m × features], when it is time, else undefined.
   */
  observe(userId: string, x: Float32Array, target: Float32Array, loss: number): Float32Array | undefined {
    const { policy, features } = this.#settings;
    const memory = this.#recall(userId);
    const count = x.length / features;
    const row = new Float32Array(2 * features);
    for (let i = 0; i < count; i++) {
      const input = x.subarray(i * features, (i + 1) * features);
      memory.recent?.offer(input);
      if (!memory.replay) continue;
      row.set(input);
      row.set(target.subarray(i * features, (i + 1) * features), features);
      memory.replay.offer(row);
    }
    memory.samples += count;
    const isTime = policy.when === 'samples' ? memory.samples >= policy.everySamples : memory.shift?.observe(loss);
    if (!isTime || !memory.recent) return undefined;
    const rows = memory.recent.rows.slice();
    memory.recent.clear();
    memory.samples = 0;
    return rows;
  }

  forget(userId: string): void {
    this.#users.delete(userId);
  }

  #recall(userId: string): UserMemory {
    const memory = this.#users.get(userId) ?? this.#begin(userId);
    this.#users.delete(userId);
    this.#users.set(userId, memory);
    if (this.#users.size > this.#settings.users) this.#users.delete(this.#users.keys().next().value as string);
    return memory;
  }

  #begin(userId: string): UserMemory {
    const { policy, replayRows, features, seed } = this.#settings;
    const random = new Random(hashSeed(seed, userId));
    return {
      replay: replayRows > 0 ? new Reservoir(replayRows, 2 * features, random) : undefined,
      recent: policy.when === 'manual' ? undefined : new Reservoir(policy.rows, features, random),
      shift: policy.when === 'shift' ? new ShiftDetector() : undefined,
      samples: 0,
    };
  }
}
