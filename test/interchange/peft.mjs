// Folders between lorakeet and PEFT, in both directions; interchange.py is the other side.
//
//   node test/interchange/peft.mjs PYTHON FOLDER
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPeft, writeAdapterFolder, writePeft } from '../../dist/formats.js';
import { createLoRAPersonalizationEngine } from '../../dist/index.js';
import { cases, modulesOf } from './tiny-models.mjs';
import { trainAdapters, writeModel } from './trained.mjs';

const [python, folder] = process.argv.slice(2);
const adapters = [...Object.keys(cases.adapters), 'dora'];
// PEFT saves the base weights of lm_head beside its adapter
const options = { allowDora: true, ignoreBaseWeights: true };
let passed = 0;
let failed = 0;

function check(what, ok) {
  if (ok) passed++;
  else failed++;
  if (!ok) console.log(`  FAILED ${what}`);
}

function runPython(command) {
  const script = fileURLToPath(new URL('./interchange.py', import.meta.url));
  const { status, error } = spawnSync(python, [script, command, folder], { stdio: 'inherit' });
  if (error) throw error;
  return status === 0;
}

/** The same modules bit for bit; scalings up to the rounding of alpha. */
function areSame(got, wanted) {
  const sameArray = (a, b) => a.length === b.length && a.every((value, i) => Object.is(value, b[i]));
  return (
    got.size === wanted.size &&
    [...wanted].every(([name, module]) => {
      const other = got.get(name);
      const close = other && Math.abs(other.scaling - module.scaling) <= 1e-12 * Math.abs(module.scaling);
      return close && sameArray(other.loraA, module.loraA) && sameArray(other.loraB, module.loraB);
    })
  );
}

/** What is trained here, and what it then says. */
async function writeTrained() {
  for (const { name, path, modules, losses, weights: _weights, config: _config, ...said } of await trainAdapters(
    folder,
  )) {
    check(`${name} learns`, losses.at(-1) < 0.8 * losses[0]);
    const own = join(folder, 'trained', name);
    await writePeft(join(own, 'exact'), modules, { portable: false, taskType: 'CAUSAL_LM' });
    await writePeft(join(own, 'portable'), modules, { taskType: 'CAUSAL_LM' });
    writeFileSync(join(own, 'expected.json'), JSON.stringify({ path, ...said }));
  }
}

/** Reads what PEFT saved, and writes it in every form. */
async function writeAdapters() {
  for (const name of Object.keys(cases.models)) {
    for (const adapter of adapters) {
      const path = (form) => join(folder, name, adapter, form);
      const { modules, magnitudes, settings } = await readPeft(path('peft'), options);
      if (!magnitudes) check(`${name} ${adapter} from PEFT`, areSame(modules, modulesOf(name, adapter)));
      await writePeft(path('exact'), modules, { ...settings, portable: false, magnitudes });
      const louder = new Map([...modules].map(([key, module]) => [key, { ...module, scaling: 1.1 * module.scaling }]));
      await writePeft(path('control'), louder, { ...settings, portable: false, magnitudes });
      if (magnitudes) continue;
      await writePeft(path('portable'), modules, settings);
      await writePeft(path('half'), modules, { ...settings, dtype: 'F16' });
    }
  }
}

async function writeEmbeddingAdapter() {
  const embeddingDim = 64;
  const engine = createLoRAPersonalizationEngine({ embeddingDim, rank: 4, backend: 'js' });
  const row = (n) => Float32Array.from({ length: embeddingDim }, (_, i) => Math.sin(n + i * (n + 1)));
  let adapter = engine.createAdapter('user');
  for (let n = 0; n < 20; n++) {
    adapter = await engine.updateAdapter(adapter, [
      { contentEmbedding: row(n % 4), reward: 0.1, timestamp: new Date(0) },
    ]);
  }
  const x = [0, 1, 2, 3].map(row);
  const y = engine.batchComputeLoRAForward(x, adapter);
  const rows = (arrays) => arrays.map((array) => Array.from(array));
  writeFileSync(join(folder, 'embedding.json'), JSON.stringify({ x: rows(x), y: rows(y) }));
  await writeAdapterFolder(join(folder, 'embedding'), adapter);
  await engine.close();
}

/** What PEFT wrote after loading ours must be ours. */
async function readAgain() {
  for (const name of Object.keys(cases.models)) {
    for (const adapter of adapters) {
      for (const form of ['exact', 'portable', 'half']) {
        const path = join(folder, name, adapter, form);
        if (!existsSync(path)) continue;
        const [ours, again] = [await readPeft(path, options), await readPeft(`${path}-again`, options)];
        check(`${name} ${adapter} ${form} through PEFT and back`, areSame(again.modules, ours.modules));
      }
    }
  }
}

for (const name of Object.keys(cases.models)) await writeModel(join(folder, name), name);
await writeTrained();
if (!runPython('save')) process.exit(1);
await writeAdapters();
await writeEmbeddingAdapter();
const agrees = runPython('check');
await readAgain();
console.log(`  ${passed} passed, ${failed} failed (files that PEFT wrote, read here)`);
process.exit(agrees && failed === 0 ? 0 : 1);
