/** Warm starts among the users whom a ReasoningBank names. */
import { describe, expect, it } from 'vitest';
import { LoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import type { AdapterFeedback, UserLoRAAdapter } from '../../src/personalization/types.js';
import type { AdaptationSituation, ReasoningBankInstance } from '../../src/reasoning/contract.js';
import { ReasoningBank } from '../../src/reasoning/embedded/bank.js';
import { SeededRandom } from '../../src/testing/random.js';
import { ListBank, ListLogger } from '../reasoning/banks.js';
import { coded, quiet } from './samples.js';

const DIM = 8;

/** Rows of a user who wants feature 2 moved by `wish` times feature 0. */
function rowsOf(random: SeededRandom, wish: number, count: number): AdapterFeedback[] {
  return Array.from({ length: count }, () => {
    const contentEmbedding = random.normals(DIM);
    const targetEmbedding = contentEmbedding.slice();
    targetEmbedding[2] += wish * contentEmbedding[0] + random.normal(0.05 * Math.abs(wish));
    return { contentEmbedding, targetEmbedding, reward: 1, timestamp: new Date(0) };
  });
}

async function taught(engine: LoRAPersonalizationEngine, userId: string, wish: number, random: SeededRandom) {
  let adapter = engine.createAdapter(userId);
  for (let i = 0; i < 25; i++) adapter = await engine.updateAdapter(adapter, rowsOf(random, wish, 8));
  return adapter;
}

function lossOf(engine: LoRAPersonalizationEngine, adapter: UserLoRAAdapter, rows: readonly AdapterFeedback[]) {
  let sum = 0;
  for (const { contentEmbedding, targetEmbedding } of rows) {
    const y = engine.computeLoRAForward(contentEmbedding, adapter);
    sum += y.reduce((squares, value, j) => squares + (value - (targetEmbedding as Float32Array)[j]) ** 2, 0);
  }
  return sum / rows.length;
}

describe('two clusters of users', () => {
  const wishes = { calm: 0.05, keen: -3 };
  it.each([1, 2, 3, 4, 5])(
    'a newcomer is offered his own and starts ahead of a fresh start and of the others (seed %i)',
    async (seed) => {
      const random = new SeededRandom(seed);
      const bank = new ReasoningBank();
      const engine = new LoRAPersonalizationEngine({
        embeddingDim: DIM,
        seed,
        learningRate: 0.01,
        reasoningBank: bank,
        ...quiet,
      });
      const users = new Map<string, UserLoRAAdapter>();
      for (let i = 0; i < 4; i++) {
        for (const [kind, wish] of Object.entries(wishes)) {
          const userId = `${kind}-${i}`;
          users.set(userId, await taught(engine, userId, wish * random.uniform(0.8, 1.2), random));
        }
      }
      await engine.flushReasoningBank();

      for (const [kind, wish] of Object.entries(wishes)) {
        const asked: string[] = [];
        const adapterOf = (userId: string) => {
          asked.push(userId);
          return users.get(userId);
        };
        const feedback = rowsOf(random, wish, 4);
        const heldOut = rowsOf(random, wish, 50);
        const warm = engine.createAdapter('new', { warmStart: 'similar', feedback, adapterOf });
        expect(asked.length).toBeGreaterThan(0);
        expect(asked.filter((userId) => !userId.startsWith(kind))).toEqual([]);

        const others = [...users.values()].filter(({ userId }) => !userId.startsWith(kind));
        const fresh = lossOf(engine, engine.createAdapter('new'), heldOut);
        const elsewhere = engine.createAdapter('new', { warmStart: 'similar', feedback, among: others });
        expect(lossOf(engine, warm, heldOut)).toBeLessThan(0.8 * fresh);
        expect(lossOf(engine, warm, heldOut)).toBeLessThan(0.8 * lossOf(engine, elsewhere, heldOut));
      }
      await engine.close();
      await bank.close();
    },
  );
});

describe("createAdapter with warmStart 'similar' and a bank", () => {
  const random = new SeededRandom(9);
  const feedback = rowsOf(random, 1, 4);

  /** An engine that has taught ada and bob, whose wishes are opposite, with a bank that answers `names`. */
  async function engineWith(similarUsers: ReasoningBankInstance['similarUsers'], logger = quiet.logger) {
    const reasoningBank = Object.assign(new ListBank(), { similarUsers });
    const engine = new LoRAPersonalizationEngine({ embeddingDim: DIM, seed: 1, learningRate: 0.01, logger });
    const ada = await taught(engine, 'ada', 1, random);
    const bob = await taught(engine, 'bob', -1, random);
    engine.connectReasoningBank(reasoningBank);
    return { engine, ada, bob };
  }
  const start = (engine: LoRAPersonalizationEngine, options = {}) =>
    engine.createAdapter('new', { warmStart: 'similar', feedback, ...options }).matrixB;
  const among = (engine: LoRAPersonalizationEngine, adapters: UserLoRAAdapter[]) => start(engine, { among: adapters });

  it('takes its candidates from the bank, and asks it about the newcomer', async () => {
    const asked: [AdaptationSituation, number][] = [];
    const { engine, ada, bob } = await engineWith((...query) => {
      asked.push(query);
      return ['bob'];
    });
    expect(start(engine)).toEqual(among(engine, [bob]));
    expect(start(engine)).not.toEqual(among(engine, [ada, bob]));
    expect(asked[0]).toMatchObject([{ userId: 'new', batchSize: 4, previousVersion: 1, embeddingDim: DIM }, 256]);
    expect(asked).toHaveLength(2);
    await engine.close();
  });

  it('has no need of it without feedback, or when it is told among whom', async () => {
    let calls = 0;
    const { engine, ada, bob } = await engineWith(() => {
      calls += 1;
      return ['bob'];
    });
    expect(start(engine, { feedback: [] })).toEqual(start(engine, { feedback: [], among: [ada, bob] }));
    among(engine, [ada]);
    engine.createAdapter('new', { feedback });
    expect(calls).toBe(0);
    await engine.close();
  });

  it('finds those whom it does not remember where it is told to', async () => {
    const { engine, ada, bob } = await engineWith(() => ['carol', 'dan', 'new']);
    const asked: string[] = [];
    const adapterOf = (userId: string) => {
      asked.push(userId);
      return userId === 'carol' ? ada : undefined;
    };
    expect(start(engine, { adapterOf })).toEqual(among(engine, [ada]));
    expect(asked).toEqual(['carol', 'dan']);
    expect(start(engine)).toEqual(among(engine, [ada, bob]));
    expect(() => start(engine, { adapterOf: users })).toThrow(coded('ERR_INVALID_ARGUMENT', 'adapterOf'));
    await engine.close();
  });
  const users = new Map();

  it.each<[string, () => unknown, RegExp | undefined]>([
    ['knows nobody', () => [], undefined],
    ['names strangers', () => ['nobody', 'knows', 'them'], undefined],
    ['names what is no user', () => [7, null, { userId: 'ada' }], undefined],
    [
      'throws',
      () => {
        throw new Error('no index');
      },
      /no similar users \(no index\)/,
    ],
    ['never answers', () => new Promise(() => {}), /expected an array/],
    ['fails later', () => Promise.reject(new Error('later')), /expected an array/],
    ['answers nonsense', () => 'ada', /expected an array/],
  ])('looks among all whom it remembers when the bank %s', async (_, similarUsers, warning) => {
    const logger = new ListLogger();
    const { engine, ada, bob } = await engineWith(similarUsers as never, logger);
    expect(start(engine)).toEqual(among(engine, [ada, bob]));
    expect(logger.matching(/^warn.*ReasoningBank/)).toEqual(warning ? [expect.stringMatching(warning)] : []);
    await engine.close();
  });

  it('takes a user whom the bank names twice once', async () => {
    const { engine, ada, bob } = await engineWith(() => ['ada', 'ada', 'bob']);
    expect(start(engine)).toEqual(among(engine, [ada, bob]));
    await engine.close();
  });

  it('needs no such method of a bank', async () => {
    const { engine, ada, bob } = await engineWith(undefined);
    expect(start(engine)).toEqual(among(engine, [ada, bob]));
    await engine.close();
  });
});
