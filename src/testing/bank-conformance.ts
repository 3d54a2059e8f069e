/**
 * The conformance suite of the ReasoningBank contract, for any bank and any test framework. What it asks for is what an
 * engine relies on; how good a bank's advice is, it cannot know.
 */
import assert from 'node:assert/strict';
import { fail } from '../checks.js';
import {
  type AdaptationSituation,
  adaptationTask,
  type EpisodeInput,
  type EpisodeOutput,
  type ReasoningBankInstance,
  type ReasoningBankPattern,
  requireReasoningBank,
} from '../reasoning/contract.js';
import type { ConformanceCase } from './harness.js';

export interface BankConformanceOptions {
  /** Makes an empty bank for one case. */
  makeBank(): ReasoningBankInstance | Promise<ReasoningBankInstance>;
  /** Called with each of them when its case is over. */
  closeBank?(bank: ReasoningBankInstance): void | Promise<void>;
  /** Cases, by name, that this bank cannot pass, each with the reason. A name that no case has is an error. */
  skip?: Readonly<Record<string, string>>;
}

/** What was known before one update, for tests of banks: one user's second update of 64 features by AdamW. */
export function exampleSituation(changes: Partial<AdaptationSituation> = {}): AdaptationSituation {
  return {
    userId: 'user-001',
    rank: 4,
    embeddingDim: 64,
    batchSize: 8,
    previousVersion: 2,
    previousLoss: 0.02,
    learningRate: 0.001,
    clipThreshold: 1,
    useEWC: true,
    ewcLambda: 0.5,
    optimizer: 'adamw',
    feedback: { meanReward: 0.8, targetShare: 1, inputRms: 0.125, residualRms: 0.15, coherence: 0.2 },
    ...changes,
  };
}

/** The episode of an update in that situation, as an engine stores it. */
export function examplePattern(
  changes: Partial<ReasoningBankPattern> = {},
  situation: AdaptationSituation = exampleSituation(),
  outcome: Partial<EpisodeOutput> = {},
): ReasoningBankPattern {
  const input: EpisodeInput = { ...situation, reasoningBankHintsUsed: false };
  const output: EpisodeOutput = {
    newVersion: situation.previousVersion + 1,
    avgLoss: 0.018,
    lossBefore: 0.02,
    correctionRms: 0.05,
    lossAfter: 0.016,
    lossImprovement: 0.004,
    trainingTimeMs: 0.25,
    totalSamples: 16,
    ...outcome,
  };
  return {
    sessionId: 'session-1',
    task: adaptationTask(situation),
    input: JSON.stringify(input),
    output: JSON.stringify(output),
    critique: 'Loss 0.02 before and 0.016 after the step',
    success: true,
    reward: 0.9,
    latencyMs: 0.25,
    ...changes,
  };
}

/** The cases, each on a bank of its own. A rejection that nobody handles while a case runs fails it. */
export function bankConformance(options: BankConformanceOptions): ConformanceCase[] {
  const { skip = {} } = options;
  const unknown = Object.keys(skip).filter((name) => !CASES.some(([known]) => known === name));
  if (unknown.length > 0) fail('ERR_INVALID_ARGUMENT', 'skip', unknown[0], 'the name of a case');
  return CASES.filter(([name]) => !(name in skip)).map(([name, body]) => ({ name, run: () => runCase(options, body) }));
}

type Body = (bank: ReasoningBankInstance) => Promise<void>;

async function runCase({ makeBank, closeBank }: BankConformanceOptions, body: Body): Promise<void> {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  try {
    const bank = requireReasoningBank('bank', await makeBank());
    try {
      await body(bank);
    } finally {
      await closeBank?.(bank);
    }
    // unhandled rejections are reported after the promises' own turn
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    process.off('unhandledRejection', note);
  }
  assert.deepEqual(unhandled, [], 'a promise was rejected and nobody handled it');
}

const users = (count: number) => Array.from({ length: count }, (_, i) => `user-${i}`);

const patternFor = (userId: string, changes: Partial<ReasoningBankPattern> = {}) =>
  examplePattern(changes, exampleSituation({ userId }));

