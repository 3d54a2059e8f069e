// Rows in shared memory that nobody but a queued call refers to any more: they have to stay until the call is done.
// Prints one line of JSON: whether garbage collection took other shared memory of that time, and whether the results are
// those of rows that were held on to.
//
//   UV_THREADPOOL_SIZE=1 node --expose-gc test/binding/kept-rows.mjs
import { createRequire } from 'node:module';

const addon = createRequire(import.meta.url)('node-gyp-build')(new URL('../..', import.meta.url).pathname);
const USERS = 200;
const ROWS = 8;
const FEATURES = 64;
const config = {
  rank: 4,
  inFeatures: FEATURES,
  outFeatures: FEATURES,
  capacity: USERS,
  threads: 1,
  residual: 1,
  optimizer: 0,
  ewc: 0,
  stateDtype: 0,
  scaling: 0.25,
  learningRate: 0.01,
  maxGradNorm: 1,
  ewcLambda: 0,
  beta1: 0,
  beta2: 0,
  epsilon: 1,
  weightDecay: 0,
};
const slots = Uint32Array.from({ length: USERS }, (_, user) => user);
const offsets = Uint32Array.from({ length: USERS + 1 }, (_, user) => user * ROWS);

function sharedWave(step) {
  const values = new Float32Array(new SharedArrayBuffer(4 * USERS * ROWS * FEATURES));
  for (let i = 0; i < values.length; i++) values[i] = Math.sin(i * step);
  return values;
}

/** A step that takes many times longer than a collection. */
function startLong() {
  const inFeatures = 2048;
  const pool = addon.createPool('cpu', '', { ...config, rank: 64, inFeatures, outFeatures: inFeatures });
  const rows = new Float32Array(USERS * ROWS * inFeatures).fill(0.01);
  return addon.updateAsync(pool, slots, offsets, rows, rows, undefined, undefined, undefined, undefined);
}

function start(x, target) {
  const pool = addon.createPool('cpu', '', config);
  return addon.updateAsync(pool, slots, offsets, x, target, undefined, undefined, undefined, undefined);
}

const [x, target] = [sharedWave(0.1), sharedWave(0.3)];
const held = await start(x, target);
// with one thread, the second call waits for the first while the collector runs
const ahead = startLong();
const waiting = start(sharedWave(0.1), sharedWave(0.3));
const dropped = new WeakRef(sharedWave(0.1));
await new Promise((resolve) => setImmediate(resolve));
globalThis.gc();
const collected = dropped.deref() === undefined;
// takes the place of whatever memory has become free
const others = Array.from({ length: 8 }, () => sharedWave(0.7));
await ahead;
const { loss } = await waiting;
const same = others.length === 8 && loss.every((value, user) => value === held.loss[user]);
console.log(JSON.stringify({ collected, same }));
