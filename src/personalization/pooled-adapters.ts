/**
 * Many users' adapters in one kernel pool: put, get, remove, and one step of many at once. Everything but the step is
 * synchronous and may be called while a step runs; steps themselves come one at a time (AdapterPool queues them).
 */
import { type AdapterShape, requireSameShape } from '../adapter/config.js';
import { type AdapterState, readFromSlab, type StateBesideSlab, viewInSlab, writeToSlab } from '../adapter/state.js';
import { LorakeetError } from '../errors.js';
import { type KernelPool, type Rows, type UpdateBatch, UpdateFlag, type UpdateReport } from '../kernels/contract.js';
import { type ContrastiveLoss, contrastiveLossOf } from './contrastive.js';
import { FreshAdapters } from './fresh-adapters.js';
import { adapterShapeOf, learningRateAt, type ResolvedConfig } from './options.js';
import { RowMemory } from './row-memory.js';
import { meanSquaredError, updateNow } from './training-step.js';
import { keepUsers, type UserContent } from './user-groups.js';
import { newUserMeta, readUserMeta, toJson, type UserMeta } from './user-meta.js';
import { UserRecords } from './user-records.js';
import { UNKNOWN_USER_SLOT, UserTable } from './user-table.js';

/** The sections and the step count of an adapter as it came, for what the kernel pool has no room for. */
type Carried = Pick<AdapterState, 'fisher' | 'anchor' | 'moment1' | 'moment2' | 'step'>;

interface RunningStep {
  batch: UpdateBatch;
  /** [users + 1] Of the rows that are new, without those that are learned again. */
  newOffsets: Uint32Array;
  now: number;
}

export class PooledAdapters {
  /** Of every adapter here. */
  readonly shape: Required<AdapterShape>;
  readonly #kernel: KernelPool;
  readonly #config: ResolvedConfig;
  readonly #fresh: FreshAdapters;
  readonly #users: UserTable;
  readonly #records = new UserRecords();
  readonly #carried = new Map<number, Carried>();
  /** For adapters on their way to the kernel. */
  readonly #slabs = new RowMemory();
  #running: RunningStep | undefined;
  #revision = 0;

  constructor(kernel: KernelPool, config: ResolvedConfig, capacity: number) {
    this.#kernel = kernel;
    this.#config = config;
    this.shape = adapterShapeOf(config);
    this.#fresh = new FreshAdapters(config);
    this.#users = new UserTable(capacity);
    if (config.prior) this.#writeUnknownUser();
  }

  /** Rises with every change; see statesChangedSince. */
  get revision(): number {
    return this.#revision;
  }

  get size(): number {
    return this.#users.size;
  }

  /** Numbers that the kernel pool holds for each. */
  get slabLength(): number {
    return this.#kernel.layout.slabLength;
  }

  has(userId: string): boolean {
    return this.#users.slotOf(userId) !== undefined;
  }

  /** Where the user's adapter is now; undefined if he is not here. */
  slotOf(userId: string): number | undefined {
    return this.#users.slotOf(userId);
  }

  userIds(): IterableIterator<string> {
    return this.#users.userIds();
  }

  /** The users' slots for applying: for those who are not here that of the prior, or of the identity map. */
  applySlotsOf(userIds: readonly string[]): Uint32Array {
    const slots = new Uint32Array(userIds.length);
    for (let i = 0; i < slots.length; i++) slots[i] = this.#users.slotOf(userIds[i]) ?? UNKNOWN_USER_SLOT;
    return slots;
  }

  /** Throws ERR_POOL_FULL unless all of `userIds` (distinct) fit beside those here and `reserved` more. */
  requireRoom(userIds: readonly string[], reserved = 0): void {
    const added = userIds.reduce((count, userId) => (this.has(userId) ? count : count + 1), 0);
    const room = this.#users.capacity - this.size - reserved;
    if (added > room) {
      throw new LorakeetError(
        'ERR_POOL_FULL',
        `capacity: got ${added} new users, expected at most ${room} beside the ${this.size} in a pool of ` +
          `${this.#users.capacity}${reserved > 0 ? ` (${reserved} places are promised to a running learn)` : ''}`,
      );
    }
  }

