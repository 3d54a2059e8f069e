/// <reference path="./agentdb-modules.d.ts" />
/**
 * A ReasoningBank over the two controllers of agentdb that work, ReflexionMemory and SkillLibrary, in agentdb's own schema:
 * other programs that use agentdb find the episodes and skills.
 */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { inTransaction, openSqlite, type SqliteDatabase } from '../sqlite.js';
import { requireConsolidation, requirePattern, requireRetrieval, requireText } from './bank-arguments.js';
import type {
  LearnedStrategy,
  ReasoningBankInstance,
  ReasoningBankOptions,
  ReasoningBankPattern,
  RetrievedPattern,
} from './contract.js';
import { hashOf } from './embedded/text-vector.js';

/** What turns texts into vectors; agentdb's EmbeddingService is one. */
export interface Embedder {
  embed(text: string): Promise<Float32Array>;
}

export interface AgentdbBankOptions {
  /** default: letter triples, hashed; no model, no network, and the same everywhere */
  embedder?: Embedder;
}

export interface AgentdbReasoningBank extends ReasoningBankInstance {
  /** Closing twice is harmless; every other call then rejects with ERR_BANK_CLOSED. */
  close(): Promise<void>;
}

const STRATEGY_PATTERNS = 10;
const STATISTICS_DAYS = 30;
const SCHEMAS = ['schema.sql', 'frontier-schema.sql'];
const EMBEDDING_DIMENSIONS = 384;

/**
 * Opens, or makes, agentdb's database at `path`. Rejects with ERR_REASONING_BANK_UNAVAILABLE where agentdb is not installed
 * or its controllers cannot be used, and as openSqlite does. Searching is agentdb's, which reads every episode from the
 * file: tens of milliseconds at thousands of episodes. It learns no settings, so `recommendation` is always empty.
 */
export async function agentdbReasoningBank(
  path: string,
  { embedder = lettersEmbedder }: AgentdbBankOptions = {},
  load: () => Promise<Agentdb> = loadAgentdb,
): Promise<AgentdbReasoningBank> {
  requireText('path', path);
  if (typeof embedder?.embed !== 'function')
    fail('ERR_INVALID_CONFIG', 'embedder.embed', embedder?.embed, 'a function');
  const { ReflexionMemory, SkillLibrary, schemas } = await load().catch((cause) => {
    const advice = 'ONNXRUNTIME_NODE_INSTALL=skip npm install agentdb@3.0.0-alpha.20';
    const message = `agentdb cannot be loaded (${(cause as Error).message}): ${advice}`;
    throw new LorakeetError('ERR_REASONING_BANK_UNAVAILABLE', message, { cause });
  });
  const database = openSqlite(path);
  try {
    for (const schema of schemas) database.exec(schema);
    const embed = embedder.embed.bind(embedder);
    // the names that agentdb's controllers call it by
    const both = { embed, embedQuery: embed, embedPassage: embed };
    return new AgentdbBank(database, new ReflexionMemory(database, both), new SkillLibrary(database, both));
  } catch (cause) {
    database.close();
    const reason = (cause as Error).message;
    throw new LorakeetError('ERR_REASONING_BANK_UNAVAILABLE', `agentdb cannot use ${path}: ${reason}`, { cause });
  }
}

interface Reflexion {
  storeEpisode(episode: object): Promise<number>;
  retrieveRelevant(query: {
    task: string;
    k?: number;
    minReward?: number;
    onlySuccesses?: boolean;
    onlyFailures?: boolean;
  }): Promise<Record<string, unknown>[]>;
  getTaskStats(task: string, timeWindowDays?: number): { totalAttempts: number };
}

interface Skills {
  createSkill(skill: object): Promise<number>;
}

/** What is used of the package; `schemas` are the texts of its SQL files. */
export interface Agentdb {
  ReflexionMemory: new (database: object, embedder: object) => Reflexion;
  SkillLibrary: new (database: object, embedder: object) => Skills;
  schemas: readonly string[];
}

