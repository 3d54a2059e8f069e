/**
 * Thousands of random calls, made without waiting, against a plain pool that holds everybody and gets the same calls one by
 * one: at every pause all adapters must be the same to the last bit, dates included.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type AdapterPool,
  type AdapterPoolOptions,
  createLoRAPersonalizationEngine,
  type FeedbackBatch,
  type PersonalizationService,
} from '../../../src/index.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { DIM, newPool, newService, poolOptions, type ScriptedStore } from './support.js';

const USERS = 40;
const ITEMS = 20;
const ROUNDS = 6;
const CALLS = 130;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: 1e12 });
});
afterEach(() => {
  vi.useRealTimers();
});

const items = new SeededRandom(99).normals(ITEMS * DIM);
const userId = (random: SeededRandom) => `user-${Math.floor(USERS * random.uniform() ** 2)}`;

/** One call: what it does to the service, and to the model if it succeeded. */
interface Step {
  made: Promise<unknown>;
  repeat(model: AdapterPool): Promise<unknown>;
}

function randomFeedback(random: SeededRandom, users: number, withReward: boolean): FeedbackBatch {
  const userIds = Array.from({ length: users }, () => userId(random)).flatMap((id) =>
    Array<string>(random.integer(1, 3)).fill(id),
  );
  const rows = () =>
    random.uniform() < 0.5 ? random.normals(userIds.length * DIM) : random.integers(userIds.length, 0, ITEMS - 1);
  const weight = random.uniform() < 0.3 ? { weight: random.uniforms(userIds.length, 0, 2) } : {};
  const reward = withReward && random.uniform() < 0.7 ? { reward: random.uniforms(userIds.length) } : {};
  return { userIds, content: rows(), target: rows(), ...weight, ...reward };
}

function randomStep(
  service: PersonalizationService,
  random: SeededRandom,
  maxUsers: number,
  withReward: boolean,
): Step {
  const kind = random.uniform();
  if (kind < 0.06) {
    const id = userId(random);
    return { made: service.removeUser(id), repeat: async (model) => model.removeUser(id) };
  }
  if (kind < 0.1) {
    const engine = createLoRAPersonalizationEngine({ ...poolOptions, seed: random.integer(0, 1000) });
    const adapter = engine.createAdapter(userId(random));
    return { made: service.setAdapter(adapter), repeat: async (model) => model.setAdapter(adapter) };
  }
  if (kind < 0.12) return { made: service.save(), repeat: async () => {} };
  const feedback = randomFeedback(random, random.integer(1, maxUsers), withReward);
  return { made: service.learn(feedback), repeat: (model) => model.learn(feedback) };
}

/** Reads anywhere in between; what they find depends on timing, that they find something whole does not. */
function randomRead(service: PersonalizationService, random: SeededRandom): Promise<unknown> {
  if (random.uniform() < 0.5) return service.getAdapter(userId(random));
  const userIds = Array.from({ length: random.integer(1, 12) }, () => userId(random));
  return service.personalize(userIds, random.integers(userIds.length, 0, ITEMS - 1));
}

async function expectSame(service: PersonalizationService, model: AdapterPool, random: SeededRandom) {
  const userIds = Array.from({ length: USERS }, (_, i) => `user-${i}`);
  const content = random.normals(USERS * DIM);
  // node's deepEqual compares bit by bit and, for arrays of numbers, much faster than vitest's
  assert.deepEqual(await service.personalize(userIds, content), model.personalize(userIds, content));
  const adapters = await Promise.all(userIds.map((id) => service.getAdapter(id)));
  assert.deepEqual(
    adapters,
    userIds.map((id) => model.getAdapter(id)),
  );
}

