/** The embedded ReasoningBank: one SQLite file, an exact search in memory, and a learner that goes by outcomes. */
import { fail, rejectUnknownKeys, requireInteger, requireNumber } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  requireConsolidation,
  requirePattern,
  requireQuery,
  requireRetrieval,
  requireSituation,
  requireText,
} from '../bank-arguments.js';
import type {
  AdaptationSituation,
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
  RetrievedPattern,
} from '../contract.js';
import { type Episode, episodeOf, isSituation } from './episode.js';
import { sumsOf } from './evidence.js';
import { GroupCommit } from './group-commit.js';
import { PatternIndex } from './pattern-index.js';
import { ProvenUsers, proofOf } from './proven-users.js';
import { recommendationOf } from './recommendation.js';
import { bucketOf, conditionsOf } from './situation.js';
import { type EpisodeRecord, findSkills, type Skill, type SkillEvidence } from './skills.js';
import { BankStore, type StoredEpisode } from './store.js';
import { StrategyLearner } from './strategy-learner.js';

export interface EmbeddedBankOptions {
  /** Most episodes kept; the oldest go first; default 100 000, at least 1 */
  maxEpisodes?: number;
  /** Episodes older than this are dropped at opening and by prune(), > 0; default 365 */
  maxAgeDays?: number;
  /** Share of new users that try a neighbour of the best settings known, 0 … 1; default 0.1 */
  exploration?: number;
  /** Decides who tries what; an integer from 0 to 2³² − 1; default 0 */
  seed?: number;
  /** Now, in ms since 1970; default Date.now */
  now?: () => number;
}

export interface PruneOptions {
  maxEpisodes?: number;
  maxAgeDays?: number;
}

export interface EmbeddedBankStats {
  episodes: number;
  /** Of those, the ones with structured features */
  structuredEpisodes: number;
  skills: number;
}

/** What storePattern() was given, and what of it the bank reads. */
interface NewEpisode {
  pattern: ReasoningBankPattern;
  episode: Episode | undefined;
}

const OPTIONS: readonly (keyof EmbeddedBankOptions)[] = ['maxEpisodes', 'maxAgeDays', 'exploration', 'seed', 'now'];
const DAY_MS = 24 * 60 * 60 * 1000;
/** Pruning goes this share below the limit, so that it is not needed again for every episode. */
const PRUNE_SHARE = 0.1;
const STRATEGY_PATTERNS = 10;

/**
 * Keeps episodes, finds similar ones, learns settings from how they went. `path` is a file, made when missing, that one
 * bank has open at a time; ':memory:', the default, keeps nothing.
 *
 * An episode whose storePattern() has resolved survives the end of the process, however sudden.
 */
export class ReasoningBank implements ReasoningBankInstance {
  readonly #store: BankStore;
  readonly #index = new PatternIndex();
  readonly #learner: StrategyLearner;
  readonly #proven = new ProvenUsers();
  readonly #records = new Map<number, EpisodeRecord>();
  readonly #skills = new Map<string, { skill: Skill; evidence: SkillEvidence }>();
  readonly #limits: Required<PruneOptions>;
  readonly #now: () => number;
  readonly #commits = new GroupCommit<NewEpisode, number>((episodes) => this.#insert(episodes));
  #closed = false;

  /**
   * Throws ERR_INVALID_CONFIG naming the option, ERR_SQLITE_UNAVAILABLE where there is no SQLite, and
   * ERR_STORE_UNAVAILABLE for a file that is no bank, that cannot be used, or that is open already.
   */
  constructor(path = ':memory:', options: EmbeddedBankOptions = {}) {
    if (typeof path !== 'string' || path === '') fail('ERR_INVALID_ARGUMENT', 'path', path, 'the name of a file');
    rejectUnknownKeys('options', options, OPTIONS);
    const { maxEpisodes = 100_000, maxAgeDays = 365, exploration = 0.1, seed = 0, now = Date.now } = options;
    this.#limits = requireLimits({ maxEpisodes, maxAgeDays });
    requireNumber('exploration', exploration, { min: 0, max: 1 });
    requireInteger('seed', seed, 0, 2 ** 32 - 1);
    if (typeof now !== 'function') fail('ERR_INVALID_CONFIG', 'now', now, 'a function');
    this.#now = now;
    this.#learner = new StrategyLearner({ exploration, seed });
    this.#store = new BankStore(path);
    try {
      this.#load();
      this.#prune(this.#limits);
    } catch (error) {
      this.#store.close();
      throw error;
    }
  }

