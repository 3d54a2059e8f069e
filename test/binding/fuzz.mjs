// Throws seeded nonsense at the addon's functions: wrong types and lengths, detached, shared and resizable buffers, NaN,
// out-of-range and huge counts, closed pools, arrays that change under an asynchronous call. Every call has to return or to
// throw an Error with a code of ours; anything else ends the process with a non-zero status, as would a crash.
//
//   node test/binding/fuzz.mjs [--addon FILE] [--calls 10000] [--seed 1]
import { createRequire } from 'node:module';
import { parseArgs } from 'node:util';
import { checkError, createNonsense, detach } from './nonsense.mjs';

const { values: options } = parseArgs({
  options: {
    addon: { type: 'string' },
    calls: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
  },
});
const require = createRequire(import.meta.url);
const root = new URL('../..', import.meta.url).pathname;
const addon = options.addon ? require(require('node:path').resolve(options.addon)) : require('node-gyp-build')(root);

const { below, chance, pick, next, hostileValue, spoil, overlap } = createNonsense(Number(options.seed));

const CONFIG = {
  rank: 3,
  inFeatures: 5,
  outFeatures: 5,
  capacity: 40,
  threads: 2,
  residual: 1,
  optimizer: 1,
  ewc: 1,
  stateDtype: 1,
  scaling: 0.5,
  learningRate: 0.01,
  maxGradNorm: 1,
  ewcLambda: 0.5,
  beta1: 0.9,
  beta2: 0.999,
  epsilon: 1e-8,
  weightDecay: 0,
};
const { instructionSets } = addon.info(false);
const SLAB = 5 * CONFIG.rank * (CONFIG.inFeatures + CONFIG.outFeatures);
const ITEMS = 7;

function sanePool() {
  const pool = addon.createPool('cpu', '', CONFIG);
  addon.bindItems(pool, new Float32Array(ITEMS * CONFIG.inFeatures).fill(0.5));
  return pool;
}

const number = () => (chance(0.02) ? pick([NaN, Infinity, -Infinity, 3e38, -0, 1e-40]) : (below(2001) - 1000) / 1000);
const floats = (length) => Float32Array.from({ length }, number);
const distinct = (count) => {
  const slots = new Set();
  while (slots.size < count) slots.add(below(CONFIG.capacity));
  return Uint32Array.from(slots);
};

/** Well-formed arguments of each function; hostile() then spoils some of them. */
const makers = {
  write(pool) {
    const slots = distinct(1 + below(5));
    return [pool, slots, floats(slots.length * SLAB).map(Math.abs), new Uint32Array(slots.length)];
  },
  read(pool) {
    const slots = distinct(1 + below(5));
    return [pool, slots, new Float32Array(slots.length * SLAB), new Uint32Array(slots.length)];
  },
  copy(pool) {
    const slots = distinct(6);
    return [pool, slots.slice(0, 3), slots.slice(3)];
  },
  clear: (pool) => [pool, distinct(1 + below(5))],
  bindItems: (pool) => [pool, chance(0.2) ? null : floats(ITEMS * CONFIG.inFeatures)],
  apply(pool) {
    const n = below(20);
    const slots = Uint32Array.from({ length: n }, () => below(CONFIG.capacity));
    return [pool, slots, rows(n), new Float32Array(n * CONFIG.outFeatures)];
  },
  update(pool) {
    const { slots, offsets, n } = grouped();
    const users = slots.length;
    const perRow = () => (chance(0.5) ? undefined : floats(n).map(Math.abs));
    const perUser = () => (chance(0.5) ? undefined : floats(users).map(Math.abs));
    const report = [new Float32Array(users), new Float32Array(users), new Uint8Array(users)];
    return [pool, slots, offsets, rows(n), rows(n), perRow(), perUser(), perUser(), perUser(), ...report];
  },
  consolidate(pool) {
    const { slots, offsets, n } = grouped();
    return [pool, slots, offsets, rows(n), below(100) / 100];
  },
  applyAsync: (pool) => makers.apply(pool).slice(0, 3),
  updateAsync: (pool) => makers.update(pool).slice(0, 9),
  consolidateAsync: (pool) => makers.consolidate(pool),
  memoryBytes: (pool) => [pool],
  firstNonFinite() {
    const values = floats(below(600));
    return [values, chance(0.5) ? undefined : new Float32Array(values.length)];
  },
  multiply() {
    const [rows, inner, columns] = [below(9), below(9), below(9)];
    const [x, y] = [matrix(rows, inner), matrix(inner, columns)];
    return [isa(), rows, inner, columns, ...x, ...y, new Float64Array(rows * columns), below(4)];
  },
  symmetricEigen() {
    const n = below(7);
    return [isa(), n, Float64Array.from({ length: n * n }, number), new Float64Array(n)];
  },
  magnitudeAt() {
    const [rows, rank, columns] = [1 + below(30), 1 + below(6), 1 + below(90)];
    const factors = [floats(rows * rank), floats(rank * columns)];
    return [isa(), rows, rank, columns, ...factors, number(), 1 + below(rows * columns), new Float32Array(2), below(4)];
  },
  mergeEntries() {
    const [rows, columns] = [below(30), below(90)];
    const ranks = Uint32Array.from({ length: 1 + below(4) }, () => below(6));
    const ranksum = ranks.reduce((sum, rank) => sum + rank, 0);
    const numbers = [...ranks].flatMap(summandNumbers);
    return [
      ...[isa(), rows, columns, ranks, floats(ranksum * rows), floats(ranksum * columns), Float64Array.from(numbers)],
      ...[below(3), number(), new Float32Array(rows * columns), below(4)],
    ];
  },
  closePool: (pool) => [pool],
  createPool() {
    const config = { ...CONFIG };
    if (chance(0.7)) config[pick(Object.keys(config))] = hostileValue();
    return [pick(['cpu', 'cuda', 'tpu']), pick(['', 'baseline', 'avx2', 'vax']), config];
  },
  info: () => [false],
};

