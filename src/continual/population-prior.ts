/** What a population teaches a new user's adapter before its first feedback: where to start, how fast, how far. */
import type { KernelBackend, KernelPool, PoolConfig } from '../kernels/contract.js';
import { sectionView } from '../kernels/layout.js';
import { type AdapterFactors, type CommonDirections, findCommonDirections } from './common-directions.js';
import { type FeedbackHistories, meanLoss, type PrequentialLoss, replayHistories, userCountOf } from './histories.js';
import {
  type PriorSections,
  type RowStatistics,
  rowStatistics,
  type StartSettings,
  startInDirections,
} from './prior-start.js';

export interface PriorRequest {
  backend: KernelBackend;
  /** Of the pool in which the new users will learn; its capacity does not matter. */
  config: PoolConfig;
  /** Step size of an adapter's step number k. */
  learningRateAt: (step: number) => number;
  /** Weights of a fresh adapter of user u. */
  freshWeights: (user: number) => Float32Array;
  histories: FeedbackHistories;
}

export interface PriorFit {
  /** What new users start from; absent if no common start predicts better than starting fresh. */
  start?: PriorSections & {
    /** To be written with the sections: so large that AdamW takes the moments as they are. */
    step: number;
  };
  /** Mean loss of the population's rows before they were learned, by adapters from the start (if there is one). */
  loss: number;
  /** The same by fresh adapters. */
  freshLoss: number;
  /** Share of what the fresh adapters learned that lies along the prior's directions, 0 … 1. */
  reachedEnergy: number;
}

/** AdamW's bias correction is 1 in double precision long before. */
const SETTLED_STEP = 2 ** 20;

/** Share of an error that one row takes away at first: from hardly anything to all of it. */
const LEARNED_SHARES = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28];
const FINER = Math.SQRT2;
const IMPORTANCES = [0, 0.25, 4, 16];

/**
 * Fits the prior to the histories by empirical Bayes: adapters that start fresh and learn the histories show the common
 * output directions; step size, importance and mean are those with which adapters that start there predict every row of
 * the population best before learning it.
 */
export async function fitPrior(request: PriorRequest): Promise<PriorFit> {
  const { backend, config, histories } = request;
  const users = userCountOf(histories);
  // beside the users' slots two for the starts that they are copied from
  const pool = backend.createPool({ ...config, capacity: users + 2 });
  try {
    const fresh = await learnFresh(pool, request);
    const { inputSquares } = rowStatistics(config, histories, []);
    const count = Math.min(config.rank, config.outFeatures);
    const common = findCommonDirections(fresh.adapters, config.scaling, inputSquares, config.outFeatures, count);
    const none = { loss: fresh.loss, freshLoss: fresh.loss, reachedEnergy: 0 };
    if (!(common.totalEnergy > 0)) return none;
    const search = new PriorSearch(pool, request, common);
    const settings = await search.run();
    const loss = await search.lossOf(settings);
    if (!(loss < fresh.loss)) return none;
    const reachedEnergy = common.energies.reduce((sum, energy) => sum + energy, 0) / common.totalEnergy;
    return { start: { ...search.startOf(settings), step: search.step }, loss, freshLoss: fresh.loss, reachedEnergy };
  } finally {
    pool.close();
  }
}

async function learnFresh(
  pool: KernelPool,
  { histories, learningRateAt, freshWeights }: PriorRequest,
): Promise<{ adapters: AdapterFactors[]; loss: number }> {
  const users = userCountOf(histories);
  for (let user = 0; user < users; user++) {
    const weights = freshWeights(user);
    writeSlot(pool, user, { weights, ...(pool.config.ewc && { anchor: weights }) }, 0);
  }
  const loss = meanLoss(await replayHistories(pool, histories, learningRateAt));
  return { adapters: Array.from({ length: users }, (_, user) => factorsIn(pool, user)), loss };
}

class PriorSearch {
  /** To be written with a start. */
  readonly step: number;
  readonly #pool: KernelPool;
  readonly #request: PriorRequest;
  readonly #common: CommonDirections;
  readonly #statistics: RowStatistics;

  constructor(pool: KernelPool, request: PriorRequest, common: CommonDirections) {
    this.#pool = pool;
    this.#request = request;
    this.#common = common;
    this.#statistics = rowStatistics(pool.config, request.histories, common.directions);
    this.step = pool.config.optimizer.kind === 'adamw' ? SETTLED_STEP : 0;
  }