  /** Rejects with ERR_INVALID_ARGUMENT, ERR_NOT_FINITE or ERR_OUT_OF_RANGE, or ERR_STORE_UNAVAILABLE if it cannot be kept. */
  async storePattern(pattern: ReasoningBankPattern): Promise<number> {
    this.#requireOpen();
    const checked = requirePattern(pattern);
    return this.#commits.add({ pattern: checked, episode: episodeOf(pattern) });
  }

  /** Exact: every pattern that passes the filters is compared. */
  async retrievePatterns(query: string, options: ReasoningBankOptions = {}): Promise<RetrievedPattern[]> {
    this.#requireOpen();
    return this.#retrieve({ text: requireText('query', query), ...requireRetrieval(options) });
  }

  /**
   * Without a situation that of the most similar episode is taken. `causality` tells what was compared with the configured
   * settings. The same user gets the same answer while nothing significantly better is learnt.
   */
  async learnStrategy(task: string, situation?: AdaptationSituation): Promise<LearnedStrategy> {
    this.#requireOpen();
    const text = requireText('task', task);
    const given = requireQuery(situation);
    const patterns = this.#retrieve({ text, situation: given, k: STRATEGY_PATTERNS });
    const here = given ?? situationIn(patterns);
    if (!here) return { patterns, causality: null, confidence: 0, recommendation: '', hints: {} };
    const advice = this.#learner.advise(here);
    const skill = this.#skills.get(advice.bucket)?.skill;
    const { kind, confidence, hints, difference } = advice;
    return {
      patterns,
      causality: { kind, ...difference, skill: skill ?? null },
      confidence,
      recommendation: recommendationOf(advice, here, skill),
      hints,
    };
  }

  /**
   * Users whose adapters explained most of what they had not learned yet, where content, residuals and adapters are of like
   * size: from episodes, and from skills also when their episodes are gone. In which directions people's tastes lie the
   * bank does not know; the engine looks at that. Throws ERR_INVALID_ARGUMENT or ERR_OUT_OF_RANGE.
   */
  similarUsers(situation: AdaptationSituation, k: number): string[] {
    this.#requireOpen();
    const here = requireSituation(situation);
    requireInteger('k', k, 1, Number.MAX_SAFE_INTEGER, 'ERR_OUT_OF_RANGE');
    return this.#proven.find(bucketOf(conditionsOf(here)), here.userId, k);
  }

