// A decoder on this processor against PyTorch: log-probabilities with an adapter and the losses of a training. One line of
// JSON. What vitest checks in full, small enough for an emulated processor; `npm run check:emulated` runs it.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { readPeft } from '../../dist/formats.js';
import { selectDecoder } from '../../dist/llm/decoder/select.js';
import { scoreSequences } from '../../dist/llm/gradients.js';
import { adapterFromModules } from '../../dist/llm/language-adapter.js';
import { openModelFolder } from '../../dist/llm/model-folder.js';
import { trainLanguageAdapter } from '../../dist/llm/trainer.js';

const folder = fileURLToPath(new URL('../golden/llm/qwen2', import.meta.url));
const expected = JSON.parse(readFileSync(`${folder}/expected.json`, 'utf8'));
const files = await openModelFolder(folder);
const options = { weightStorage: 'f32', arithmetic: 'f32', threads: 1 };
const model = selectDecoder('cpu').backend.createModel(files.config.shape, options);
await files.load(model);
await files.close();
const { modules } = await readPeft(`${folder}/adapter`);
const adapter = await adapterFromModules(model, modules);
const sequences = expected.sequences.map(({ ids, labels }) => ({
  tokens: Uint32Array.from(ids),
  targets: Uint32Array.from(labels.flatMap((label, i) => (i > 0 && label !== -100 ? [i] : []))),
}));
const logs = await scoreSequences(model.createPass(), adapter, sequences, 64);
let largest = 0;
const compare = (got, wanted) => {
  largest = Math.max(largest, Math.abs(got - wanted));
};
for (const [i, { target_log_probs }] of expected.sequences.entries()) {
  for (const [j, log] of target_log_probs.entries()) compare(logs[i][j], log);
}
const examples = sequences.map((sequence, i) => ({
  kind: 'supervised',
  weight: expected.sequences[i].weight,
  sequence,
}));
const { losses } = await trainLanguageAdapter(model, adapter, examples, {
  ...{ contextLength: 64, batchSize: 3, epochs: 3, schedule: 'constant', warmupSteps: 0, maxGradNorm: 1e9 },
  ...{ learningRate: expected.learning_rate, weightDecay: expected.weight_decay },
});
for (const [i, loss] of losses.entries()) compare(loss, expected.losses[i]);
console.log(JSON.stringify({ device: model.device, compared: losses.length + logs.length, largest }));
process.exitCode = largest < 1e-4 && losses.length === expected.losses.length ? 0 : 1;
