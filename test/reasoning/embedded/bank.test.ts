import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { adaptationTask } from '../../../src/reasoning/contract.js';
import { ReasoningBank } from '../../../src/reasoning/embedded/bank.js';
import { openSqlite } from '../../../src/sqlite.js';
import { examplePattern, exampleSituation } from '../../../src/testing/bank-conformance.js';

const DAY = 24 * 60 * 60 * 1000;
let folder: string;
let path: string;
let now = 0;
const clock = () => now;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-bank-'));
  path = join(folder, 'bank.db');
  now = 1000 * DAY;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Users whose adapters, at the learning rate they have, go a twentieth of the way: twenty times as much would be right. */
async function storeTimidUsers(bank: ReasoningBank, users: number, updates = 6): Promise<void> {
  for (let user = 0; user < users; user++) {
    for (let previousVersion = 1; previousVersion <= updates; previousVersion++) {
      const situation = exampleSituation({ userId: `user-${user}`, previousVersion });
      const learnt = previousVersion === 1 ? 0 : 0.05;
      const residual = situation.feedback.residualRms;
      const lossBefore = ((1 - learnt) * residual) ** 2;
      const outcome = { lossBefore, correctionRms: learnt * residual, lossAfter: lossBefore * 0.9 };
      await bank.storePattern(examplePattern({}, situation, outcome));
    }
  }
}

const stranger = exampleSituation({ userId: 'stranger', previousVersion: 1 });
const learnFor = (bank: ReasoningBank) => bank.learnStrategy(adaptationTask(stranger), stranger);

/** Sums are added up in another order when they are read again. */
const rounded = (value: unknown) =>
  JSON.parse(JSON.stringify(value, (_, one) => (typeof one === 'number' ? Number(one.toPrecision(9)) : one)));

