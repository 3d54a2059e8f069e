import { describe, expect, it } from 'vitest';
import type { AdaptationEpisode } from '../../src/reasoning/contract.js';
import { patternOf } from '../../src/reasoning/episode.js';
import { EpisodeRecorder } from '../../src/reasoning/episode-recorder.js';
import { failingBank, hangingBank, ListBank, ListLogger } from './banks.js';

function episode(newVersion: number, lossBefore = 0.3, lossAfter = 0.08): AdaptationEpisode {
  return {
    input: {
      userId: 'u',
      rank: 4,
      embeddingDim: 64,
      batchSize: 8,
      previousVersion: newVersion - 1,
      previousLoss: 0.3,
      learningRate: 0.002,
      clipThreshold: 1,
      useEWC: true,
      ewcLambda: 0.5,
      optimizer: 'adamw',
      feedback: { meanReward: 1, targetShare: 1, inputRms: 1, residualRms: 0.5, coherence: 0.1 },
      reasoningBankHintsUsed: true,
    },
    output: {
      newVersion,
      avgLoss: 0.2,
      lossBefore,
      correctionRms: 0.1,
      lossAfter,
      lossImprovement: lossBefore - lossAfter,
      trainingTimeMs: 1.5,
      totalSamples: 16,
    },
  };
}

const versionsIn = (bank: ListBank) => bank.patterns.map(({ output }) => JSON.parse(output as string).newVersion);

describe('the record of an episode', () => {
  it('has the documented fields', () => {
    const pattern = patternOf(episode(3), 'session');
    expect(pattern).toMatchObject({
      sessionId: 'session',
      task: 'lora_adaptation_user_u_rank_4_samples_8',
      success: true,
      latencyMs: 1.5,
    });
    expect(pattern.reward).toBeCloseTo(0.92, 12);
    expect(JSON.parse(pattern.input as string)).toEqual(episode(3).input);
    expect(JSON.parse(pattern.output as string)).toEqual(episode(3).output);
    expect(pattern.critique).toContain('0.3000 before and 0.08000 after');
  });

  it('is no success above the documented loss, nor where the step raised it; the reward stays within 0 and 1', () => {
    expect(patternOf(episode(2, 0.4, 0.15), 's').success).toBe(false);
    expect(patternOf(episode(2, 0.05, 0.08), 's').success).toBe(false);
    expect(patternOf(episode(2, 9, 7), 's')).toMatchObject({ success: false, reward: 0 });
  });
});

describe('a recorder', () => {
  it('stores in the background, in order, and says so', async () => {
    const [bank, logger] = [new ListBank(), new ListLogger()];
    const recorder = new EpisodeRecorder('s', logger, 1000);
    for (let version = 2; version < 5; version++) expect(recorder.record(bank, episode(version))).toBeUndefined();
    expect(bank.calls.store).toBe(0);
    expect(recorder.counts).toEqual({ pending: 3, stored: 0, failed: 0, dropped: 0 });
    await recorder.flush();
    expect(versionsIn(bank)).toEqual([2, 3, 4]);
    expect(recorder.counts).toEqual({ pending: 0, stored: 3, failed: 0, dropped: 0 });
    expect(logger.lines[2]).toBe('info: 💾 ReasoningBank: Stored adaptation episode #3 (reward: 0.92)');
    await recorder.flush();
  });

  it('holds no more than its bound; the oldest go', async () => {
    const bank = new ListBank();
    const recorder = new EpisodeRecorder('s', new ListLogger(), 10);
    for (let version = 1; version <= 25; version++) recorder.record(bank, episode(version));
    expect(recorder.counts).toMatchObject({ pending: 10, dropped: 15 });
    await recorder.flush();
    expect(versionsIn(bank)).toEqual([16, 17, 18, 19, 20, 21, 22, 23, 24, 25]);
  });

  it('loses nothing in a loop that awaits what it is given', async () => {
    const bank = new ListBank();
    const recorder = new EpisodeRecorder('s', new ListLogger(), 64);
    for (let version = 1; version <= 1000; version++) await recorder.record(bank, episode(version));
    await recorder.flush();
    expect(recorder.counts).toEqual({ pending: 0, stored: 1000, failed: 0, dropped: 0 });
    expect(versionsIn(bank)).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
  });

  it.each([false, true])('is not harmed by a bank that fails (throwing: %s)', async (throws) => {
    const logger = new ListLogger();
    const recorder = new EpisodeRecorder('s', logger, 100);
    recorder.record(failingBank(throws), episode(2));
    const bank = new ListBank();
    recorder.record(bank, episode(3));
    await recorder.flush();
    expect(recorder.counts).toEqual({ pending: 0, stored: 1, failed: 1, dropped: 0 });
    expect(logger.matching(/warn: .*Failed to store.*no database/)).toHaveLength(1);
  });

  it('gives up on a bank that does not answer, and goes on with what comes later', async () => {
    const logger = new ListLogger();
    const recorder = new EpisodeRecorder('s', logger, 100, 20);
    const bank = hangingBank();
    for (let version = 1; version <= 70; version++) recorder.record(bank, episode(version));
    await recorder.flush();
    expect(recorder.counts).toEqual({ pending: 0, stored: 0, failed: 0, dropped: 70 });
    expect(logger.matching(/warn: .*70 adaptation episodes.*no answer within 20 ms/)).toHaveLength(1);
    const working = new ListBank();
    recorder.record(working, episode(71));
    await recorder.flush();
    expect(versionsIn(working)).toEqual([71]);
  });

  it('does not count twice what a bank stores after all', async () => {
    let answer = (_id: number) => {};
    const late = Object.assign(new ListBank(), { storePattern: () => new Promise<number>((done) => (answer = done)) });
    const recorder = new EpisodeRecorder('s', new ListLogger(), 100, 20);
    recorder.record(late, episode(2));
    await recorder.flush();
    answer(1);
    await new Promise(setImmediate);
    expect(recorder.counts).toEqual({ pending: 0, stored: 0, failed: 0, dropped: 1 });
  });
});
