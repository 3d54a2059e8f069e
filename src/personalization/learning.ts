/** One learn() of the pool: fresh adapters for new users, then one step of every user, in portions. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type BackendName, UpdateFlag } from '../kernels/contract.js';
import type { GroupedFeedback } from './grouped-feedback.js';
import type { PooledAdapters } from './pooled-adapters.js';
import type { Retention } from './retention.js';
import type { LearnReport } from './types.js';

/**
 * Work of one kernel call, in multiply-adds: on the order of a millisecond, which is what a personalize() made meanwhile
 * may have to wait. For js and, per thread, cpu from the benchmark's rates; a GPU is held back by copying the rows.
 */
const PORTION: Record<BackendName, (threads: number) => number> = {
  js: () => 2e6,
  cpu: (threads) => 3e7 * threads,
  cuda: () => 1e9,
};

/** Below this share of a portion, changing threads would take longer than the work. */
const BACKGROUND_SHARE = 0.1;

/** Numbers of fresh adapters made without a break; takes a few milliseconds, most of it for drawing and for new memory. */
const CREATION_PARAMETERS = 2 ** 15;

export interface LearningCosts {
  backend: BackendName;
  threads: number;
  /** Numbers in one adapter. */
  parameterCount: number;
}

/**
 * Teaches `adapters` the feedback and reports. `reserve` is told how many of the capacity's places are promised to users
 * still to be created. Throws ERR_POOL_FULL with nothing changed. A user who is removed while this runs stays removed,
 * and the rest of his feedback is dropped. With `retention` users also learn again what it kept of them, and are
 * consolidated when it is time.
 */
export async function learnFeedback(
  adapters: PooledAdapters,
  feedback: GroupedFeedback,
  costs: LearningCosts,
  reserve: (places: number) => void,
  retention?: Retention,
): Promise<LearnReport> {
  const { userIds, rowOffsets } = feedback;
  const report: LearnReport = {
    updates: 0,
    rows: rowOffsets[userIds.length],
    created: await createUnknown(adapters, userIds, costs, reserve),
    clipped: 0,
    rejected: [],
    meanLoss: 0,
  };
  const portion = PORTION[costs.backend](costs.threads);
  let first = 0;
  while (first < userIds.length) {
    const slots: number[] = [];
    let work = 0;
    for (let user = first; user < userIds.length && work < portion; user++) {
      const slot = adapters.slotOf(userIds[user]);
      if (slot === undefined) break;
      slots.push(slot);
      work += workOf(rowOffsets[user + 1] - rowOffsets[user], costs);
    }
    if (slots.length === 0) {
      first += 1; // removed meanwhile
      continue;
    }
    await learnPortion(adapters, feedback, first, slots, work > BACKGROUND_SHARE * portion, report, retention);
    first += slots.length;
    // the js backend has no background, so timers and requests get their turn here
    if (first < userIds.length) await nextTurn();
  }
  if (report.updates > 0) report.meanLoss /= report.updates;
  return report;
}

/** Renews Fisher and anchor of the users that are here, in portions; returns their number. */
export async function consolidateFeedback(
  adapters: PooledAdapters,
  feedback: GroupedFeedback,
  costs: LearningCosts,
): Promise<number> {
  const { userIds, rowOffsets } = feedback;
  const portion = PORTION[costs.backend](costs.threads);
  let consolidated = 0;
  for (let first = 0; first < userIds.length; ) {
    let end = first;
    let work = 0;
    while (end < userIds.length && work < portion) work += workOf(rowOffsets[end + 1] - rowOffsets[end++], costs);
    const content = { userIds: userIds.slice(first, end), ...rowsBetween(feedback, first, end) };
    consolidated += await adapters.consolidate(content, work > BACKGROUND_SHARE * portion);
    first = end;
    if (first < userIds.length) await nextTurn();
  }
  return consolidated;
}

async function createUnknown(
  adapters: PooledAdapters,
  userIds: readonly string[],
  costs: LearningCosts,
  reserve: (places: number) => void,
): Promise<number> {
  const unknown = userIds.filter((userId) => !adapters.has(userId));
  if (unknown.length === 0) return 0;
  adapters.requireRoom(unknown);
  const perTurn = Math.max(1, Math.floor(CREATION_PARAMETERS / costs.parameterCount));
  const created: string[] = [];
  try {
    for (let first = 0; first < unknown.length; first += perTurn) {
      const some = unknown.slice(first, first + perTurn).filter((userId) => !adapters.has(userId));
      adapters.create(some);
      created.push(...some);
      reserve(Math.max(0, unknown.length - first - perTurn));
      if (first + perTurn < unknown.length) await nextTurn();
    }
  } catch (error) {
    for (const userId of created) adapters.remove(userId);
    throw error;
  } finally {
    reserve(0);
  }
  return created.length;
}

/** Steps as many users from `first` on as there are slots, theirs, and adds to the report, summing losses in meanLoss. */
async function learnPortion(
  adapters: PooledAdapters,
  feedback: GroupedFeedback,
  first: number,
  slots: number[],
  inBackground: boolean,
  report: LearnReport,
  retention: Retention | undefined,
): Promise<void> {
  const { rewards, ...between } = rowsBetween(feedback, first, first + slots.length);
  const rows = { slots: new Uint32Array(slots), ...between };
  const userIds = retention || rewards ? feedback.userIds.slice(first, first + slots.length) : [];
  const contrast = rewards && adapters.contrast(userIds, rows, rewards);
  const batch = retention ? retention.withReplay(userIds, rows) : rows;
  const { flags, loss } = await adapters.step(
    { ...batch, ...(contrast && { target: contrast.target }) },
    inBackground,
    {
      newOffsets: rows.rowOffsets,
      loss: contrast?.loss,
    },
  );
  for (let i = 0; i < slots.length; i++) {
    if (flags[i] & UpdateFlag.REJECTED) report.rejected.push(feedback.userIds[first + i]);
    if (flags[i] & (UpdateFlag.REJECTED | UpdateFlag.NO_WEIGHT)) continue;
    report.updates += 1;
    report.meanLoss += loss[i];
    if (flags[i] & UpdateFlag.CLIPPED) report.clipped += 1;
  }
  const due = retention?.observe(userIds, rows, { flags, loss });
  if (due) await adapters.consolidate({ ...due, userIds: due.users.map((user) => userIds[user]) }, inBackground);
}

function rowsBetween(
  { rowOffsets, x, target, rowWeight, rewards }: GroupedFeedback,
  firstUser: number,
  endUser: number,
) {
  const rows = rowOffsets[rowOffsets.length - 1];
  const [first, end] = [rowOffsets[firstUser], rowOffsets[endUser]];
  const cut = <T extends { length: number; subarray(begin: number, end: number): T }>(array: T) => {
    const width = array.length / rows;
    return array.subarray(first * width, end * width);
  };
  const offsets = rowOffsets.slice(firstUser, endUser + 1);
  for (let i = 0; i < offsets.length; i++) offsets[i] -= first;
  return {
    rowOffsets: offsets,
    x: x instanceof Float32Array ? cut(x) : cut(x),
    target: target instanceof Float32Array ? cut(target) : cut(target),
    rowWeight: rowWeight && cut(rowWeight),
    rewards: rewards && cut(rewards),
  };
}

/** Multiply-adds of a step: forward and two gradients for each row, and what the parameters cost whatever the rows. */
function workOf(rows: number, { parameterCount }: LearningCosts): number {
  return parameterCount * (2.5 * rows + 12);
}