const CASES: readonly (readonly [string, Body])[] = [
  [
    'an empty bank has nothing to say, and says so',
    async (bank) => {
      assert.deepEqual(await bank.retrievePatterns('lora_adaptation', { k: 5 }), []);
      assertStrategy(await bank.learnStrategy('lora_adaptation'));
      assert.equal((await bank.autoConsolidate(5, 0.85, 30)).skillsCreated, 0);
    },
  ],
  [
    'ids are numbers, and each its own',
    async (bank) => {
      const ids = [];
      for (const userId of users(5)) ids.push(await bank.storePattern(patternFor(userId)));
      for (const id of ids) assert.ok(Number.isSafeInteger(id), `id: got ${String(id)}, expected an integer`);
      assert.equal(new Set(ids).size, 5, `ids: got ${ids}, expected five different ones`);
    },
  ],
  [
    'a pattern comes back as it was stored',
    async (bank) => {
      const stored = patternFor('zoë "O\'Hara" 漢字', {
        critique: 'line one\nline two – 100 %',
        reward: 0.25,
        success: false,
      });
      await bank.storePattern(stored);
      const [found] = await bank.retrievePatterns(stored.task, { k: 1 });
      for (const key of ['task', 'input', 'output', 'critique', 'success', 'reward'] as const) {
        assert.equal(found?.[key], stored[key], key);
      }
    },
  ],
  [
    'a pattern can be found as soon as storing it has resolved',
    async (bank) => {
      for (const userId of users(3)) {
        const stored = patternFor(userId);
        await bank.storePattern(stored);
        const found = await bank.retrievePatterns(stored.task, { k: 3 });
        assert.ok(
          found.some(({ task }) => task === stored.task),
          `${stored.task}: not found`,
        );
      }
    },
  ],
  [
    'at most k patterns come back, the exact task first',
    async (bank) => {
      for (const userId of ['anna', 'bernd', 'chandra', 'dmitri', 'emeka']) await bank.storePattern(patternFor(userId));
      const { task } = patternFor('chandra');
      for (const k of [1, 2, 4]) {
        const found = await bank.retrievePatterns(task, { k });
        assert.equal(found.length, k, `k: got ${found.length} patterns, expected ${k}`);
        assert.equal(found[0].task, task, 'the first');
      }
    },
  ],
  [
    'every filter is kept to',
    async (bank) => {
      for (const [i, userId] of users(10).entries()) {
        await bank.storePattern(patternFor(userId, { reward: i / 10, success: i % 2 === 0 }));
      }
      const find = async (filter: object) => {
        const found = await bank.retrievePatterns('lora_adaptation_user', { k: 10, ...filter });
        return found.map(({ reward }) => reward).sort((a, b) => a - b);
      };
      assert.deepEqual(await find({ minReward: 0.7 }), [0.7, 0.8, 0.9], 'minReward');
      assert.deepEqual(await find({ onlySuccesses: true }), [0, 0.2, 0.4, 0.6, 0.8], 'onlySuccesses');
      assert.deepEqual(await find({ onlyFailures: true }), [0.1, 0.3, 0.5, 0.7, 0.9], 'onlyFailures');
      assert.deepEqual(await find({ minReward: 0.7, onlySuccesses: true }), [0.8], 'both');
    },
  ],
  [
    'one query does not spoil the next',
    async (bank) => {
      const good = patternFor('one', { reward: 0.9 });
      await bank.storePattern(good);
      assert.deepEqual(await bank.retrievePatterns(good.task, { k: 5, minReward: 0.95 }), []);
      assert.equal((await bank.retrievePatterns(good.task, { k: 5, minReward: 0.5 })).length, 1);
    },
  ],
  [
    'a strategy has the documented form, with and without a situation',
    async (bank) => {
      for (const userId of users(6)) await bank.storePattern(patternFor(userId));
      const situation = exampleSituation({ userId: 'somebody new', previousVersion: 1 });
      assertStrategy(await bank.learnStrategy(adaptationTask(situation)));
      assertStrategy(await bank.learnStrategy(adaptationTask(situation), situation));
    },
  ],
  [
    'consolidation takes minUses first, then the success rate, then days',
    async (bank) => {
      // one user's, so that banks which group by task and banks which group by situation both see three of a kind
      for (let i = 0; i < 3; i++) await bank.storePattern(examplePattern({ success: i > 0 }));
      const skills = async (uses: number, rate: number) => (await bank.autoConsolidate(uses, rate, 30)).skillsCreated;
      assert.equal(await skills(4, 0.5), 0, 'fewer uses than asked for');
      assert.equal(await skills(3, 0.9), 0, 'fewer successes than asked for');
      const created = await skills(2, 0.5);
      assert.ok(Number.isInteger(created) && created >= 1, `skillsCreated: got ${created}, expected at least 1`);
    },
  ],
  [
    'fifty patterns stored at once are fifty patterns',
    async (bank) => {
      const ids = await Promise.all(users(50).map((userId) => bank.storePattern(patternFor(userId))));
      assert.equal(new Set(ids).size, 50);
      assert.equal((await bank.retrievePatterns('lora_adaptation_user', { k: 100 })).length, 50);
    },
  ],
  [
    'a pattern that is none is refused by a rejected promise, and nothing else suffers',
    async (bank) => {
      for (const bad of [null, 'pattern', patternFor('x', { reward: Number.NaN })]) {
        let refusal: Promise<unknown> | undefined;
        assert.doesNotThrow(() => {
          refusal = bank.storePattern(bad as ReasoningBankPattern);
        });
        await assert.rejects(refusal as Promise<unknown>);
      }
      const good = patternFor('y');
      await bank.storePattern(good);
      assert.equal((await bank.retrievePatterns(good.task, { k: 5 })).length, 1);
    },
  ],
];

function assertStrategy(strategy: unknown): void {
  const { patterns, confidence, recommendation, hints } = strategy as Record<string, unknown>;
  assert.ok(Array.isArray(patterns), 'patterns: expected an array');
  assert.ok(typeof confidence === 'number' && confidence >= 0 && confidence <= 1, `confidence: got ${confidence}`);
  assert.equal(typeof recommendation, 'string', 'recommendation');
  for (const [name, value] of Object.entries((hints ?? {}) as object)) {
    assert.ok(typeof value === 'number' && Number.isFinite(value) && value >= 0, `hints.${name}: got ${value}`);
  }
}
