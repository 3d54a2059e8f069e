/**
 * A population whose users answer along two common directions, each in a way of his own and with much noise: what one
 * can know before the first feedback, and how much it is worth.
 */
import { beforeAll, describe, expect, it } from 'vitest';
import { createLoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import { AdapterPool } from '../../src/personalization/pool.js';
import { fitPopulationPrior, type PopulationPrior } from '../../src/personalization/population-prior.js';
import type { LoRAConfig, UserLoRAAdapter } from '../../src/personalization/types.js';
import { SeededRandom } from '../../src/testing/random.js';
import { coded, quiet } from './samples.js';

const [DIM, ROWS, NOISE] = [16, 60, 0.8];
const AXES = [0, 5];
const options = { embeddingDim: DIM, ...quiet };

/** target = x + Σ q·(w·x + noise) over q the axes 0 and 5; the users' w differ and have a part in common. */
function population(users: number, seed: number) {
  const random = new SeededRandom(seed);
  const userIds: string[] = [];
  const content = random.normals(users * ROWS * DIM, 0.3);
  const target = content.slice();
  for (let user = 0; user < users; user++) {
    const answers = AXES.map((axis) => ({ axis, w: random.normals(DIM) }));
    answers[0].w[3] += 1;
    for (let row = user * ROWS; row < (user + 1) * ROWS; row++) {
      userIds.push(`${seed}-${user}`);
      for (const { axis, w } of answers) {
        const response = w.reduce((sum, weight, j) => sum + weight * content[row * DIM + j], 0);
        target[row * DIM + axis] += response + random.normal(NOISE);
      }
    }
  }
  return { userIds, content, target };
}

/** Mean squared error along the axes, of each row before it is learned, over the users' first `rows` rows. */
async function onlineError(feedback: ReturnType<typeof population>, rows: number, config: LoRAConfig) {
  const pool = new AdapterPool(config);
  const users = feedback.userIds.length / ROWS;
  const userIds = Array.from({ length: users }, (_, user) => feedback.userIds[user * ROWS]);
  const everybodys = (matrix: Float32Array, row: number) =>
    Float32Array.from({ length: users * DIM }, (_, i) => matrix[(Math.floor(i / DIM) * ROWS + row) * DIM + (i % DIM)]);
  let sum = 0;
  for (let row = 0; row < rows; row++) {
    const [content, target] = [everybodys(feedback.content, row), everybodys(feedback.target, row)];
    const y = pool.personalize(userIds, content);
    for (let i = 0; i < y.length; i++) if (AXES.includes(i % DIM)) sum += (y[i] - target[i]) ** 2;
    await pool.learn({ userIds, content, target });
  }
  await pool.close();
  return sum / (AXES.length * users * rows);
}

describe('fitPopulationPrior', () => {
  const known = population(80, 1);
  const unknown = population(80, 2);
  let prior: PopulationPrior;
  let adapter: UserLoRAAdapter;
  beforeAll(async () => {
    prior = await fitPopulationPrior(known, options);
    adapter = prior.adapter as UserLoRAAdapter;
  });

  it('finds a start that predicts the population better than fresh adapters', () => {
    expect(prior).toMatchObject({ users: 80, rows: 80 * ROWS });
    expect(prior.loss).toBeLessThan(0.97 * prior.freshLoss);
    expect(prior.reachedEnergy).toBeGreaterThan(0.95);
    expect(adapter).toMatchObject({ userId: 'population', version: 1, rank: 4, embeddingDim: DIM });
  });

  it('finds the output directions that the users have in common', () => {
    const power = Array.from({ length: DIM }, (_, o) => Math.hypot(...adapter.matrixB.subarray(4 * o, 4 * o + 4)));
    const inside = Math.hypot(...AXES.map((axis) => power[axis]));
    expect(inside / Math.hypot(...power)).toBeGreaterThan(0.99);
  });

  it('and what their answers have in common', () => {
    const atAxis = (j: number) => {
      let response = 0;
      for (let k = 0; k < 4; k++) response += (adapter.matrixB[k] * adapter.matrixA[k * DIM + j]) / 4;
      return response;
    };
    const others = Array.from({ length: DIM }, (_, j) => (j === 3 ? 0 : Math.abs(atAxis(j))));
    expect(atAxis(3)).toBeGreaterThan(0.2);
    expect(atAxis(3)).toBeGreaterThan(1.5 * Math.max(...others));
  });

  it('lets new users learn faster from the first row on, without another setting', async () => {
    const irreducible = NOISE ** 2;
    const fresh = await onlineError(unknown, ROWS, options);
    const informed = await onlineError(unknown, ROWS, { ...options, prior: adapter });
    // what is to be learned is the error beyond the noise
    expect(informed - irreducible).toBeLessThan(0.75 * (fresh - irreducible));
    const [freshStart, informedStart] = [
      await onlineError(unknown, 10, options),
      await onlineError(unknown, 10, { ...options, prior: adapter }),
    ];
    expect(informedStart - irreducible).toBeLessThan(0.9 * (freshStart - irreducible));
  });

  it('gives the same prior every time', async () => {
    const again = await fitPopulationPrior(known, options);
    expect(again.adapter?.matrixA).toEqual(adapter.matrixA);
    expect(again.adapter?.fisherInformation).toEqual(adapter.fisherInformation);
  });

  it('works for SGD as well, where the step is in the scale of B', async () => {
    const sgd = { ...options, optimizer: 'sgd', learningRate: 0.01, gradientClipThreshold: 1e9 } as const;
    const { adapter: prior } = await fitPopulationPrior(known, sgd);
    expect(prior?.optimizerState.moment2).toBeUndefined();
    const error = await onlineError(unknown, ROWS, { ...sgd, prior });
    expect(error - NOISE ** 2).toBeLessThan(0.75 * ((await onlineError(unknown, ROWS, sgd)) - NOISE ** 2));
  });

  it('finds none where there is nothing to learn', async () => {
    const { userIds, content } = known;
    const nothing = await fitPopulationPrior({ userIds, content, target: content }, options);
    expect(nothing).toMatchObject({ loss: 0, freshLoss: 0, reachedEnergy: 0 });
    expect(nothing.adapter).toBeUndefined();
  });

  it('takes item numbers and weights', async () => {
    const items = known.content;
    const numbers = Uint32Array.from(known.userIds, (_, row) => row);
    const half = { userIds: known.userIds, target: known.target, weight: new Float32Array(numbers.length).fill(0.5) };
    const byNumber = await fitPopulationPrior({ ...half, content: numbers }, { ...options, items });
    expect(byNumber.loss).toBeCloseTo(prior.loss, 6);
  });

  it.each([
    ['nobody', [], 'ERR_INVALID_ARGUMENT'],
    ['a NaN', { ...known, target: known.target.map((value, i) => (i === 7 ? Number.NaN : value)) }, 'ERR_NOT_FINITE'],
  ] as const)('rejects feedback of %s', async (_, feedback, code) => {
    await expect(fitPopulationPrior(feedback, options)).rejects.toEqual(coded(code, 'feedback'));
  });

  describe('the option prior', () => {
    it('gives the engine the adapters that the pool gives', async () => {
      const engine = createLoRAPersonalizationEngine({ ...options, prior: adapter });
      const pool = new AdapterPool({ ...options, prior: adapter });
      const made = engine.createAdapter('ada');
      expect(made).toMatchObject({ userId: 'ada', version: 1, metadata: { totalSamples: 0, avgLoss: 0 } });
      expect(made.anchorWeights).toEqual(adapter.anchorWeights);
      expect(made.fisherInformation).not.toBe(adapter.fisherInformation);
      const x = known.content.slice(0, DIM);
      const [t] = [known.target.slice(0, DIM)];
      expect(pool.personalize(['ada'], x)).toEqual(engine.computeLoRAForward(x, made));
      await pool.learn([{ userId: 'ada', contentEmbedding: x, targetEmbedding: t }]);
      const feedback = { contentEmbedding: x, targetEmbedding: t, reward: 1, timestamp: new Date(0) };
      const learned = await engine.updateAdapter(made, [feedback]);
      expect(pool.getAdapter('ada')?.matrixA).toEqual(learned.matrixA);
      expect(pool.getAdapter('ada')?.optimizerState).toEqual(learned.optimizerState);
      expect(createLoRAPersonalizationEngine(engine.getConfig()).createAdapter('ada').matrixB).toEqual(made.matrixB);
      await Promise.all([engine.close(), pool.close()]);
    });

    it('survives being serialized', () => {
      const engine = createLoRAPersonalizationEngine(options);
      const read = engine.deserializeAdapter(engine.serializeAdapter(adapter));
      expect(read.optimizerState).toEqual(adapter.optimizerState);
      expect(read.fisherInformation).toEqual(adapter.fisherInformation);
    });

    it('yields to preferences, and to an engine without EWC or moments', () => {
      const fresh = createLoRAPersonalizationEngine(options);
      const engine = createLoRAPersonalizationEngine({ ...options, prior: adapter });
      const preferences = { vector: new Float32Array(DIM).fill(1) };
      expect(engine.createAdapter('ada', preferences).matrixA).toEqual(fresh.createAdapter('ada', preferences).matrixA);
      const bare = createLoRAPersonalizationEngine({ ...options, prior: adapter, useEWC: false, optimizer: 'sgd' });
      const made = bare.createAdapter('ada');
      expect(made.matrixA).toEqual(adapter.matrixA);
      expect(made.fisherInformation).toBeUndefined();
      expect(made.optimizerState.moment1).toBeUndefined();
    });

    it('must fit', () => {
      const other = { ...options, embeddingDim: 8, prior: adapter };
      expect(() => createLoRAPersonalizationEngine(other)).toThrow(coded('ERR_ADAPTER_MISMATCH', 'prior'));
      expect(() => new AdapterPool(other)).toThrow(coded('ERR_ADAPTER_MISMATCH', 'prior'));
      const none = { ...options, prior: null as unknown as UserLoRAAdapter };
      expect(() => createLoRAPersonalizationEngine(none)).toThrow(coded('ERR_INVALID_ARGUMENT', 'adapter'));
    });
  });
});
