// As fuzz.mjs, at the decoder's functions: models, adapters, passes and caches that are closed while calls on them run,
// numbers of the wrong kind, batches that do not fit.
//
//   node test/binding/decoder-fuzz.mjs [--addon FILE] [--calls 10000] [--seed 1]
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
const { below, chance, pick, hostileValue, spoil, overlap } = createNonsense(Number(options.seed));

const CONFIG = {
  vocabSize: 11,
  hiddenSize: 6,
  intermediateSize: 7,
  layers: 2,
  heads: 2,
  keyValueHeads: 1,
  headDim: 4,
  biases: 1,
  queryKeyNorms: 1,
  tied: 0,
  weightStorage: 0,
  arithmetic: 1,
  threads: 2,
  rmsNormEps: 1e-5,
};
const FREQUENCIES = Float64Array.of(1, 0.1);
const TARGETS = Float64Array.of(0, 0, 2, 0.5, 1, 6, 3, 1);
/** Rows and columns of the layers' tensors, then of the model's. */
const LAYER_TENSORS = [
  ...[
    [8, 6],
    [4, 6],
    [4, 6],
    [6, 8],
    [7, 6],
    [7, 6],
    [6, 7],
  ],
  ...[
    [1, 8],
    [1, 4],
    [1, 4],
    [1, 6],
    [1, 7],
    [1, 7],
    [1, 6],
  ],
  ...[
    [1, 6],
    [1, 6],
    [1, 4],
    [1, 4],
  ],
];
const MODEL_TENSORS = [
  [11, 6],
  [1, 6],
  [11, 6],
];
const PARAMETERS = 2 * (6 + 8) + 3 * (7 + 6);
const POSITIONS = 9;

const floats = (length) => Float32Array.from({ length }, () => (below(2001) - 1000) / 1000);
const ids = (length, limit = CONFIG.vocabSize) => Uint32Array.from({ length }, () => below(limit));

function saneObjects() {
  const model = addon.createModel('cpu', '', { ...CONFIG, weightStorage: below(4) }, FREQUENCIES);
  return {
    model,
    adapter: addon.createAdapter(model, TARGETS, 1),
    fixed: addon.createAdapter(model, TARGETS, 0),
    pass: addon.createPass(model),
    cache: addon.createCache(model, 3, POSITIONS),
  };
}

/** Well-formed arguments of each function. */
const makers = {
  modelBytes: ({ model }) => [model],
  writeWeights({ model }) {
    const layer = below(3) - 1;
    const tensors = layer < 0 ? MODEL_TENSORS : LAYER_TENSORS;
    const tensor = below(tensors.length);
    const [rows, columns] = tensors[tensor];
    const first = below(rows);
    const dtype = below(3);
    const values = floats((1 + below(rows - first)) * columns);
    const bytes = dtype === 0 ? new Uint8Array(values.buffer) : new Uint8Array(2 * values.length).fill(16);
    return [model, layer, tensor, first, dtype, bytes];
  },
  writeAdapter(own) {
    const first = below(PARAMETERS);
    return [some(own), below(6), first, floats(below(PARAMETERS - first + 1))];
  },
  readAdapter: (own) => makers.writeAdapter(own),
  stepAdapter: (own) => [
    some(own),
    {
      learningRate: 0.01,
      beta1: 0.9,
      beta2: 0.999,
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: pick([1, Infinity]),
      ewcLambda: below(2),
      step: 1 + below(5),
      ...(chance(0.1) ? { [pick(['learningRate', 'step', 'beta1'])]: hostileValue() } : {}),
    },
  ],
  addFisher: (own) => [some(own), below(3)],
  passBytes: ({ model }) => [model, TARGETS, 1 + below(9), 1, below(2), ...forwardOptions()],
  forward(own) {
    const { tokens, offsets, positions } = batch();
    const given = chance(0.5) ? floats(positions.length) : undefined;
    return [own.pass, chance(0.3) ? 0 : some(own), tokens, offsets, positions, ...forwardOptions(), given];
  },
  backward(own) {
    const { tokens, offsets, positions } = batch();
    const known = chance(0.5) ? floats(positions.length) : undefined;
    try {
      track('forward', addon.forward(own.pass, own.adapter, tokens, offsets, positions, 1, below(2), -1, 0, 0, known));
    } catch (error) {
      judge('forward', error);
    }
    return [own.pass, own.adapter, known ? undefined : floats(positions.length)];
  },
  cacheBytes: ({ model }) => [model, 1 + below(3), 1 + below(POSITIONS)],
  truncateCache: ({ cache }) => [cache, below(3), below(4)],
  decode(own) {
    const counts = [0, 1, 2].filter(() => chance(0.6)).map((sequence) => [sequence, 1 + below(4)]);
    const entries = counts.flatMap(([sequence, tokens]) => [sequence, tokens, chance(0.4) ? 0 : some(own)]);
    return [own.cache, Uint32Array.from(entries), ids(counts.reduce((sum, [, tokens]) => sum + tokens, 0))];
  },
  createModel() {
    const config = { ...CONFIG };
    if (chance(0.8)) config[pick(Object.keys(config))] = hostileValue();
    return [pick(['cpu', 'cuda', 'tpu']), pick(['', 'baseline', 'avx2', 'vax']), config, FREQUENCIES];
  },
  createAdapter: ({ model }) => [model, chance(0.5) ? TARGETS : spoil(TARGETS), below(2)],
  createPass: ({ model }) => [model],
  createCache: ({ model }) => [model, 1 + below(3), 1 + below(POSITIONS)],
  closeModel: ({ model }) => [model],
  closeAdapter: (own) => [some(own)],
  closePass: ({ pass }) => [pass],
  closeCache: ({ cache }) => [cache],
};
const CLOSERS = {
  createModel: 'closeModel',
  createAdapter: 'closeAdapter',
  createPass: 'closePass',
  createCache: 'closeCache',
};

