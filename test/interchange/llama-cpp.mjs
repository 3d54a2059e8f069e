// llama.cpp loads the adapters that lorakeet exported and must give the token probabilities of PyTorch, to 1e-3.
//
//   node test/interchange/llama-cpp.mjs FOLDER
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { getLlama } from 'node-llama-cpp';
import { writeGgufLora } from '../../dist/formats.js';
import { writeBaseModel } from './base-gguf.mjs';
import { cases, configOf, expected, modulesOf, weightsOf } from './tiny-models.mjs';
import { NEW_TOKENS, trainAdapters } from './trained.mjs';

const TOLERANCE = 1e-3;
/** float32 all the way: what remains is the adapter. One thread, as llama.cpp's threads spin while they wait. */
const PRECISE = {
  contextSize: 64,
  threads: 1,
  flashAttention: false,
  experimentalKvCacheKeyType: 'F32',
  experimentalKvCacheValueType: 'F32',
};
const folder = process.argv[2];
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error' });
let passed = 0;
let failed = 0;

function check(what, ok, detail) {
  if (ok) passed++;
  else failed++;
  if (!ok) console.log(`  FAILED ${what}: ${detail}`);
}

/** The probabilities of every token after the ids of the cases. */
async function probabilities(model, adapterPath) {
  const lora = adapterPath && { adapters: [{ filePath: adapterPath, scale: 1 }] };
  const context = await model.createContext({ ...PRECISE, lora });
  const last = cases.ids.length - 1;
  const input = cases.ids.map((id, i) => (i === last ? [id, { generateNext: { probabilities: true } }] : id));
  const output = await context.getSequence().controlledEvaluate(input);
  await context.dispose();
  return output[last].next.probabilities;
}

/** Natural logarithms of the probabilities of all tokens but the first, and those that follow greedily. */
async function says(model, tokens, adapterPath) {
  const lora = adapterPath && { adapters: [{ filePath: adapterPath, scale: 1 }] };
  const context = await model.createContext({ ...PRECISE, lora });
  const sequence = context.getSequence();
  const asked = tokens.map((id) => [id, { generateNext: { probabilities: true } }]);
  const output = await sequence.controlledEvaluate(asked);
  const logs = tokens.slice(1).map((id, i) => Math.log(output[i].next.probabilities.get(id) ?? 0));
  await sequence.clearHistory();
  const greedy = [];
  for await (const id of sequence.evaluate(tokens, { temperature: 0, yieldEogToken: true })) {
    if (greedy.push(id) === NEW_TOKENS) break;
  }
  await context.dispose();
  return { logs, greedy };
}

const largestDifference = (got, wanted) => Math.max(...wanted.map((value, id) => Math.abs((got.get(id) ?? 0) - value)));

let largest = 0;
let files = 0;
for (const name of Object.keys(cases.models)) {
  const config = configOf(name);
  mkdirSync(join(folder, name), { recursive: true });
  const basePath = join(folder, name, 'base.gguf');
  writeBaseModel(basePath, config, weightsOf(name));
  const model = await llama.loadModel({ modelPath: basePath, useMmap: false });
  const ask = async (adapter, modules, base, options) => {
    // a path of its own for each file, since node-llama-cpp keeps adapters by their paths
    const path = join(folder, name, `${adapter}-${files++}.gguf`);
    await writeGgufLora(path, modules, base, options);
    return probabilities(model, path);
  };
  const error = largestDifference(await probabilities(model), expected[name].base);
  check(`${name}, no adapter`, error < TOLERANCE, error);

  for (const [adapter, { probabilities: wanted }] of Object.entries(expected[name].adapters)) {
    const modules = modulesOf(name, adapter);
    for (const dtype of ['F32', 'F16']) {
      const difference = largestDifference(await ask(adapter, modules, config, { dtype }), wanted);
      if (dtype === 'F32') largest = Math.max(largest, difference);
      check(`${name}, ${adapter}, ${dtype}`, difference < TOLERANCE, difference);
    }
    // what must not go unnoticed: no adapter, another scaling, and q and k permuted as for other heads
    const unscaled = new Map([...modules].map(([key, module]) => [key, { ...module, scaling: 1.1 * module.scaling }]));
    const controls = {
      'no adapter': expected[name].base.map((value, id) => [id, value]),
      'a scaling that is 10 % off': await ask(adapter, unscaled, config),
    };
    if (['llama', 'mistral'].includes(config.model_type)) {
      const other = { ...config, num_attention_heads: 2, num_key_value_heads: 1 };
      controls['a permutation for other heads'] = await ask(adapter, modules, other);
    }
    for (const [control, got] of Object.entries(controls)) {
      const difference = largestDifference(new Map(got), wanted);
      check(`${name}, ${adapter}: ${control} shows`, difference > 2 * TOLERANCE, difference);
    }
  }
  await model.dispose();
}
// trained here: every token's probability, and what follows greedily
for (const { name, config, weights, modules, tokens, adapted, base } of await trainAdapters(folder)) {
  const basePath = join(folder, `trained-${name}.gguf`);
  writeBaseModel(basePath, config, weights);
  const adapterPath = join(folder, `trained-${name}-adapter.gguf`);
  await writeGgufLora(adapterPath, modules, config);
  const model = await llama.loadModel({ modelPath: basePath, useMmap: false });
  const said = { adapted: await says(model, tokens, adapterPath), base: await says(model, tokens) };
  for (const [which, wanted] of Object.entries({ adapted, base })) {
    const { logs, greedy } = said[which];
    const error = Math.max(...wanted.logProbabilities.map((log, i) => Math.abs(log - logs[i])));
    check(`trained ${name}, ${which}`, error < TOLERANCE, `log-probabilities differ by ${error}`);
    check(`trained ${name}, ${which}, greedily`, `${greedy}` === `${wanted.greedy}`, `${greedy}, not ${wanted.greedy}`);
  }
  const moved = Math.max(...said.base.logs.map((log, i) => Math.abs(log - said.adapted.logs[i])));
  check(`trained ${name} has learnt something`, moved > 0.1, moved);
  await model.dispose();
}
console.log(`  ${passed} passed, ${failed} failed (llama.cpp, largest difference in F32 ${largest.toExponential(1)})`);
process.exit(failed === 0 ? 0 : 1);
