// Adapters that are trained here, of the model in the repository and of a random one with biases, and what the models then
// say: for the other tools to agree with.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { writeSafetensors } from '../../dist/formats.js';
import { selectDecoder } from '../../dist/llm/decoder/select.js';
import { Generator } from '../../dist/llm/generator.js';
import { scoreSequences } from '../../dist/llm/gradients.js';
import { createLanguageAdapter } from '../../dist/llm/language-adapter.js';
import { openModelFolder } from '../../dist/llm/model-folder.js';
import { targetsFrom } from '../../dist/llm/objectives.js';
import { trainLanguageAdapter } from '../../dist/llm/trainer.js';
import { cases, configOf, weightsOf } from './tiny-models.mjs';

const SHAKESPEARE = fileURLToPath(new URL('../../models/tiny-shakespeare-llama', import.meta.url));
const ALL = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const TOKENS = 24;
export const NEW_TOKENS = 12;

/** Writes config.json and the weights of a model of cases.json. */
export async function writeModel(folder, name) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(configOf(name)));
  const tensors = [...weightsOf(name)].map(([key, tensor]) => [key, { dtype: 'F32', ...tensor }]);
  await writeSafetensors(join(folder, 'model.safetensors'), new Map(tensors));
}

/**
 * Of each: its name, the folder of the model, its config and float32 weights, the modules that were learnt, the tokens, the
 * natural logarithms of the probabilities of all but the first of them, and the tokens that follow greedily; these with the
 * adapter and without.
 */
export async function trainAdapters(folder) {
  const random = join(folder, 'trained-base-qwen2');
  await writeModel(random, 'qwen2');
  return [
    await train('shakespeare', SHAKESPEARE, { rank: 4, targetModules: ALL }, 3e-3),
    await train(
      'qwen2',
      random,
      { rank: 3, alpha: 5, rsLora: true, targetModules: ['q_proj', 'k_proj', 'down_proj'] },
      0.02,
    ),
  ];
}

async function train(name, path, settings, learningRate) {
  const files = await openModelFolder(path);
  const { shape } = files.config;
  const model = selectDecoder().backend.createModel(shape, { weightStorage: 'f32', arithmetic: 'f32', threads: 1 });
  await files.load(model);
  const weights = new Map();
  for (const tensor of files.tensors) {
    weights.set(tensor.name, { shape: tensor.shape, data: await files.readFloat32(tensor) });
  }
  await files.close();

  const row = (n) =>
    Uint32Array.from({ length: TOKENS }, (_, i) => cases.ids[(n * 5 + i * (n + 1)) % cases.ids.length]);
  const examples = [1, 2, 3, 4].map((n) => ({ kind: 'supervised', weight: 1, sequence: targetsFrom(row(n), 8) }));
  const adapter = await createLanguageAdapter(model, { ...settings, seed: 1 });
  const { losses } = await trainLanguageAdapter(model, adapter, examples, {
    ...{ contextLength: 64, batchSize: 2, epochs: 6, learningRate, schedule: 'constant' },
  });
  const pass = model.createPass();
  const generator = new Generator(model, { sequences: 1, positions: 64 });
  const tokens = row(1);
  const says = async (used) => {
    const [logs] = await scoreSequences(pass, used, [targetsFrom(tokens, 1)], 64);
    const { tokens: next } = await generator.generate({ prompt: tokens, adapter: used, maxNewTokens: NEW_TOKENS });
    return { logProbabilities: [...logs], greedy: [...next] };
  };
  const result = {
    ...{
      name,
      path,
      config: configOfFolder(path),
      weights,
      modules: await adapter.modules(),
      losses,
      tokens: [...tokens],
    },
    ...{ adapted: await says(adapter), base: await says(undefined) },
  };
  generator.close();
  pass.close();
  adapter.close();
  model.close();
  return result;
}

function configOfFolder(path) {
  return JSON.parse(readFileSync(join(path, 'config.json'), 'utf8'));
}
