import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type Agentdb, type AgentdbReasoningBank, agentdbReasoningBank } from '../../src/reasoning/agentdb.js';
import type { SqliteDatabase } from '../../src/sqlite.js';
import { bankConformance, examplePattern } from '../../src/testing/bank-conformance.js';

type Row = Record<string, number | string | null>;
interface TestEmbedder {
  embedQuery(text: string): Promise<Float32Array>;
}

/** The two controllers as far as they are used, over the same tables: agentdb itself is large, and not installed here. */
class Reflexion {
  readonly #database: SqliteDatabase;
  readonly #embedder: TestEmbedder;

  constructor(database: object, embedder: object) {
    this.#database = database as SqliteDatabase;
    this.#embedder = embedder as TestEmbedder;
  }

  async storeEpisode(episode: object): Promise<number> {
    const { sessionId, task, input, output, critique, success, reward, latencyMs } = episode as Record<string, never>;
    const insert = this.#database.prepare('INSERT INTO episodes VALUES (NULL, unixepoch(), ?, ?, ?, ?, ?, ?, ?, ?)');
    const texts = [sessionId, task, input ?? null, output ?? null, critique ?? null];
    return Number(insert.run(...texts, success ? 1 : 0, reward, latencyMs ?? null).lastInsertRowid);
  }

  async retrieveRelevant(query: {
    task: string;
    k?: number;
    minReward?: number;
    onlySuccesses?: boolean;
    onlyFailures?: boolean;
  }) {
    const { task, k = 5, minReward = 0, onlySuccesses, onlyFailures } = query;
    const wanted = await this.#embedder.embedQuery(task);
    const found = [];
    for (const row of this.#database.prepare('SELECT * FROM episodes WHERE reward >= ?').all(minReward) as Row[]) {
      if ((onlySuccesses && !row.success) || (onlyFailures && row.success)) continue;
      const embedding = await this.#embedder.embedQuery(row.task as string);
      const similarity = embedding.reduce((sum, value, j) => sum + value * wanted[j], 0);
      const { id, session_id: sessionId, latency_ms: latencyMs, input, output, critique, reward } = row;
      const texts = { sessionId, task: row.task, input, output, critique };
      found.push({ id, ...texts, success: row.success === 1, reward, latencyMs, similarity, embedding });
    }
    return found.sort((a, b) => b.similarity - a.similarity).slice(0, k);
  }

  getTaskStats(task: string) {
    const count = this.#database.prepare('SELECT count(*) AS totalAttempts FROM episodes WHERE task = ?');
    return { ...(count.get(task) as { totalAttempts: number }), successRate: 0, avgReward: 0, improvementTrend: 0 };
  }
}

class Skills {
  readonly #database: SqliteDatabase;

  constructor(database: object) {
    this.#database = database as SqliteDatabase;
  }

  async createSkill(skill: object): Promise<number> {
    const { name } = skill as { name: string };
    return Number(this.#database.prepare('INSERT INTO skills VALUES (NULL, ?)').run(name).lastInsertRowid);
  }
}

const schemas = [
  `CREATE TABLE IF NOT EXISTS episodes (id INTEGER PRIMARY KEY, ts INTEGER, session_id TEXT, task TEXT, input TEXT,
     output TEXT, critique TEXT, success INTEGER, reward REAL, latency_ms REAL)`,
  'CREATE TABLE IF NOT EXISTS skills (id INTEGER PRIMARY KEY, name TEXT UNIQUE)',
];
const load = async (): Promise<Agentdb> => ({ ReflexionMemory: Reflexion, SkillLibrary: Skills, schemas });

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-agentdb-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the bank over agentdb', () => {
  const makeBank = () => agentdbReasoningBank(':memory:', {}, load);
  const closeBank = (bank: object) => (bank as AgentdbReasoningBank).close();
  it.each(bankConformance({ makeBank, closeBank }))('$name', (test) => test.run());

  it('keeps its episodes in the file, and takes the same skill once', async () => {
    const path = join(folder, 'agent.db');
    const bank = await agentdbReasoningBank(path, {}, load);
    for (let i = 0; i < 3; i++) await bank.storePattern(examplePattern());
    expect(await bank.autoConsolidate(3, 0.9, 30)).toEqual({ skillsCreated: 1 });
    expect(await bank.autoConsolidate(3, 0.9, 30)).toEqual({ skillsCreated: 0 });
    await bank.close();
    await bank.close();
    await expect(bank.storePattern(examplePattern())).rejects.toMatchObject({ code: 'ERR_BANK_CLOSED' });
    const again = await agentdbReasoningBank(path, {}, load);
    expect(await again.retrievePatterns(examplePattern().task)).toHaveLength(3);
    await again.close();
  });

  it('uses the embedder that it is given', async () => {
    const texts: string[] = [];
    const embedder = {
      async embed(text: string) {
        texts.push(text);
        return Float32Array.of(1);
      },
    };
    const bank = await agentdbReasoningBank(':memory:', { embedder }, load);
    await bank.retrievePatterns('a query');
    expect(texts).toEqual(['a query']);
    await bank.close();
    await expect(agentdbReasoningBank(':memory:', { embedder: {} as never }, load)).rejects.toMatchObject({
      code: 'ERR_INVALID_CONFIG',
    });
  });

  it('says what to install where agentdb is missing, and why it cannot be used', async () => {
    const failure = { code: 'ERR_REASONING_BANK_UNAVAILABLE', message: expect.stringContaining('npm install agentdb') };
    await expect(agentdbReasoningBank(':memory:')).rejects.toMatchObject(failure);
    const broken = async () => ({ ...(await load()), schemas: ['CREATE nonsense'] });
    await expect(agentdbReasoningBank(':memory:', {}, broken)).rejects.toMatchObject({
      code: 'ERR_REASONING_BANK_UNAVAILABLE',
      message: expect.stringContaining('syntax error'),
    });
  });
});