describe('the embedded bank', () => {
  it('recommends in numbers and words what outcomes speak for', async () => {
    const bank = new ReasoningBank(':memory:', { exploration: 0 });
    await storeTimidUsers(bank, 10);
    const { hints, recommendation, confidence, causality, patterns } = await learnFor(bank);
    expect(hints?.suggestedLearningRate).toBe(0.01);
    expect(recommendation).toMatch(/^learning rate: 0\.01 \(configured 0\.001\): took away \d+(\.\d+)? % more/);
    expect(confidence).toBeGreaterThan(0.95);
    expect(causality).toMatchObject({ kind: 'learnt', skill: null });
    expect(patterns).toHaveLength(10);
    await bank.close();
  });

  it('answers from the most similar episode when it is not told the situation', async () => {
    const bank = new ReasoningBank(':memory:', { exploration: 0 });
    expect(await bank.learnStrategy('anything')).toMatchObject({ confidence: 0, recommendation: '' });
    await bank.storePattern(examplePattern({ task: 'notes', input: '{broken', output: 'free text' }));
    expect(await bank.learnStrategy('notes')).toMatchObject({ confidence: 0, recommendation: '' });
    await storeTimidUsers(bank, 10);
    expect((await bank.learnStrategy(adaptationTask(stranger))).hints).toEqual({ suggestedLearningRate: 0.01 });
    await bank.close();
  });

  it('knows after opening what it knew before closing', async () => {
    const bank = new ReasoningBank(path, { exploration: 0 });
    await storeTimidUsers(bank, 10);
    await bank.autoConsolidate(5, 0.5, 30);
    await storeTimidUsers(bank, 3);
    const before = { strategy: rounded(await learnFor(bank)), skills: bank.skills(), stats: bank.stats() };
    await bank.close();
    const again = new ReasoningBank(path, { exploration: 0 });
    expect({ strategy: rounded(await learnFor(again)), skills: again.skills(), stats: again.stats() }).toEqual(before);
    await again.close();
  });

  it('forgets with its episodes, but not what has become a skill', async () => {
    for (const consolidate of [false, true]) {
      const bank = new ReasoningBank(join(folder, `${consolidate}.db`), { exploration: 0, now: clock });
      await storeTimidUsers(bank, 10);
      if (consolidate) expect((await bank.autoConsolidate(5, 0.5, 30)).skillsCreated).toBeGreaterThan(0);
      now += 400 * DAY;
      expect(await bank.prune()).toEqual({ episodesRemoved: 60 });
      expect(bank.stats().episodes).toBe(0);
      expect((await learnFor(bank)).hints).toEqual(consolidate ? { suggestedLearningRate: 0.01 } : {});
      await bank.close();
      const again = new ReasoningBank(join(folder, `${consolidate}.db`), { exploration: 0, now: clock });
      expect((await learnFor(again)).hints).toEqual(consolidate ? { suggestedLearningRate: 0.01 } : {});
      await again.close();
    }
  });

  it('counts no episode twice, however often it is consolidated', async () => {
    const bank = new ReasoningBank(':memory:', { exploration: 0 });
    await storeTimidUsers(bank, 10);
    const { causality } = await learnFor(bank);
    await bank.autoConsolidate(5, 0.5, 30);
    expect((await bank.autoConsolidate(5, 0.5, 30)).skillsCreated).toBe(0);
    const updates = (value: unknown) => (value as { updates: number }).updates;
    expect(updates((await learnFor(bank)).causality)).toBe(updates(causality));
    expect((await learnFor(bank)).recommendation).toContain('skill 1 among them');
    await bank.close();
  });

  it('consolidates only what is recent, frequent and successful', async () => {
    const bank = new ReasoningBank(':memory:', { now: clock });
    await storeTimidUsers(bank, 2, 3);
    for (const [uses, rate, days] of [
      [7, 0.5, 30],
      [1, 1, 0.5],
    ]) {
      now += DAY;
      expect((await bank.autoConsolidate(uses, rate, days)).skillsCreated).toBe(0);
    }
    expect((await bank.autoConsolidate(6, 1, 30)).skillsCreated).toBe(1);
    expect(bank.skills()).toMatchObject([{ id: 1, learningRate: 0.001, ewcLambda: 0.5, uses: 6, successRate: 1 }]);
    await bank.close();
  });

  it('keeps within its number of episodes, the latest ones', async () => {
    const bank = new ReasoningBank(':memory:', { maxEpisodes: 20 });
    for (let i = 0; i < 30; i++) await bank.storePattern(examplePattern({ task: `task ${i}` }));
    expect(bank.stats().episodes).toBeLessThanOrEqual(20);
    expect(bank.stats().episodes).toBeGreaterThanOrEqual(18);
    const [latest] = await bank.retrievePatterns('task 29', { k: 1 });
    expect(latest.task).toBe('task 29');
    await bank.close();
  });

  it('drops episodes that are too old when it is opened', async () => {
    const bank = new ReasoningBank(path, { now: clock });
    await bank.storePattern(examplePattern());
    now += 20 * DAY;
    await bank.storePattern(examplePattern());
    await bank.close();
    const again = new ReasoningBank(path, { now: clock, maxAgeDays: 10 });
    expect(again.stats().episodes).toBe(1);
    await again.close();
  });

  it('is open in one place at a time, and free again once closed', async () => {
    const bank = new ReasoningBank(path);
    expect(() => new ReasoningBank(path)).toThrow(
      expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE', message: expect.stringContaining('has it open') }),
    );
    await bank.storePattern(examplePattern());
    await bank.close();
    await new ReasoningBank(path).close();
  });

  it('writes what is pending when it is closed, and nothing after', async () => {
    const bank = new ReasoningBank(path);
    const stored = Promise.all([bank.storePattern(examplePattern()), bank.storePattern(examplePattern())]);
    await bank.close();
    expect(await stored).toEqual([1, 2]);
    await bank.close();
    for (const call of [
      () => bank.storePattern(examplePattern()),
      () => bank.retrievePatterns('x'),
      () => bank.learnStrategy('x'),
      () => bank.autoConsolidate(),
      () => bank.prune(),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'ERR_BANK_CLOSED' });
    }
    const again = new ReasoningBank(path);
    expect(again.stats().episodes).toBe(2);
    await again.close();
  });

  it('refuses a file that is something else, and leaves it as it is', () => {
    writeFileSync(path, 'a letter to a friend, long enough to have a header of a hundred bytes '.repeat(4));
    expect(() => new ReasoningBank(path)).toThrow(expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE' }));
    const other = join(folder, 'other.db');
    const database = openSqlite(other);
    database.exec('CREATE TABLE poems (text TEXT)');
    database.close();
    expect(() => new ReasoningBank(other)).toThrow(/some other database/);
    expect(() => new ReasoningBank(join(folder, 'no', 'such', 'folder.db'))).toThrow(
      expect.objectContaining({ code: 'ERR_STORE_UNAVAILABLE' }),
    );
  });

  it.each([
    ['options.size', { size: 3 }],
    ['maxEpisodes', { maxEpisodes: 0 }],
    ['maxAgeDays', { maxAgeDays: Number.NaN }],
    ['exploration', { exploration: 2 }],
    ['seed', { seed: -1 }],
    ['now', { now: 5 }],
  ])('names the option that is wrong: %s', (name, options) => {
    expect(() => new ReasoningBank(':memory:', options as object)).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_CONFIG', message: expect.stringContaining(`${name}: got`) }),
    );
  });

  it('names the argument that is wrong', async () => {
    const bank = new ReasoningBank();
    const pattern = examplePattern();
    const situation = { ...exampleSituation(), learningRate: Number.NaN };
    const wrong: [() => Promise<unknown>, string, string][] = [
      [() => bank.storePattern({ ...pattern, reward: Number.NaN }), 'ERR_NOT_FINITE', 'pattern.reward'],
      [() => bank.storePattern({ ...pattern, reward: 1.5 }), 'ERR_OUT_OF_RANGE', 'pattern.reward'],
      [() => bank.storePattern({ ...pattern, task: 3 as never }), 'ERR_INVALID_ARGUMENT', 'pattern.task'],
      [() => bank.storePattern({ ...pattern, success: 1 as never }), 'ERR_INVALID_ARGUMENT', 'pattern.success'],
      [() => bank.storePattern({ ...pattern, input: {} as never }), 'ERR_INVALID_ARGUMENT', 'pattern.input'],
      [() => bank.retrievePatterns(5 as never), 'ERR_INVALID_ARGUMENT', 'query'],
      [() => bank.retrievePatterns('x', { k: 0 }), 'ERR_OUT_OF_RANGE', 'options.k'],
      [() => bank.retrievePatterns('x', { minReward: Number.NaN }), 'ERR_OUT_OF_RANGE', 'options.minReward'],
      [() => bank.retrievePatterns('x', { onlySuccesses: 'yes' as never }), 'ERR_INVALID_ARGUMENT', 'onlySuccesses'],
      [() => bank.learnStrategy('x', situation), 'ERR_INVALID_ARGUMENT', 'situation'],
      [() => bank.autoConsolidate(0), 'ERR_OUT_OF_RANGE', 'minUses'],
      [() => bank.autoConsolidate(1, 85), 'ERR_OUT_OF_RANGE', 'minSuccessRate'],
      [() => bank.autoConsolidate(1, 0.5, 0), 'ERR_OUT_OF_RANGE', 'lookbackDays'],
    ];
    for (const [call, code, name] of wrong) {
      await expect(call(), name).rejects.toMatchObject({ code, message: expect.stringContaining(name) });
    }
    expect(bank.stats().episodes).toBe(0);
    await bank.close();
  });
});