  startOf(settings: StartSettings): PriorSections {
    const firstRate = this.#request.learningRateAt(0);
    return startInDirections(this.#pool.config, this.#common, this.#statistics, firstRate, settings);
  }

  async lossOf(settings: StartSettings): Promise<number> {
    return meanLoss(await this.#replay([settings]));
  }

  /** One setting after the other, by the loss. */
  async run(): Promise<StartSettings> {
    const coarse = await this.#best(LEARNED_SHARES.map((learnedShare) => ({ learnedShare, importance: 1 })));
    const share = coarse.learnedShare;
    const fine = [share / FINER, share * FINER].map((learnedShare) => ({ learnedShare, importance: 1 }));
    let best = await this.#best([coarse, ...fine]);
    if (this.#pool.config.ewc) {
      best = await this.#best([best, ...IMPORTANCES.map((importance) => ({ ...best, importance }))]);
    }
    return this.#withMean(best);
  }

  async #best(candidates: readonly StartSettings[]): Promise<StartSettings> {
    let best = candidates[0];
    let least = Number.POSITIVE_INFINITY;
    for (const candidate of candidates) {
      const loss = await this.lossOf(candidate);
      if (loss < least) [best, least] = [candidate, loss];
    }
    return best;
  }

  /** Adds the mean of the users' responses if the mean of one half of them helps the other half. */
  async #withMean(settings: StartSettings): Promise<StartSettings> {
    const loss = await this.lossOf(settings);
    const responses = this.#responses();
    const users = responses.length;
    const halves = [0, 1].map((half) => meanOf(responses.filter((_, user) => user % 2 === half)));
    const crossed = await this.#replay([
      { ...settings, mean: halves[1] },
      { ...settings, mean: halves[0] },
    ]);
    if (users < 2 || !(meanLoss(crossed) < loss)) return settings;
    return { ...settings, mean: meanOf(responses) };
  }

  /** User u starts from start number u modulo their number. */
  #replay(settings: readonly StartSettings[]): Promise<PrequentialLoss> {
    const { histories, learningRateAt } = this.#request;
    const users = userCountOf(histories);
    settings.forEach((each, i) => {
      writeSlot(this.#pool, users + i, this.startOf(each), this.step);
    });
    const to = Uint32Array.from({ length: users }, (_, user) => user);
    this.#pool.copy(
      to.map((user) => users + (user % settings.length)),
      to,
    );
    return replayHistories(this.#pool, histories, learningRateAt);
  }

  /** uᵀ·ΔW of every user for each direction, [directions × inFeatures], as the last replay left them. */
  #responses(): Float64Array[] {
    const { rank, inFeatures, outFeatures, scaling } = this.#pool.config;
    const { directions } = this.#common;
    return Array.from({ length: userCountOf(this.#request.histories) }, (_, user) => {
      const { loraA, loraB } = factorsIn(this.#pool, user);
      const response = new Float64Array(directions.length * inFeatures);
      directions.forEach((direction, d) => {
        for (let k = 0; k < rank; k++) {
          let along = 0;
          for (let o = 0; o < outFeatures; o++) along += scaling * direction[o] * loraB[o * rank + k];
          for (let j = 0; j < inFeatures; j++) response[d * inFeatures + j] += along * loraA[k * inFeatures + j];
        }
      });
      return response;
    });
  }
}

function meanOf(vectors: readonly Float64Array[]): Float64Array {
  const mean = new Float64Array(vectors[0]?.length ?? 0);
  for (const vector of vectors) for (let i = 0; i < mean.length; i++) mean[i] += vector[i] / vectors.length;
  return mean;
}

function writeSlot(pool: KernelPool, slot: number, sections: Partial<PriorSections>, step: number): void {
  const slab = new Float32Array(pool.layout.slabLength);
  for (const section of pool.layout.sections) {
    const values = sections[section];
    if (values) sectionView(pool.layout, slab, section)?.set(values);
  }
  pool.write(Uint32Array.of(slot), slab, Uint32Array.of(step));
}

function factorsIn(pool: KernelPool, slot: number): AdapterFactors {
  const slab = new Float32Array(pool.layout.slabLength);
  pool.read(Uint32Array.of(slot), slab, new Uint32Array(1));
  const { loraALength, parameterCount } = pool.layout;
  return { loraA: slab.slice(0, loraALength), loraB: slab.slice(loraALength, parameterCount) };
}