const some = ({ adapter, fixed }) => (chance(0.8) ? adapter : fixed);
const forwardOptions = () => [below(2), below(2), chance(0.7) ? -1 : below(99), pick([0, 0.5]), below(99)];

function batch() {
  const lengths = Array.from({ length: 1 + below(3) }, () => 1 + below(5));
  const offsets = new Uint32Array(lengths.length + 1);
  lengths.forEach((length, i) => {
    offsets[i + 1] = offsets[i] + length;
  });
  const tokens = ids(offsets[lengths.length]);
  const firsts = new Set(offsets);
  const positions = Uint32Array.from(tokens.keys()).filter((i) => !firsts.has(i) && chance(0.7));
  return { tokens, offsets, positions };
}

const names = Object.keys(makers).filter((name) => !name.startsWith('close'));
const closers = Object.values(CLOSERS);
const outcomes = new Map();
const count = (key) => outcomes.set(key, (outcomes.get(key) ?? 0) + 1);
const pending = new Set();

function judge(name, error) {
  checkError(name, error, 'ERR_CLOSED');
  count(error.code);
}

function track(name, result) {
  const settled = result
    .then(
      () => count(`ok, ${name}`),
      (error) => judge(name, error),
    )
    .finally(() => pending.delete(settled));
  pending.add(settled);
}

let objects = [saneObjects(), saneObjects()];
const calls = Number(options.calls);
for (let i = 0; i < calls; i++) {
  const name = pick(chance(0.03) ? closers : names);
  let args = makers[name](pick(objects));
  if (chance(0.1)) args = overlap(args);
  const strikes = below(3);
  for (let k = 0; k < strikes; k++) {
    const at = below(args.length);
    args[at] = at === 0 && chance(0.8) ? args[at] : spoil(args[at]);
  }
  if (chance(0.03)) args[0] = pick(objects)[pick(['model', 'adapter', 'pass', 'cache'])];
  if (chance(0.02)) args.length = below(args.length + 1);
  try {
    const result = addon[name](...args);
    if (result instanceof Promise) {
      track(name, result);
      for (const value of args) {
        if (!ArrayBuffer.isView(value) || value.byteLength === 0) continue;
        if (chance(0.3)) value.fill?.(0xffffffff);
        if (value !== TARGETS && chance(0.2)) detach(value);
      }
    } else {
      if (name in CLOSERS) addon[CLOSERS[name]](result);
      count('ok');
    }
  } catch (error) {
    judge(name, error);
  }
  if (i % 50 === 49) {
    if (chance(0.5)) await Promise.all(pending); // else objects are closed with calls still under way
    for (const own of objects) {
      for (const closer of closers) if (chance(0.9)) addon[closer](...makers[closer](own));
    }
    objects = [saneObjects(), saneObjects()];
  }
}
await Promise.all(pending);
const summary = [...outcomes].sort((a, b) => b[1] - a[1]).map(([key, times]) => `${key} ${times}`);
console.log(`${calls} calls, no crash: ${summary.join(', ')}`);