const isa = () => pick(instructionSets);

/** data, row stride, column stride */
function matrix(rows, columns) {
  const values = Array.from({ length: rows * columns }, number);
  const data = (chance(0.5) ? Float32Array : Float64Array).from(values);
  return chance(0.5) ? [data, columns, 1] : [data, 1, rows];
}

const summandNumbers = () => [number(), number(), Math.abs(number()), chance(0.5) ? 1 : 0.3, next(), next()];

function rows(n) {
  return chance(0.4) ? Uint32Array.from({ length: n }, () => below(ITEMS)) : floats(n * CONFIG.inFeatures);
}

function grouped() {
  const slots = distinct(1 + below(6));
  const offsets = new Uint32Array(slots.length + 1);
  for (let u = 0; u < slots.length; u++) offsets[u + 1] = offsets[u] + 1 + below(4);
  return { slots, offsets, n: offsets[slots.length] };
}

const names = Object.keys(makers).filter((name) => name !== 'createPool' && name !== 'closePool');
let pools = [sanePool(), sanePool()];
const outcomes = new Map();
const pending = new Set();

function count(key) {
  outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
}

function judge(name, error) {
  checkError(name, error, 'ERR_POOL_CLOSED');
  count(error.code);
}

const calls = Number(options.calls);
for (let i = 0; i < calls; i++) {
  const name = chance(0.03) ? pick(['createPool', 'closePool']) : pick(names);
  let args = makers[name](pick(pools));
  if (chance(0.1)) args = overlap(args);
  const strikes = below(3);
  for (let k = 0; k < strikes; k++) {
    const at = below(args.length);
    args[at] = at === 0 && chance(0.8) ? args[at] : spoil(args[at]);
  }
  if (chance(0.02)) args.length = below(args.length + 1);
  try {
    const result = addon[name](...args);
    if (result instanceof Promise) {
      const settled = result
        .then(
          () => count('ok, asynchronous'),
          (error) => judge(name, error),
        )
        .finally(() => pending.delete(settled));
      pending.add(settled);
      // change the arrays while the worker thread may be reading
      for (const value of args) {
        if (!ArrayBuffer.isView(value) || value.byteLength === 0) continue;
        if (chance(0.3)) value.fill?.(0xffffffff);
        if (chance(0.2)) detach(value);
      }
    } else if (name === 'createPool') {
      addon.closePool(result);
      count('ok');
    } else {
      count('ok');
    }
  } catch (error) {
    judge(name, error);
  }
  if (i % 50 === 49) {
    if (chance(0.5)) await Promise.all(pending); // else pools are closed with calls still under way
    for (const pool of pools) if (chance(0.9)) addon.closePool(pool); // the others stay open until the process ends
    pools = [sanePool(), sanePool()];
  }
}
await Promise.all(pending);

// The addon still computes: the zero adapter is the identity.
const pool = sanePool();
const x = Float32Array.of(1, 2, 3, 4, 5);
const y = new Float32Array(5);
addon.apply(pool, Uint32Array.of(0), x, y);
if (x.some((value, i) => value !== y[i])) {
  console.error('the identity is not the identity any more', y);
  process.exit(1);
}
const summary = [...outcomes].sort((a, b) => b[1] - a[1]).map(([key, times]) => `${key} ${times}`);
console.log(`${calls} calls, no crash: ${summary.join(', ')}`);
