/** What the public API of each package takes: ours for many users at once, the others for one adapter after another. */
import { type AdapterPoolOptions, createAdapterPool, silentLogger } from 'lorakeet';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { jsBackend } from '#lorakeet/kernels/js.js';
import { createNativeBackend, nativeInfo } from '#lorakeet/kernels/native.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { CheckedPool } from '../check.js';
import { type MeasureOptions, measure } from '../measure.js';
import type { Shape } from '../model.js';
import { benchConfig, createFilledPool } from '../population.js';
import { JS_PEERS, type JsAdapter, type JsPeer } from './js-adapters.js';
import { checkJsPeer } from './js-check.js';

/** ns per vector or per update of one user's 16 rows; null where the package has no such use. */
export interface JsTimes {
  version: string;
  /** One vector, the same user again and again. */
  one: number;
  /** One vector of each of many users. */
  many: number | null;
  /** One update of each of many users, if `many` is there, with 16 rows. */
  update: number;
  /** The same with SGD, which is what the others do in any case; `update` is with all defaults. */
  sgd: number;
}

export interface JsTimingOptions {
  users: number;
  measure?: MeasureOptions;
}

export const OURS = 'lorakeet';
const ROWS = 16;
const DEFAULTS: JsTimingOptions = { users: 1000, measure: { totalMs: 120 } };

/** `name`: ours, or a peer in JS_PEERS, installed in the folder `root`. Throws an Error when it is wrong. */
export function timeJs(name: string, root: string, shape: Shape, options = DEFAULTS): Promise<JsTimes> {
  return name === OURS ? timeOurs(shape, options) : timePeer(name, JS_PEERS[name](root), shape, options);
}

export async function timePeer(
  name: string,
  peer: JsPeer,
  shape: Shape,
  { users, measure: options }: JsTimingOptions = DEFAULTS,
): Promise<JsTimes> {
  checkJsPeer(name, peer, shape, ROWS);
  const random = new SeededRandom(3);
  const weights = [shape.rank * shape.dim, shape.dim * shape.rank].map((length) => random.normals(length, 0.05));
  const make = () => {
    const adapter = peer.create(shape);
    adapter.setWeights(weights[0], weights[1]);
    return adapter;
  };
  const adapter = make();
  const inputs = Array.from({ length: ROWS }, () => adapter.input(random.normals(shape.dim)));
  const targets = inputs.map(() => random.normals(shape.dim));
  const adapters = peer.manyAdapters ? Array.from({ length: users }, make) : [adapter];
  const inTurn = (visit: (adapter: JsAdapter) => void) => {
    let next = 0;
    return (): void => {
      visit(adapters[next]);
      next = (next + 1) % adapters.length;
    };
  };
  const [one, many, update] = await measure(
    [
      { name: 'one', items: 1, run: () => void adapter.forward(inputs[0]) },
      { name: 'many', items: 1, run: inTurn((each) => each.forward(inputs[0])) },
      { name: 'update', items: 1, run: inTurn((each) => each.learn(inputs, targets, 1e-4)) },
    ],
    options,
  );
  const { nsPerItem: ns } = update;
  const { version, manyAdapters } = peer;
  return { version, one: one.nsPerItem, many: manyAdapters ? many.nsPerItem : null, update: ns, sgd: ns };
}

async function timeOurs(shape: Shape, options: JsTimingOptions): Promise<JsTimes> {
  const times = await timeOurPool(shape, options);
  const { update: sgd } = await timeOurPool(shape, options, { optimizer: { kind: 'sgd' } });
  return { ...times, sgd };
}

/** All defaults but `changes`, which is more work than the peers do: EWC, clipping, users by name, checked arguments. */
async function timeOurPool(
  { dim, rank }: Shape,
  { users, measure: options }: JsTimingOptions,
  changes: AdapterPoolOptions = {},
): Promise<Omit<JsTimes, 'sgd'>> {
  const size = { rank, embeddingDim: dim, capacity: users };
  const backend = nativeInfo().available ? createNativeBackend({ device: 'cpu' }) : jsBackend;
  checkBackend(backend, { dim, rank });
  const pool = createAdapterPool({ ...size, backend: backend.name, threads: 1, logger: silentLogger, ...changes });
  try {
    const random = new SeededRandom(3);
    const names = Array.from({ length: users }, (_, user) => `user-${user}`);
    const userIds = names.flatMap((name) => new Array<string>(ROWS).fill(name));
    const block = random.normals(2 ** 16 - 16);
    const fill = (length: number, start: number) =>
      new Float32Array(length).map((_, i) => block[(start + i) % block.length]);
    const content = fill(userIds.length * dim, 0);
    const feedback = { userIds, content, target: fill(content.length, 7) };
    const learn = async (): Promise<void> => {
      const { updates } = await pool.learn(feedback);
      if (updates !== users) throw new Error(`pool.learn: got ${updates} updates, expected ${users}`);
    };
    await learn(); // creates the users
    const x = content.subarray(0, dim);
    const y = new Float32Array(users * dim);
    const firstY = y.subarray(0, dim);
    const everyX = content.subarray(0, y.length);
    const first = names.slice(0, 1);
    const [one, many, update] = await measure(
      [
        { name: 'one', items: 1, run: () => void pool.personalize(first, x, firstY) },
        { name: 'many', items: users, run: () => void pool.personalize(names, everyX, y) },
        { name: 'update', items: users, asynchronous: true, run: learn },
      ],
      options,
    );
    const version = `${pool.backend.name} ${pool.backend.device}`;
    return { version, one: one.nsPerItem, many: many.nsPerItem, update: update.nsPerItem };
  } finally {
    await pool.close();
  }
}

function checkBackend(backend: KernelBackend, shape: Shape): void {
  const kernel = createFilledPool(backend, benchConfig(shape, 'adamw', 2));
  try {
    CheckedPool.check(`${OURS} ${backend.device}`, kernel, ROWS);
  } finally {
    kernel.close();
  }
}