  /** Defaults: 5 uses, a success rate of 0.85, 30 days. Counts new skills; those that are there are brought up to date. */
  async autoConsolidate(minUses = 5, minSuccessRate = 0.85, lookbackDays = 30): Promise<{ skillsCreated: number }> {
    this.#requireOpen();
    requireConsolidation(minUses, minSuccessRate, lookbackDays);
    this.#commits.flush();
    const now = this.#now();
    const rule = { minUses, minSuccessRate, since: now - lookbackDays * DAY_MS };
    const earlier = new Map(Array.from(this.#skills, ([bucket, { evidence }]) => [bucket, evidence]));
    const found = findSkills(this.#records.values(), rule, earlier, (bucket, arms) =>
      this.#learner.bestOf(bucket, arms),
    );
    let skillsCreated = 0;
    for (const { skill, evidence, episodes } of found) {
      const ids = episodes.map(({ id }) => id);
      const id = this.#store.saveSkill(skill, evidence, ids, now);
      if (!this.#skills.has(evidence.bucket)) skillsCreated += 1;
      this.#skills.set(evidence.bucket, { skill: { ...skill, id }, evidence });
      for (const episode of episodes) episode.skill = id;
    }
    return { skillsCreated };
  }

  /** Drops episodes beyond these limits, by default the bank's own. What skills have learnt from them stays. */
  async prune(limits: PruneOptions = {}): Promise<{ episodesRemoved: number }> {
    this.#requireOpen();
    rejectUnknownKeys('limits', limits, ['maxEpisodes', 'maxAgeDays']);
    const checked = requireLimits({ ...this.#limits, ...limits });
    this.#commits.flush();
    return { episodesRemoved: this.#prune(checked) };
  }

  skills(): Skill[] {
    this.#requireOpen();
    return Array.from(this.#skills.values(), ({ skill }) => ({ ...skill }));
  }

  stats(): EmbeddedBankStats {
    this.#requireOpen();
    return { episodes: this.#index.size, structuredEpisodes: this.#records.size, skills: this.#skills.size };
  }

  /** Writes what is pending and closes the file. Closing twice is harmless; every other call then is ERR_BANK_CLOSED. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#commits.flush();
    this.#closed = true;
    this.#store.close();
  }

  #insert(episodes: readonly NewEpisode[]): number[] {
    const createdAt = this.#now();
    const patterns = episodes.map(({ pattern }) => pattern);
    const ids = this.#store.insert(patterns, createdAt);
    episodes.forEach(({ pattern: { task, success, reward }, episode }, i) => {
      this.#takeIn({ id: ids[i], createdAt, task, success, reward, episode, skill: null });
    });
    const { maxEpisodes } = this.#limits;
    if (this.#index.size > maxEpisodes) {
      this.#prune({ ...this.#limits, maxEpisodes: Math.ceil(maxEpisodes * (1 - PRUNE_SHARE)) });
    }
    return ids;
  }

  #load(): void {
    for (const entry of this.#store.skills()) {
      this.#skills.set(entry.evidence.bucket, entry);
      const { bucket, sums, users } = entry.evidence;
      for (const sum of sums) this.#learner.evidence.add(bucket, sum);
      for (const proof of users) this.#proven.add(bucket, proof);
    }
    for (const episode of this.#store.episodes()) this.#takeIn(episode);
  }

  #takeIn({ id, createdAt, task, success, reward, episode, skill }: StoredEpisode): void {
    this.#index.add({ id, task, situation: episode?.input, success, reward });
    if (!episode) return;
    const { bucket, outcome } = this.#learner.learn(episode);
    const { learningRate, clipThreshold, ewcLambda } = episode.input;
    const settings = { learningRate, clipThreshold, ewcLambda };
    const proof = proofOf(episode);
    this.#records.set(id, { id, createdAt, bucket, settings, success, outcome, proof, skill });
    // a skill has brought with it what its episodes have shown
    if (skill !== null) return;
    if (outcome) this.#learner.evidence.add(bucket, sumsOf(outcome));
    if (proof) this.#proven.add(bucket, proof);
  }

  #prune({ maxEpisodes, maxAgeDays }: Required<PruneOptions>): number {
    const ids = this.#store.oldest(this.#index.size - maxEpisodes, this.#now() - maxAgeDays * DAY_MS);
    if (ids.length === 0) return 0;
    this.#store.remove(ids);
    this.#index.remove(new Set(ids));
    for (const id of ids) {
      const record = this.#records.get(id);
      if (!record) continue;
      this.#records.delete(id);
      const { bucket, outcome, proof, skill } = record;
      if (skill !== null) continue;
      if (outcome) this.#learner.evidence.add(bucket, sumsOf(outcome), -1);
      if (proof) this.#proven.remove(proof);
    }
    return ids.length;
  }

  #retrieve(query: Parameters<PatternIndex['search']>[0]): RetrievedPattern[] {
    const hits = this.#index.search(query);
    const patterns = this.#store.patterns(hits.map(({ id }) => id));
    return hits.map((hit, i) => ({ ...patterns[i], ...hit }));
  }

  #requireOpen(): void {
    if (this.#closed) throw new LorakeetError('ERR_BANK_CLOSED', 'the ReasoningBank has been closed');
  }
}

function requireLimits({ maxEpisodes, maxAgeDays }: Required<PruneOptions>): Required<PruneOptions> {
  requireInteger('maxEpisodes', maxEpisodes, 1, Number.MAX_SAFE_INTEGER);
  requireNumber('maxAgeDays', maxAgeDays, { above: 0, infinity: true });
  return { maxEpisodes, maxAgeDays };
}

/** The situation of the most similar pattern that has one. */
function situationIn(patterns: readonly RetrievedPattern[]): AdaptationSituation | undefined {
  for (const { input } of patterns) {
    if (input === undefined) continue;
    try {
      const value: unknown = JSON.parse(input);
      if (typeof value === 'object' && value !== null && isSituation(value)) return value as AdaptationSituation;
    } catch {
      // some other pattern, known by its words alone
    }
  }
  return undefined;
}
