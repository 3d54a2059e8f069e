import { describe, expect, it, vi } from 'vitest';
import {
  createLoRAPersonalizationEngine,
  type LoRAConfig,
  ReasoningBank,
  type ReasoningBankInstance,
  silentLogger,
  type UserLoRAAdapter,
} from '../../src/index.js';
import { bankWith, failingBank, hangingBank, ListBank, ListLogger } from '../reasoning/banks.js';
import { coded, feedbackRows, randomVector } from './samples.js';

/** Left open: closing waits for banks, and some here never answer. */
const newEngine = (config: LoRAConfig = {}) => createLoRAPersonalizationEngine({ logger: silentLogger, ...config });

const constant = { learningRateSchedule: 'constant', optimizer: 'sgd' } as const;
const feedback = feedbackRows(4, 64);
const plain = newEngine();
const fresh = plain.createAdapter('user-001');

describe('with a bank connected, an update', () => {
  it('asks for similar patterns and a strategy as documented, at the same time, and says what they are for', async () => {
    const bank = bankWith(3);
    let strategyAsked = false;
    const learnStrategy = bank.learnStrategy.bind(bank);
    bank.learnStrategy = (...args: [string?]) => {
      strategyAsked = true;
      expect(args[0]).toBe('lora_adaptation_user_user-001_rank_4_samples_4');
      return learnStrategy();
    };
    const retrievePatterns = bank.retrievePatterns.bind(bank);
    bank.retrievePatterns = async (query, options) => {
      await Promise.resolve();
      expect(strategyAsked).toBe(true);
      return retrievePatterns(query, options);
    };
    const engine = newEngine({ reasoningBank: bank });
    await engine.updateAdapter(engine.createAdapter('user-001'), feedback);
    expect(bank.queries).toHaveLength(1);
    const [query, options] = bank.queries[0];
    expect(query).toBe('lora_adaptation_user_user-001_rank_4_samples_4');
    expect(options).toMatchObject({ k: 5, minReward: 0.7, onlySuccesses: true });
    expect(options?.situation).toMatchObject({ userId: 'user-001', rank: 4, embeddingDim: 64, batchSize: 4 });
    expect(options?.situation?.feedback).toMatchObject({ meanReward: 1, targetShare: 1 });
  });

  it('has said what the bank contributed before it resolves', async () => {
    for (const [bank, found] of [
      [bankWith(3), /info: 🧠 ReasoningBank: Found 3 similar adaptation patterns$/],
      [bankWith(0), /info: 🧠 ReasoningBank: Found 0 similar adaptation patterns, none/],
      [failingBank(), /info: 🧠 ReasoningBank: Found 0 similar adaptation patterns, none/],
    ] as const) {
      const logger = new ListLogger();
      const engine = newEngine({ reasoningBank: bank, logger });
      const lines = await engine
        .updateAdapter(engine.createAdapter('u'), feedback)
        .then(() => logger.matching(/similar/));
      expect(lines).toEqual([expect.stringMatching(found)]);
    }
  });

  it('follows the advice, writes the documented lines, and stores the settings that were used', async () => {
    const logger = new ListLogger();
    const bank = bankWith(2, 'Reduce learning rate to 0.0008. Increase gradient clipping to 1.5 and EWC lambda to 0.8');
    const engine = newEngine({ ...constant, reasoningBank: bank, logger });
    const updated = await engine.updateAdapter(engine.createAdapter('u'), feedback);
    expect(updated.metadata.learningRate).toBe(0.0008);
    expect(logger.lines.filter((line) => line.includes('ReasoningBank:')).slice(1)).toEqual([
      'info: 🧠 ReasoningBank: Found 2 similar adaptation patterns',
      'info: 💡 ReasoningBank: Strategy confidence 87.5%',
      'info: 📈 ReasoningBank: Adjusted learning rate to 0.0008',
      'info: 📈 ReasoningBank: Adjusted clip threshold to 1.5',
      'info: 📈 ReasoningBank: Adjusted EWC lambda to 0.8',
    ]);
    await engine.flushReasoningBank();
    expect(logger.lines.at(-1)).toMatch(/^info: 💾 ReasoningBank: Stored adaptation episode #3 \(reward: 0\.\d\d\)$/);
    const episode = bank.patterns[2];
    expect(episode).toMatchObject({ sessionId: engine.getReasoningBankStats().sessionId });
    expect(JSON.parse(episode.input as string)).toMatchObject({
      userId: 'u',
      batchSize: 4,
      previousVersion: 1,
      previousLoss: 0,
      learningRate: 0.0008,
      clipThreshold: 1.5,
      useEWC: true,
      ewcLambda: 0.8,
      reasoningBankHintsUsed: true,
    });
    const { lossBefore, lossAfter } = updated.metadata.lastBatch!;
    expect(JSON.parse(episode.output as string)).toMatchObject({
      newVersion: 2,
      avgLoss: lossBefore,
      lossBefore,
      lossAfter,
      lossImprovement: lossBefore - lossAfter,
      correctionRms: 0,
      totalSamples: 4,
    });
    await engine.updateAdapter(updated, feedback);
    await engine.flushReasoningBank();
    const squares = feedback.flatMap(({ contentEmbedding }) => {
      const y = engine.computeLoRAForward(contentEmbedding, updated);
      return [...y.map((value, i) => (value - contentEmbedding[i]) ** 2)];
    });
    const { correctionRms } = JSON.parse(bank.patterns[3].output as string);
    expect(correctionRms).toBeGreaterThan(0);
    expect(correctionRms).toBeCloseTo(Math.sqrt(squares.reduce((a, b) => a + b) / squares.length), 6);
  });

  it('stores how far the adapter moved the rows of the batch itself, not those that it learns again', async () => {
    const bank = bankWith(0);
    const engine = newEngine({ reasoningBank: bank, replayRows: 8 });
    const first = await engine.updateAdapter(engine.createAdapter('u'), feedbackRows(6, 64, 3));
    await engine.updateAdapter(first, feedback);
    await engine.flushReasoningBank();
    const squares = feedback.flatMap(({ contentEmbedding }) => {
      const y = engine.computeLoRAForward(contentEmbedding, first);
      return [...y.map((value, i) => (value - contentEmbedding[i]) ** 2)];
    });
    const { correctionRms } = JSON.parse(bank.patterns[1].output as string);
    expect(correctionRms / Math.sqrt(squares.reduce((a, b) => a + b) / squares.length)).toBeCloseTo(1, 4);
  });

  it('does what an engine configured like the advice does', async () => {
    const strong = {
      ...fresh,
      fisherInformation: new Float32Array(512).fill(1),
      anchorWeights: new Float32Array(512).fill(0.01),
    };
    const rows = feedbackRows(4, 64, 7).map((row) => ({
      ...row,
      targetEmbedding: row.targetEmbedding?.map((value) => 30 * value),
    }));
    for (const [text, config] of [
      ['learning rate 0.003', { learningRate: 0.003 }],
      ['clip threshold 0.2', { gradientClipThreshold: 0.2 }],
      ['EWC lambda 4', { ewcLambda: 4 }],
    ] as const) {
      const optimizer = { kind: 'sgd' } as const;
      const advised = newEngine({ optimizer, reasoningBank: bankWith(1, text) });
      const [a, b, c] = await Promise.all(
        [advised, newEngine({ optimizer, ...config }), newEngine({ optimizer })].map((engine) =>
          engine.updateAdapter(structuredClone(strong), rows),
        ),
      );
      expect(a.matrixB).toEqual(b.matrixB);
      expect(a.matrixB).not.toEqual(c.matrixB);
    }
  });

  it('multiplies advised learning rates by its schedule, as it does its own', async () => {
    const engine = newEngine({ reasoningBank: bankWith(1, 'learning rate: 0.002') });
    const updated = await engine.updateAdapter(engine.createAdapter('u'), feedback);
    expect(updated.metadata.learningRate).toBeCloseTo(0.02, 12);
  });

  it('does not follow advice of too little confidence', async () => {
    const bank = bankWith(1, 'learning rate: 0.002');
    bank.confidence = 0.49;
    const [careful, bold] = [
      newEngine({ reasoningBank: bank }),
      newEngine({ reasoningBank: bank, reasoning: { minConfidence: 0.4 } }),
    ];
    const [a, b, c] = await Promise.all(
      [careful, bold, plain].map((engine) => engine.updateAdapter(structuredClone(fresh), feedback)),
    );
    expect(a.matrixB).toEqual(c.matrixB);
    expect(b.matrixB).not.toEqual(c.matrixB);
  });
});

describe('a bank that fails', () => {
  const odd = (answers: Partial<Record<keyof ReasoningBankInstance, unknown>>) =>
    Object.assign(
      new ListBank(),
      Object.fromEntries(Object.entries(answers).map(([name, value]) => [name, async () => value])),
    ) as ReasoningBankInstance;
  const banks: [string, ReasoningBankInstance][] = [
    ['rejects', failingBank()],
    ['throws', failingBank(true)],
    ['hangs', hangingBank()],
    ['gives no patterns', odd({ retrievePatterns: null })],
    ['gives no strategy', odd({ learnStrategy: undefined })],
    ['gives a strategy without sense', odd({ learnStrategy: { confidence: 'high', recommendation: 7, hints: 'no' } })],
    ['gives hints without sense', odd({ learnStrategy: { confidence: 1, recommendation: 7, hints: 'no' } })],
  ];
  it.each(banks)('and %s changes nothing about an update', async (_, bank) => {
    const engine = newEngine({ reasoningBank: bank, reasoning: { timeoutMs: 20 } });
    const [a, b] = await Promise.all(
      [engine, plain].map((each) => each.updateAdapter(structuredClone(fresh), feedback)),
    );
    expect(a.matrixA).toEqual(b.matrixA);
    expect(a.matrixB).toEqual(b.matrixB);
  });

  it('is left alone for a while, so that it delays one update and not all', async () => {
    const logger = new ListLogger();
    const engine = newEngine({ reasoningBank: hangingBank(), reasoning: { timeoutMs: 20 }, logger });
    let adapter = engine.createAdapter('u');
    for (let i = 0; i < 10; i++) adapter = await engine.updateAdapter(adapter, feedbackRows(2, 64, i));
    expect(adapter.version).toBe(11);
    expect(logger.matching(/query failed, going on/).length).toBeLessThan(10);
    expect(logger.matching(/Found 0 similar/)).toHaveLength(10);
  });

  it('delays nothing beyond its time limit: updates of twenty users end within one of it', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] });
    try {
      let asked = 0;
      const bank = hangingBank();
      bank.learnStrategy = () => {
        asked += 1;
        return new Promise(() => {});
      };
      const engine = newEngine({ reasoningBank: bank, reasoning: { timeoutMs: 50 } });
      let done = 0;
      const updates = Array.from({ length: 20 }, (_, i) =>
        engine.updateAdapter(engine.createAdapter(`user-${i}`), feedback).then(() => {
          done += 1;
        }),
      );
      await vi.advanceTimersByTimeAsync(49);
      expect({ asked, done }).toEqual({ asked: 20, done: 0 });
      await vi.advanceTimersByTimeAsync(1);
      expect(done).toBe(20);
      await Promise.all(updates);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('twenty concurrent updates of one user with a bank', () => {
  it.each([
    ['that answers', () => bankWith(2, 'learning rate 0.002')],
    ['that hangs', hangingBank],
  ])('%s: versions rise, none is lost, every one has its episode', async (_, makeBank) => {
    const bank = makeBank();
    const engine = newEngine({ reasoningBank: bank, reasoning: { timeoutMs: 20 } });
    const start = engine.createAdapter('u');
    const batches = Array.from({ length: 20 }, (_, i) => feedbackRows(1 + (i % 3), 64, i));
    const updated = await Promise.all(batches.map((rows) => engine.updateAdapter(start, rows)));
    expect(updated.map(({ version }) => version)).toEqual(Array.from({ length: 20 }, (_, i) => i + 2));
    expect(updated[19].metadata.totalSamples).toBe(batches.flat().length);
    if (!(bank instanceof ListBank)) return;
    await engine.flushReasoningBank();
    const episodes = bank.patterns.slice(2).map(({ input, output }) => [JSON.parse(input!), JSON.parse(output!)]);
    expect(episodes.map(([input]) => input.previousVersion)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    expect(episodes.map(([, output]) => output.newVersion)).toEqual(updated.map(({ version }) => version));
  });
});

describe('the cache', () => {
  const updateTimes = async (engine: ReturnType<typeof newEngine>, times: number, adapter: UserLoRAAdapter) => {
    for (let i = 0; i < times; i++) await engine.updateAdapter(adapter, feedback);
  };

  it('spares the bank a question it has answered, and counts', async () => {
    const bank = bankWith(2);
    const engine = newEngine({ reasoningBank: bank });
    expect(engine.getReasoningBankStats()).toMatchObject({ enabled: true, cacheSize: 0, cacheHitRate: 0 });
    await updateTimes(engine, 5, engine.createAdapter('u'));
    expect(bank.calls).toMatchObject({ retrieve: 1, strategy: 1 });
    expect(engine.getReasoningBankStats()).toMatchObject({
      cacheSize: 1,
      cacheHits: 4,
      cacheMisses: 1,
      cacheHitRate: 0.8,
    });
    engine.clearReasoningBankCache();
    expect(engine.getReasoningBankStats().cacheSize).toBe(0);
    await updateTimes(engine, 1, engine.createAdapter('u'));
    expect(bank.calls.retrieve).toBe(2);
  });

  it('does not keep an empty answer, which may soon have grown', async () => {
    const bank = bankWith(0);
    bank.confidence = 0;
    const engine = newEngine({ reasoningBank: bank });
    await updateTimes(engine, 3, engine.createAdapter('u'));
    expect(bank.calls.retrieve).toBe(3);
    expect(engine.getReasoningBankStats().cacheSize).toBe(0);
  });

  it('can be switched off', async () => {
    const bank = bankWith(2);
    const engine = newEngine({ reasoningBank: bank, enableReasoningBankCache: false });
    await updateTimes(engine, 3, engine.createAdapter('u'));
    expect(bank.calls.retrieve).toBe(3);
    expect(engine.getReasoningBankStats()).toMatchObject({ cacheSize: 0, cacheHits: 0 });
  });

  it('tells apart whatever advice may depend on', async () => {
    const bank = bankWith(2);
    const engine = newEngine({ reasoningBank: bank });
    const adapter = engine.createAdapter('u');
    const row = feedback[0];
    const zero = { ...row, targetEmbedding: undefined, reward: 0 };
    const much = row.targetEmbedding!.map((value) => 16 * value);
    const updates: [UserLoRAAdapter, typeof feedback][] = [
      [adapter, [row]],
      [engine.createAdapter('v'), [row]],
      [adapter, [row, row]],
      [{ ...adapter, version: 100 }, [row]],
      [{ ...adapter, metadata: { ...adapter.metadata, avgLoss: 0.5 } }, [row]],
      [adapter, [zero]],
      [adapter, [{ ...row, targetEmbedding: much }]],
      [adapter, [{ ...row, contentEmbedding: row.contentEmbedding.map((value) => 16 * value) }]],
      [adapter, [row, { ...row, contentEmbedding: randomVector(64, 77) }]],
    ];
    for (const [from, rows] of updates) await engine.updateAdapter(from, rows);
    expect(engine.getReasoningBankStats()).toMatchObject({ cacheHits: 0, cacheMisses: updates.length });
    await engine.updateAdapter(adapter, [{ ...row, contentEmbedding: row.contentEmbedding.map((v) => 1.01 * v) }]);
    expect(engine.getReasoningBankStats()).toMatchObject({ cacheHits: 1 });
  });

  it('asks one question once, however many wait for the answer', async () => {
    const bank = bankWith(2);
    const engine = newEngine({ reasoningBank: bank });
    const adapter = engine.createAdapter('u');
    await Promise.all(Array.from({ length: 10 }, () => engine.updateAdapter(adapter, feedback)));
    expect(bank.calls).toMatchObject({ retrieve: 1, strategy: 1 });
  });

  it('keeps an answer that came too late for its own update', async () => {
    let answer = () => {};
    const bank = bankWith(2, 'learning rate 0.002');
    const late = new Promise<void>((resolve) => (answer = resolve));
    const retrieve = bank.retrievePatterns.bind(bank);
    bank.retrievePatterns = (query, options) => late.then(() => retrieve(query, options));
    const engine = newEngine({ ...constant, reasoningBank: bank, reasoning: { timeoutMs: 20 } });
    const adapter = engine.createAdapter('u');
    expect((await engine.updateAdapter(adapter, feedback)).metadata.learningRate).toBe(0.001);
    answer();
    await new Promise(setImmediate);
    expect((await engine.updateAdapter(adapter, feedback)).metadata.learningRate).toBe(0.002);
  });
});

describe('exchanging banks', () => {
  it('clears the cache every time: advice of the old one is not followed', async () => {
    const engine = newEngine({ ...constant, reasoningBank: bankWith(1, 'learning rate 0.002') });
    const adapter = engine.createAdapter('u');
    const rate = async () => (await engine.updateAdapter(adapter, feedback)).metadata.learningRate;
    expect(await rate()).toBe(0.002);
    engine.connectReasoningBank(bankWith(1, 'learning rate 0.003'));
    expect(engine.getReasoningBankStats().cacheSize).toBe(0);
    expect(await rate()).toBe(0.003);
    engine.disconnectReasoningBank();
    expect(engine.hasReasoningBank()).toBe(false);
    expect(engine.getReasoningBankStats()).toMatchObject({ enabled: false, cacheSize: 0 });
    expect(await rate()).toBe(0.001);
  });

  it('while an update asks: neither its advice nor its answer for later counts any more', async () => {
    const [first, second] = [bankWith(1, 'learning rate 0.002'), bankWith(1, 'learning rate 0.003')];
    const engine = newEngine({ ...constant, reasoningBank: first });
    const adapter = engine.createAdapter('u');
    const running = engine.updateAdapter(adapter, feedback);
    engine.connectReasoningBank(second);
    expect((await running).metadata.learningRate).toBe(0.001);
    expect((await engine.updateAdapter(adapter, feedback)).metadata.learningRate).toBe(0.003);
    await engine.flushReasoningBank();
    expect([first, second].map(({ patterns }) => patterns.length)).toEqual([1, 2]);
  });

  it('rejects what is no bank, and keeps the one it has', () => {
    const bank = bankWith(1);
    const engine = newEngine({ reasoningBank: bank });
    for (const method of ['storePattern', 'retrievePatterns', 'learnStrategy', 'autoConsolidate'] as const) {
      const { [method]: _, ...rest } = failingBank();
      expect(() => engine.connectReasoningBank(rest as ReasoningBankInstance)).toThrow(
        coded('ERR_INVALID_ARGUMENT', method),
      );
      expect(() => newEngine({ reasoningBank: rest as ReasoningBankInstance })).toThrow(
        coded('ERR_INVALID_ARGUMENT', `reasoningBank.${method}`),
      );
    }
    expect(() => engine.connectReasoningBank(null as unknown as ReasoningBankInstance)).toThrow(
      coded('ERR_INVALID_ARGUMENT', 'bank'),
    );
    expect(engine.getConfig().reasoningBank).toBe(bank);
  });
});

describe('consolidateAdaptationPatterns', () => {
  it('hands the bank its arguments in the order that it takes, with everything stored before', async () => {
    const bank = bankWith(0);
    const engine = newEngine({ reasoningBank: bank });
    await engine.updateAdapter(engine.createAdapter('u'), feedback);
    expect(await engine.consolidateAdaptationPatterns()).toEqual({ skillsCreated: 1 });
    await engine.consolidateAdaptationPatterns(0.5, 2, 7);
    expect(bank.consolidations).toEqual([
      [5, 0.85, 30],
      [2, 0.5, 7],
    ]);
  });

  it('says why it came to nothing', async () => {
    const logger = new ListLogger();
    const engine = newEngine({ logger });
    expect(await engine.consolidateAdaptationPatterns()).toBeNull();
    expect(logger.matching(/^warn: .*none is connected/)).toHaveLength(1);
    engine.connectReasoningBank(failingBank());
    expect(await engine.consolidateAdaptationPatterns()).toEqual({
      skillsCreated: 0,
      error: expect.objectContaining({ message: 'no database' }),
    });
    await expect(engine.consolidateAdaptationPatterns(85)).rejects.toEqual(coded('ERR_OUT_OF_RANGE', 'minSuccessRate'));
    await expect(engine.consolidateAdaptationPatterns(0.5, 0)).rejects.toEqual(coded('ERR_OUT_OF_RANGE', 'minUses'));
    await expect(engine.consolidateAdaptationPatterns(0.5, 1, Number.NaN)).rejects.toEqual(
      coded('ERR_OUT_OF_RANGE', 'lookbackDays'),
    );
  });
});

describe('getSimilarAdaptations', () => {
  it('reads every pattern on its own; 0 is a number, what is missing is the engine’s', async () => {
    const bank = bankWith(2);
    bank.patterns.push({ ...bank.patterns[0], input: '{' }, { ...bank.patterns[0], output: 'null' });
    bank.patterns.push({ sessionId: 's', task: 't', success: true, reward: 0.8 });
    const engine = newEngine({ reasoningBank: bank, rank: 8 });
    expect(await engine.getSimilarAdaptations('new-user')).toEqual([
      { userId: 'new-user', rank: 8, avgLoss: 0, reward: 0.8, learningRate: 0.001 },
      { userId: 'other-2', rank: 4, avgLoss: 0, reward: 0.9, learningRate: 0.004 },
      { userId: 'other-1', rank: 4, avgLoss: 0, reward: 0.9, learningRate: 0.002 },
    ]);
    expect(bank.queries[0]).toEqual(['lora_adaptation_user_new-user', { k: 5, minReward: 0.7, onlySuccesses: true }]);
    expect(await engine.getSimilarAdaptations('new-user', 1)).toHaveLength(1);
  });

  it('searches by what the last update of the user was like, where there was one', async () => {
    const bank = bankWith(1);
    const engine = newEngine({ reasoningBank: bank });
    await engine.updateAdapter(engine.createAdapter('u'), feedback);
    await engine.updateAdapter(engine.createAdapter('v'), feedback.slice(1));
    await engine.getSimilarAdaptations('u');
    const [query, options] = bank.queries.at(-1) ?? [];
    expect(query).toBe('lora_adaptation_user_u');
    expect(options?.situation).toMatchObject({ userId: 'u', batchSize: 4, previousVersion: 1 });
  });

  it('finds users by their features, whatever their names', async () => {
    const bank = new ReasoningBank();
    const engine = newEngine({ reasoningBank: bank });
    const scaled = (seed: number, scale: number) =>
      feedbackRows(4, 64, seed).map((row) => ({
        ...row,
        contentEmbedding: row.contentEmbedding.map((value) => scale * value),
        targetEmbedding: row.targetEmbedding?.map((value) => scale * value),
      }));
    const users: [string, number][] = [
      ['anna-maria-3', 0.0001],
      ['zoe', 0.1],
      ['anna-maria-2', 0.0001],
      ['anna-maria-1', 0.1],
    ];
    for (const [i, [userId, scale]] of users.entries()) {
      await engine.updateAdapter(engine.createAdapter(userId), scaled(i, scale));
    }
    await engine.flushReasoningBank();
    const found = await engine.getSimilarAdaptations('anna-maria-1', 4);
    expect(found?.map(({ userId }) => userId).slice(0, 2)).toEqual(['anna-maria-1', 'zoe']);
    const byName = await newEngine({ reasoningBank: bank }).getSimilarAdaptations('anna-maria-1', 4);
    expect(byName?.at(-1)?.userId).toBe('zoe');
    await bank.close();
  });

  it('is null without a bank and when it fails or hangs', async () => {
    const engine = newEngine({ reasoning: { timeoutMs: 20 } });
    expect(await engine.getSimilarAdaptations('u')).toBeNull();
    for (const bank of [failingBank(), failingBank(true), hangingBank()]) {
      engine.connectReasoningBank(bank);
      expect(await engine.getSimilarAdaptations('u')).toBeNull();
    }
    await expect(engine.getSimilarAdaptations('')).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'userId'));
    await expect(engine.getSimilarAdaptations('u', 0)).rejects.toEqual(coded('ERR_OUT_OF_RANGE', 'topK'));
  });
});

it('close() stores what is waiting', async () => {
  const bank = bankWith(0);
  const engine = createLoRAPersonalizationEngine({ logger: silentLogger, reasoningBank: bank });
  await engine.updateAdapter(engine.createAdapter('u'), feedback);
  expect(bank.patterns).toHaveLength(0);
  await engine.close();
  expect(bank.patterns).toHaveLength(1);
});

it('updates without feedback do not trouble the bank', async () => {
  const bank = bankWith(2);
  const engine = newEngine({ reasoningBank: bank });
  const adapter = engine.createAdapter('u');
  expect(await engine.updateAdapter(adapter, [])).toBe(adapter);
  expect(bank.calls).toEqual({ store: 0, retrieve: 0, strategy: 0 });
});

it('settings that do not fit are named', () => {
  for (const [reasoning, name] of [
    [{ timeoutMs: 0 }, 'reasoning.timeoutMs'],
    [{ timeoutMs: 2 ** 31 }, 'reasoning.timeoutMs'],
    [{ minConfidence: 2 }, 'reasoning.minConfidence'],
    [{ cacheSize: 0 }, 'reasoning.cacheSize'],
    [{ cacheTtlMs: -1 }, 'reasoning.cacheTtlMs'],
    [{ maxPendingEpisodes: 1.5 }, 'reasoning.maxPendingEpisodes'],
    [{ timeout: 5 }, 'reasoning.timeout'],
    [null, 'reasoning'],
  ] as const) {
    expect(() => newEngine({ reasoning } as LoRAConfig)).toThrow(coded('ERR_INVALID_CONFIG', name));
  }
});