  /** Adds or replaces the adapters of distinct users, all or none; the caller has seen to room. */
  put(states: readonly AdapterState[]): void {
    const metas = states.map((state) => readUserMeta(state.meta));
    for (const state of states) requireSameShape('adapter', state.shape, this.shape);
    this.#place(metas, states);
  }

  /** Adds fresh adapters for users that are not here. */
  create(userIds: readonly string[]): void {
    const now = Date.now();
    const metas = userIds.map((userId) => newUserMeta(userId, this.#config.learningRate, now));
    const states = metas.map((meta) => this.#fresh.slabStateFor(meta));
    this.#place(metas, states);
  }

  /** What `userId` would start from, in memory of its own. */
  startOf(userId: string): AdapterState {
    return this.#fresh.stateFor(newUserMeta(userId, this.#config.learningRate, Date.now()));
  }

  /** Mean squared errors of the users' adapters on the same rows; of the common start for who is not here. */
  lossesOf(userIds: readonly string[], x: Rows, target: Float32Array): number[] {
    const y = new Float32Array(target.length);
    const rows = target.length / this.#config.embeddingDim;
    return Array.from(this.applySlotsOf(userIds), (slot) => {
      this.#kernel.apply({ slots: new Uint32Array(rows).fill(slot), x }, y);
      return meanSquaredError(y, target);
    });
  }

  #writeUnknownUser(): void {
    const { layout } = this.#kernel;
    const slab = new Float32Array(layout.slabLength);
    const step = writeToSlab(this.#fresh.slabStateFor(newUserMeta('everybody else', 0, 0)), layout, slab);
    this.#kernel.write(Uint32Array.of(UNKNOWN_USER_SLOT), slab, Uint32Array.of(step));
  }

  #place(metas: readonly UserMeta[], states: readonly AdapterState[]): void {
    const { layout } = this.#kernel;
    const slabs = this.#slabs.take(states.length * layout.slabLength);
    const steps = Uint32Array.from(states, (state, i) => writeToSlab(state, layout, slabs, i));
    const slots = Uint32Array.from(metas, ({ userId }) => this.#users.slotFor(userId));
    try {
      this.#kernel.write(slots, slabs, steps);
    } catch (error) {
      for (const slot of slots) this.#users.giveBack(slot);
      throw error;
    } finally {
      this.#slabs.give(slabs);
    }
    this.#revision += 1;
    metas.forEach((meta, i) => {
      this.#users.assign(meta.userId, slots[i]);
      this.#records.set(slots[i], meta, steps[i], this.#revision);
      this.#carry(slots[i], states[i]);
    });
  }

  get(userId: string): AdapterState | undefined {
    const slot = this.#users.slotOf(userId);
    return slot === undefined ? undefined : this.#read(slot, userId);
  }

  /** The adapters that changed after `revision`; all of them after −1. */
  *statesChangedSince(revision: number): Generator<AdapterState> {
    for (const userId of this.#users.userIds()) {
      const slot = this.#users.slotOf(userId) as number;
      if (this.#records.revisionOf(slot) > revision) yield this.#read(slot, userId);
    }
  }

  /** Those whose adapters changed after `revision`, everybody after −1; users who come or go meanwhile are seen to. */
  *usersChangedSince(revision: number): Generator<string> {
    for (const userId of this.#users.userIds()) {
      if (this.#records.revisionOf(this.#users.slotOf(userId) as number) > revision) yield userId;
    }
  }

  /** The adapters of users who are here, in one call of the kernel; in memory that `use` must not keep. */
  viewMany(userIds: readonly string[], use: (userId: string, state: AdapterState) => void): void {
    const { layout } = this.#kernel;
    const slots = Uint32Array.from(userIds, (userId) => this.#users.slotOf(userId) as number);
    const steps = new Uint32Array(slots.length);
    const slabs = this.#slabs.take(slots.length * layout.slabLength);
    try {
      this.#kernel.read(slots, slabs, steps);
      userIds.forEach((userId, i) => {
        const beside = this.#besideSlab(slots[i], userId, steps[i]);
        use(userId, viewInSlab(layout, slabs, i, steps[i], beside));
      });
    } finally {
      this.#slabs.give(slabs);
    }
  }

  /** Forgets the user; false if he is not here. */
  remove(userId: string): boolean {
    const slot = this.#users.slotOf(userId);
    if (slot === undefined) return false;
    if (!this.#users.isPinned(slot)) this.#kernel.clear(Uint32Array.of(slot));
    this.#users.remove(userId);
    this.#carried.delete(slot);
    this.#revision += 1;
    return true;
  }

  /**
   * Under a contrastive policy: the targets for the next step of `userIds`, by their slots of this moment, on rows whose
   * targets are vectors, and their losses before it.
   */
  contrast(
    userIds: readonly string[],
    { slots, rowOffsets, x, target, rowWeight }: UpdateBatch,
    rewards: Float32Array,
  ) {
    const y = new Float32Array(target.length);
    const rowSlots = new Uint32Array(rewards.length);
    for (let i = 0; i < slots.length; i++) rowSlots.fill(slots[i], rowOffsets[i], rowOffsets[i + 1]);
    this.#kernel.apply({ slots: rowSlots, x }, y);
    const { embeddingDim } = this.#config;
    const loss = new Float32Array(slots.length);
    for (let i = 0; i < slots.length; i++) {
      const [first, end] = [rowOffsets[i], rowOffsets[i + 1]];
      const cut = (values: Float32Array) => values.subarray(first * embeddingDim, end * embeddingDim);
      const rows = {
        count: end - first,
        target: cut(target as Float32Array),
        rewards: rewards.subarray(first, end),
        weights: rowWeight?.subarray(first, end),
      };
      const version = 1 + this.#records.updatesOf(slots[i]);
      const contrastive = contrastiveLossOf(this.#config, rows, { userId: userIds[i], version }) as ContrastiveLoss;
      loss[i] = contrastive.at(cut(y));
      cut(y).set(contrastive.targetsAt(cut(y)));
    }
    return { target: y, loss };
  }

  /**
   * One step of distinct users, by their slots of this moment, on their rows (CSR), of which as many as `newOffsets` says
   * (default: all) count as samples. Users who leave meanwhile are gone when it ends. `loss` is reported and kept where
   * the squared error of the targets is not the loss.
   */
  async step(
    rows: UpdateBatch,
    inBackground: boolean,
    { newOffsets = rows.rowOffsets, loss }: { newOffsets?: Uint32Array; loss?: Float32Array } = {},
  ): Promise<UpdateReport> {
    const { slots } = rows;
    const learningRate = new Float32Array(slots.length);
    for (let i = 0; i < slots.length; i++) learningRate[i] = this.#learningRateOf(slots[i]);
    const batch = { ...rows, learningRate };
    this.#running = { batch, newOffsets, now: Date.now() };
    this.#users.pin(slots);
    try {
      const report = inBackground ? await this.#kernel.updateAsync(batch) : updateNow(this.#kernel, batch);
      if (loss) report.loss.set(loss);
      this.#record(this.#running, report);
      return report;
    } finally {
      this.#running = undefined;
      const left = this.#users.unpin();
      if (left.length > 0) this.#kernel.clear(Uint32Array.from(left));
    }
  }

  /**
   * Renews Fisher and anchor of distinct users on their rows (CSR); the weights stay. Those who are not here are passed
   * over; returns how many were. Throws ERR_NOT_FINITE with nothing changed.
   */
  async consolidate(rows: UserContent, inBackground: boolean): Promise<number> {
    const here = keepUsers(rows, (userId) => this.has(userId));
    if (here.userIds.length === 0) return 0;
    const slots = Uint32Array.from(here.userIds, (userId) => this.#users.slotOf(userId) as number);
    const batch = { slots, rowOffsets: here.rowOffsets, x: here.x, decay: this.#config.consolidation.decay };
    this.#users.pin(slots);
    try {
      if (inBackground) await this.#kernel.consolidateAsync(batch);
      else this.#kernel.consolidate(batch);
      this.#revision += 1;
      for (const slot of slots) this.#records.touch(slot, Date.now(), this.#revision);
      return slots.length;
    } finally {
      const left = this.#users.unpin();
      if (left.length > 0) this.#kernel.clear(Uint32Array.from(left));
    }
  }

  /** Of the slot's next step. */
  #learningRateOf(slot: number): number {
    return learningRateAt(this.#config, this.#records.updatesOf(slot));
  }

  #record({ batch, newOffsets, now }: RunningStep, report: UpdateReport): void {
    this.#revision += 1;
    const { slots } = batch;
    for (let i = 0; i < slots.length; i++) {
      if (report.flags[i] & (UpdateFlag.REJECTED | UpdateFlag.NO_WEIGHT)) continue;
      // a slot that was left meanwhile is overwritten before it is used again
      this.#records.recordStep(slots[i], {
        rows: newOffsets[i + 1] - newOffsets[i],
        loss: report.loss[i],
        learningRate: this.#learningRateOf(slots[i]),
        now,
        revision: this.#revision,
      });
    }
  }

  #read(slot: number, userId: string): AdapterState {
    const { layout } = this.#kernel;
    const slab = new Float32Array(layout.slabLength);
    const steps = new Uint32Array(1);
    // waits for a step that is running
    this.#kernel.read(Uint32Array.of(slot), slab, steps);
    return readFromSlab(layout, slab, 0, steps[0], this.#besideSlab(slot, userId, steps[0]));
  }

  #besideSlab(slot: number, userId: string, steps: number): StateBesideSlab {
    const meta = toJson(this.#metaAfter(slot, userId, steps));
    return { step: 0, ...this.#carried.get(slot), shape: this.shape, meta };
  }

  /**
   * The user's data that go with his weights after `steps` steps. When a step has just been taken and its report is still
   * on its way to this thread, it is counted already; only its loss is missing from avgLoss until the report arrives.
   */
  #metaAfter(slot: number, userId: string, steps: number): UserMeta {
    const meta = this.#records.get(slot, userId);
    if (!this.#running || !this.#users.isPinned(slot) || steps === this.#records.optimizerStepOf(slot)) return meta;
    const { batch, newOffsets, now } = this.#running;
    const i = batch.slots.indexOf(slot);
    const totalSamples = meta.totalSamples + newOffsets[i + 1] - newOffsets[i];
    const times = { updatedAt: now, lastTrainedAt: now };
    return {
      ...meta,
      ...times,
      version: meta.version + 1,
      totalSamples,
      learningRate: this.#learningRateOf(slot),
      lastBatch: undefined,
    };
  }

  #carry(slot: number, { fisher, anchor, moment1, moment2, step }: AdapterState): void {
    const { sections } = this.#kernel.layout;
    const fisherStays = !sections.includes('fisher') && fisher;
    const momentsStay = !sections.includes('moment1') && moment1;
    if (fisherStays || momentsStay) {
      const [f, a, m1, m2] = [fisher, anchor, moment1, moment2].map((section) => section?.slice());
      this.#carried.set(slot, { fisher: f, anchor: a, moment1: m1, moment2: m2, step });
    } else {
      this.#carried.delete(slot);
    }
  }
}
