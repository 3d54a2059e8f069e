// Loads the addon in several worker threads at a time, each with pools, helper threads and calls under way, and ends some
// of the workers in the middle of it. Prints one line of JSON: the bits of every worker's result, which must be equal.
//
//   node test/binding/contexts.mjs
import { createRequire } from 'node:module';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const USERS = 400;
const FEATURES = 96;
const config = {
  rank: 8,
  inFeatures: FEATURES,
  outFeatures: FEATURES,
  capacity: USERS,
  threads: 3,
  residual: 1,
  optimizer: 1,
  ewc: 1,
  stateDtype: 0,
  scaling: 0.125,
  learningRate: 0.01,
  maxGradNorm: 1,
  ewcLambda: 0.5,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
};
const SLAB = 5 * config.rank * 2 * FEATURES;

/** Twenty steps for 400 users of 8 rows; the sum of the bits of all weights. */
async function learn() {
  const addon = createRequire(import.meta.url)('node-gyp-build')(new URL('../..', import.meta.url).pathname);
  const pool = addon.createPool('cpu', '', config);
  const slots = Uint32Array.from({ length: USERS }, (_, u) => u);
  const wave = (length, step) => Float32Array.from({ length }, (_, i) => Math.sin(i * step) / 2);
  addon.write(pool, slots, wave(USERS * SLAB, 0.37).map(Math.abs), new Uint32Array(USERS));
  const offsets = Uint32Array.from({ length: USERS + 1 }, (_, u) => u * 8);
  // shared, so that calls refer to it where they copy the target
  const x = new Float32Array(new SharedArrayBuffer(4 * USERS * 8 * FEATURES));
  x.set(wave(x.length, 0.11));
  const target = wave(USERS * 8 * FEATURES, 0.13);
  for (let step = 0; step < 20; step++) {
    await addon.updateAsync(pool, slots, offsets, x, target, undefined, undefined, undefined, undefined);
  }
  const slabs = new Float32Array(USERS * SLAB);
  addon.read(pool, slots, slabs, new Uint32Array(USERS));
  if (workerData?.close) addon.closePool(pool);
  return new Uint32Array(slabs.buffer).reduce((sum, bits) => (Math.imul(sum, 31) + bits) >>> 0, 0);
}

if (isMainThread) {
  const file = new URL(import.meta.url);
  const finish = (close) =>
    new Promise((resolve, reject) => {
      new Worker(file, { workerData: { close } }).on('message', resolve).on('error', reject);
    });
  const interrupt = (calls) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(file, { workerData: { interrupted: true, calls } });
      // ended with calls queued and running: their memory has to outlive the worker's own
      worker.on('message', () => resolve(worker.terminate())).on('error', reject);
    });
  // the addon is first loaded here by workers alone; the main thread joins later
  const together = await Promise.all([finish(true), finish(false), interrupt(1), interrupt(5)]);
  const results = [together[0], together[1], await finish(true), await learn()];
  console.log(JSON.stringify(results));
} else if (workerData.interrupted) {
  for (let i = 0; i < workerData.calls; i++) learn();
  parentPort.postMessage('started');
  setInterval(() => {}, 1000);
} else {
  parentPort.postMessage(await learn());
}