async function loadAgentdb(): Promise<Agentdb> {
  const { ReflexionMemory } = await import('agentdb/controllers/ReflexionMemory');
  const { SkillLibrary } = await import('agentdb/controllers/SkillLibrary');
  const folder = dirname(createRequire(import.meta.url).resolve('agentdb/package.json'));
  const schemas = SCHEMAS.map((name) => readFileSync(join(folder, 'dist', 'schemas', name), 'utf8'));
  return { ReflexionMemory, SkillLibrary, schemas } as Agentdb;
}

class AgentdbBank implements AgentdbReasoningBank {
  readonly #database: SqliteDatabase;
  readonly #reflexion: Reflexion;
  readonly #skills: Skills;
  #closed = false;

  constructor(database: SqliteDatabase, reflexion: Reflexion, skills: Skills) {
    this.#database = database;
    this.#reflexion = reflexion;
    this.#skills = skills;
  }

  async storePattern(pattern: ReasoningBankPattern): Promise<number> {
    this.#requireOpen();
    return Number(await this.#reflexion.storeEpisode(requirePattern(pattern)));
  }

  async retrievePatterns(query: string, options: ReasoningBankOptions = {}): Promise<RetrievedPattern[]> {
    this.#requireOpen();
    const { situation, ...filters } = requireRetrieval(options);
    const episodes = await this.#reflexion.retrieveRelevant({ task: requireText('query', query), ...filters });
    return episodes.map(patternOf);
  }

  async learnStrategy(task: string): Promise<LearnedStrategy> {
    const patterns = await this.retrievePatterns(task, { k: STRATEGY_PATTERNS, onlySuccesses: true });
    const causality = this.#reflexion.getTaskStats(task, STATISTICS_DAYS);
    const confidence = Math.min(1, causality.totalAttempts / STRATEGY_PATTERNS);
    return { patterns, causality, confidence, recommendation: '' };
  }

  /** Of episodes with the same task. agentdb's own consolidation goes by reward and knows no success rate. */
  async autoConsolidate(minUses = 5, minSuccessRate = 0.85, lookbackDays = 30): Promise<{ skillsCreated: number }> {
    this.#requireOpen();
    requireConsolidation(minUses, minSuccessRate, lookbackDays);
    const groups = this.#database.prepare(`
      SELECT task, count(*) AS uses, avg(success) AS successRate, avg(reward) AS avgReward,
        coalesce(avg(latency_ms), 0) AS avgLatencyMs
      FROM episodes
      WHERE ts >= unixepoch() - ? AND task NOT IN (SELECT name FROM skills)
      GROUP BY task HAVING count(*) >= ? AND avg(success) >= ?`);
    const seconds = Math.min(lookbackDays * 24 * 60 * 60, Number.MAX_SAFE_INTEGER);
    const found = inTransaction(this.#database, () => groups.all(seconds, minUses, minSuccessRate));
    for (const { task, ...measures } of found as { task: string; uses: number; successRate: number }[]) {
      const description = `Consolidated from ${measures.uses} episodes`;
      await this.#skills.createSkill({ name: task, description, signature: { inputs: {}, outputs: {} }, ...measures });
    }
    return { skillsCreated: found.length };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#database.close();
  }

  #requireOpen(): void {
    if (this.#closed) throw new LorakeetError('ERR_BANK_CLOSED', 'the ReasoningBank has been closed');
  }
}

/** Only the contract's fields; agentdb answers with the embedding as well. */
function patternOf(episode: Record<string, unknown>): RetrievedPattern {
  const { id, sessionId, task, input, output, critique, success, reward, latencyMs, similarity } = episode;
  const pattern = { sessionId, task, input, output, critique, success: Boolean(success), reward, latencyMs };
  return { ...pattern, id: Number(id), similarity } as RetrievedPattern;
}

/** As the embedded bank's text vectors (feature hashing), in the length that agentdb expects. */
const lettersEmbedder: Embedder = {
  async embed(text) {
    const vector = new Float32Array(EMBEDDING_DIMENSIONS);
    const padded = ` ${text.toLowerCase()} `;
    for (let i = 0; i + 3 <= padded.length; i++) {
      const hash = hashOf(padded, i, i + 3);
      vector[hash % EMBEDDING_DIMENSIONS] += hash & 0x40000000 ? 1 : -1;
    }
    const norm = Math.hypot(...vector);
    return norm === 0 ? vector : vector.map((value) => value / norm);
  },
};
