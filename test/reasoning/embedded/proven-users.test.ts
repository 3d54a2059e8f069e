/** Whom the bank names as users whose updates went well in like situations. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { AdaptationSituation } from '../../../src/reasoning/contract.js';
import { ReasoningBank } from '../../../src/reasoning/embedded/bank.js';
import { ProvenUsers } from '../../../src/reasoning/embedded/proven-users.js';
import { bucketOf, conditionsOf } from '../../../src/reasoning/embedded/situation.js';
import { examplePattern, exampleSituation } from '../../../src/testing/bank-conformance.js';
import { coded } from '../../personalization/samples.js';

const DAY = 24 * 60 * 60 * 1000;
let folder: string;
let now = 1000 * DAY;
const clock = () => now;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-proven-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Updates of a user whose adapter, from the second on, leaves this share of the residual. */
async function store(
  bank: ReasoningBank,
  userId: string,
  left: number,
  { updates = 5, residualRms = 0.15, ...changes }: Partial<AdaptationSituation> & StoreOptions = {},
): Promise<void> {
  for (let previousVersion = 1; previousVersion <= updates; previousVersion++) {
    const feedback = { ...exampleSituation().feedback, residualRms };
    const situation = exampleSituation({ userId, previousVersion, feedback, ...changes });
    const lossBefore = residualRms ** 2 * (previousVersion === 1 ? 1 : left);
    await bank.storePattern(examplePattern({}, situation, { lossBefore }));
  }
}

interface StoreOptions {
  updates?: number;
  residualRms?: number;
}

const newcomer = exampleSituation({ userId: 'new', previousVersion: 1 });

describe('similarUsers of the embedded bank', () => {
  it('names those who explained most of what they had not learned, and nobody who explained nothing', async () => {
    const bank = new ReasoningBank();
    await store(bank, 'fair', 0.5);
    await store(bank, 'best', 0.1);
    await store(bank, 'useless', 1);
    await store(bank, 'harmful', 40);
    await store(bank, 'beginner', 0.1, { updates: 2 });
    await store(bank, 'untaught', 0, { updates: 1 });
    expect(bank.similarUsers(newcomer, 10)).toEqual(['best', 'fair', 'beginner']);
    expect(bank.similarUsers(newcomer, 1)).toEqual(['best']);
    expect(bank.similarUsers({ ...newcomer, userId: 'best' }, 10)).toEqual(['fair', 'beginner']);
    await bank.close();
  });

  it('keeps to users of that kind, however many rows they bring at once', async () => {
    const bank = new ReasoningBank();
    await store(bank, 'alike', 0.5);
    await store(bank, 'row by row', 0.6, { batchSize: 1 });
    await store(bank, 'ten times as much', 0.1, { residualRms: 1.5 });
    await store(bank, 'other rank', 0.1, { rank: 16 });
    await store(bank, 'other dimension', 0.1, { embeddingDim: 256 });
    expect(bank.similarUsers(newcomer, 10)).toEqual(['alike', 'row by row']);
    await bank.close();
  });

  it('adds up what a user has shown, and knows of which kind he is now', async () => {
    const bank = new ReasoningBank();
    await store(bank, 'once', 0.3, { updates: 3 });
    await store(bank, 'twice', 0.3, { updates: 3 });
    await store(bank, 'twice', 0.3, { updates: 3, residualRms: 0.4 });
    await store(bank, 'changed', 0.3, { updates: 3 });
    await store(bank, 'changed', 0.3, { updates: 30, residualRms: 15 });
    expect(bank.similarUsers(newcomer, 10)).toEqual(['twice', 'once']);
    await bank.close();
  });

  it('forgets users with their episodes, but not those whom a skill remembers', async () => {
    for (const consolidate of [false, true]) {
      const path = join(folder, `${consolidate}.db`);
      const bank = new ReasoningBank(path, { now: clock });
      await store(bank, 'best', 0.1);
      await store(bank, 'fair', 0.5);
      if (consolidate) expect((await bank.autoConsolidate(5, 0.5, 30)).skillsCreated).toBe(1);
      now += 400 * DAY;
      const left = consolidate ? ['best', 'fair'] : [];
      expect((await bank.prune()).episodesRemoved).toBe(10);
      expect(bank.similarUsers(newcomer, 10)).toEqual(left);
      await bank.close();
      const again = new ReasoningBank(path, { now: clock });
      expect(again.similarUsers(newcomer, 10)).toEqual(left);
      await again.close();
    }
  });

  it('counts no update twice, however often it is consolidated and opened', async () => {
    const path = join(folder, 'bank.db');
    const bank = new ReasoningBank(path);
    await store(bank, 'long', 0.4, { updates: 6 });
    await bank.autoConsolidate(5, 0.5, 30);
    await bank.autoConsolidate(5, 0.5, 30);
    // 0.6 · 5/7 = 0.43 for five updates; ten of them would be 0.5
    await store(bank, 'good', 0.25, { updates: 4 });
    const expected = ['good', 'long'];
    expect(bank.similarUsers(newcomer, 10)).toEqual(expected);
    await bank.close();
    const again = new ReasoningBank(path);
    expect(again.similarUsers(newcomer, 10)).toEqual(expected);
    await again.close();
  });

  it('remembers a hundred thousand users, those who learned last', () => {
    const proven = new ProvenUsers();
    const bucket = bucketOf(conditionsOf(newcomer));
    const add = (userId: string) =>
      proven.add(bucket, { userId, updates: 1, explained: userId === 'last' ? 0.2 : 0.5 });
    add('returns');
    add('leaves');
    for (let i = 0; i < 99_998; i++) add(`user-${i}`);
    add('returns');
    add('last');
    const found = proven.find(bucket, '', 200_000);
    expect(found).toHaveLength(100_000);
    expect(found[0]).toBe('returns');
    expect(found.at(-1)).toBe('last');
    expect(found).not.toContain('leaves');
  });

  it('refuses what is no situation or no number', async () => {
    const bank = new ReasoningBank();
    expect(() => bank.similarUsers({ ...newcomer, rank: 0 }, 5)).toThrow(coded('ERR_INVALID_ARGUMENT', 'situation'));
    expect(() => bank.similarUsers(undefined as never, 5)).toThrow(coded('ERR_INVALID_ARGUMENT', 'situation'));
    expect(() => bank.similarUsers(newcomer, 0)).toThrow(coded('ERR_OUT_OF_RANGE', 'k'));
    await bank.close();
    expect(() => bank.similarUsers(newcomer, 5)).toThrow(coded('ERR_BANK_CLOSED'));
  });
});
