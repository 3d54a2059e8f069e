/**
 * New users who start among similar ones: the first ratings of each replayed user are his behaviour, the background users'
 * adapters are whom he may be like, and the ratings after that are predicted, each before it is learned.
 */
import { type AdapterPool, createAdapterPool, fitPopulationPrior, type UserLoRAAdapter } from 'lorakeet';
import { type History, replayBaselines } from './baselines.js';
import { isBackgroundUser, type Rating } from './data.js';
import { fitItemFeatures } from './features.js';
import { backgroundFeedback, DEFAULTS } from './prior-trial.js';
import { CORRECTION_AXIS, EMBEDDING_DIM, itemTable, replayAdapters } from './replay.js';
import { meanDifference, rootMean } from './results.js';

/** Events that a user is known by, and those after them that count. */
const KNOWN = 5;
const COUNTED = 10;

export interface SimilarTrial {
  /** RMSE of the counted events */
  bias: number;
  ridge: number;
  /** Without a prior */
  fresh: StartsCompared;
  /** With a population prior */
  informed: StartsCompared;
}

export interface StartsCompared {
  /** RMSE of the counted events after learning the known ones one by one */
  learned: number;
  /** The same after a start among similar users instead */
  similar: number;
  /** Mean over users of (similar − learned) of the mean squared error, and the standard error of that mean */
  difference: number;
  standardError: number;
}

export async function trySimilar(ratings: readonly Rating[], seed: number): Promise<SimilarTrial> {
  const background = ratings.filter(({ user }) => isBackgroundUser(user, seed));
  const features = fitItemFeatures(background);
  const items = itemTable(features);
  const histories = replayBaselines(
    ratings.filter(({ user }) => !isBackgroundUser(user, seed)),
    features,
  )
    .filter((history) => history.items.length >= KNOWN + COUNTED)
    .map((history) => ({ ...history, items: history.items.subarray(0, KNOWN + COUNTED) }));
  const others = backgroundFeedback(background);
  const { adapter } = await fitPopulationPrior(others, DEFAULTS);
  const run = async (prior?: UserLoRAAdapter): Promise<StartsCompared> => {
    const learned = await withPool(items, prior, (pool) => predict(pool, items, histories, 0));
    const similar = await withPool(items, prior, async (pool) => {
      await learnOneByOne(pool, others);
      const among = pool.userIds();
      for (const history of histories) {
        pool.createAdapter(String(history.user), {
          warmStart: 'similar',
          feedback: knownEvents(items, history),
          among,
        });
      }
      return predict(pool, items, histories, KNOWN);
    });
    return { learned: rootMean(learned)!, similar: rootMean(similar)!, ...meanDifference(similar, learned) };
  };
  const counted = (errors: Float64Array) => errors.subarray(KNOWN, KNOWN + COUNTED);
  return {
    bias: rootMean(histories.map(({ biasErrors }) => counted(biasErrors)))!,
    ridge: rootMean(histories.map(({ ridgeErrors }) => counted(ridgeErrors)))!,
    fresh: await run(),
    informed: await run(adapter),
  };
}

async function withPool<T>(
  items: Float32Array,
  prior: UserLoRAAdapter | undefined,
  work: (pool: AdapterPool) => Promise<T>,
): Promise<T> {
  const pool = createAdapterPool({ ...DEFAULTS, items, prior });
  try {
    return await work(pool);
  } finally {
    await pool.close();
  }
}

/** The n-th row of every user in the n-th call, so that each is an update of its own. */
async function learnOneByOne(
  pool: AdapterPool,
  { userIds, content, target }: ReturnType<typeof backgroundFeedback>,
): Promise<void> {
  const seen = new Map<string, number>();
  const turns: { userId: string; contentEmbedding: Float32Array; targetEmbedding: Float32Array }[][] = [];
  userIds.forEach((userId, row) => {
    const turn = seen.get(userId) ?? 0;
    seen.set(userId, turn + 1);
    const rowOf = (table: Float32Array) => table.subarray(row * EMBEDDING_DIM, (row + 1) * EMBEDDING_DIM);
    turns[turn] ??= [];
    turns[turn].push({ userId, contentEmbedding: rowOf(content), targetEmbedding: rowOf(target) });
  });
  for (const rows of turns) await pool.learn(rows);
}

function knownEvents(items: Float32Array, { items: events, base, ratings }: History) {
  return Array.from({ length: KNOWN }, (_, event) => {
    const item = events[event];
    const targetEmbedding = items.slice(item * EMBEDDING_DIM, (item + 1) * EMBEDDING_DIM);
    targetEmbedding[CORRECTION_AXIS] = ratings[event] - base[event];
    return { item, targetEmbedding };
  });
}

/** Squared errors of each user's counted events. */
async function predict(
  pool: AdapterPool,
  items: Float32Array,
  histories: readonly History[],
  from: number,
): Promise<Float64Array[]> {
  const counted = histories.map(() => new Float64Array(COUNTED));
  for await (const { batch, users, errors } of replayAdapters(pool, items, histories, from)) {
    if (batch < KNOWN) continue;
    users.forEach((user, row) => {
      counted[user][batch - KNOWN] = errors[row];
    });
  }
  return counted;
}