async function play(
  seed: number,
  options: Parameters<typeof newService>[0] & { maxUsers: number; learning?: AdapterPoolOptions },
  disturb: (store: ScriptedStore, random: SeededRandom) => void,
  mayFail: (error: unknown) => boolean,
) {
  const random = new SeededRandom(seed);
  const { maxUsers, learning, capacity, ...rest } = options;
  const shared = { items, ...learning };
  const { service, store } = newService({ ...rest, pool: newPool({ ...shared, capacity }) });
  disturb(store, new SeededRandom(seed + 1000));
  const model = newPool({ ...shared, capacity: USERS });
  let failed = 0;
  for (let round = 0; round < ROUNDS; round++) {
    vi.setSystemTime(1e12 + 1000 * round);
    const steps: Step[] = [];
    const reads: Promise<unknown>[] = [];
    for (let i = 0; i < CALLS; i++) {
      if (random.uniform() < 0.2) {
        const read = randomRead(service, random);
        read.catch(() => {});
        reads.push(read);
      } else {
        const step = randomStep(service, random, maxUsers, learning?.targetPolicy !== undefined);
        step.made.catch(() => {});
        steps.push(step);
      }
      if (random.uniform() < 0.1) await new Promise((resolve) => setImmediate(resolve));
    }
    const outcomes = await Promise.allSettled([...steps.map(({ made }) => made), ...reads]);
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled') continue;
      if (!mayFail(outcome.reason)) throw outcome.reason;
      failed += 1;
    }
    for (let i = 0; i < steps.length; i++) {
      if (outcomes[i].status === 'fulfilled') await steps[i].repeat(model);
    }
    const { before, after } = store;
    store.before = store.after = () => {};
    await expectSame(service, model, random);
    Object.assign(store, { before, after });
  }
  store.before = store.after = () => {};
  const stats = service.stats();
  expect(stats).toMatchObject({ queuedRows: 0, waitingCalls: 0, waitingUsers: 0 });
  expect(stats.inMemory).toBeLessThanOrEqual(stats.capacity);
  expect(stats.evictions).toBeGreaterThan(USERS);
  expect(stats.reloads).toBeGreaterThan(USERS);
  await service.close();
  // and what a service finds that starts from the store alone
  const again = newService({ store, pool: newPool({ ...shared, capacity: 7 }) }).service;
  await expectSame(again, model, random);
  await again.close();
  return { failed, stats };
}

/** Answers take a few turns of the event loop, each a different number. */
function slowly(store: ScriptedStore, random: SeededRandom) {
  const wait = async () => {
    for (let turns = random.integer(0, 6); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
  };
  Object.assign(store, { before: wait, after: wait });
}

describe('random calls give what they give one by one', () => {
  it.each([
    { capacity: 1, maxUsers: 3 },
    { capacity: 2, maxUsers: 5, maxQueuedRows: 10 },
    { capacity: 9, maxUsers: 4 },
    { capacity: 9, maxUsers: 12, maxBatchRows: 6 },
    { capacity: 20, maxUsers: 3, maxDelayMs: 1, maxBatchRows: 30 },
    { capacity: 5, maxUsers: 3, learning: { optimizer: 'sgd' as const } },
    { capacity: 5, maxUsers: 4, learning: { targetPolicy: { kind: 'contrastive' as const } } },
  ])('with %o', async (options) => {
    const { failed } = await play(options.capacity, options, slowly, () => false);
    expect(failed).toBe(0);
  });

  it('also where the store fails now and then: what was acknowledged is there, what was refused is not', async () => {
    // one user a call, so that its outcome is his
    const { failed, stats } = await play(
      31,
      { capacity: 6, maxUsers: 1 },
      (store, random) => {
        slowly(store, random);
        const { before, after } = store;
        store.before = async (method, ids) => {
          await before(method, ids);
          if (random.uniform() < 0.1) throw new Error(`${method} failed`);
        };
        store.after = async (method, ids) => {
          await after(method, ids);
          if (method === 'save' && random.uniform() < 0.1) throw new Error('save failed after it was done');
        };
      },
      (error) => (error as { code?: string }).code === 'ERR_STORE_FAILURE',
    );
    expect(failed).toBeGreaterThan(20);
    const { load, save, delete: deletes, unusable } = stats.failures;
    expect(Math.min(load, save, deletes)).toBeGreaterThan(0);
    expect(unusable).toBe(0);
  });
});
