/** `node build/examples/adapter-learning/main.js [basic|continual|feedback|merging …]`, by default all of them. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AdapterLearningEngine, FileSystemBlobStorage, InMemoryAdapterStorage } from 'lorakeet/learning';
import { loadBaseModel } from 'lorakeet/llm';
import { runBasic } from './basic.js';
import { runContinual } from './continual.js';
import { runFeedback } from './feedback.js';
import { runMerging } from './merging.js';

const EXAMPLES = { basic: runBasic, continual: runContinual, feedback: runFeedback, merging: runMerging };
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(EXAMPLES);
const unknown = names.find((name) => !Object.hasOwn(EXAMPLES, name));
if (unknown !== undefined) {
  console.error(`there is no example ${unknown}: expected ${Object.keys(EXAMPLES).join(', ')}`);
  process.exit(2);
}

const model = await loadBaseModel('models/tiny-shakespeare-llama');
console.log(`${model.config.modelType} on ${model.backend.device} (${model.backend.reason})`);
const folder = await mkdtemp(join(tmpdir(), 'adapters-'));
const engine = new AdapterLearningEngine(model, new InMemoryAdapterStorage(), new FileSystemBlobStorage(folder));
try {
  for (const name of names) {
    console.log(`\n${name}`);
    await EXAMPLES[name as keyof typeof EXAMPLES](engine, (line) => console.log(`  ${line}`));
  }
} finally {
  engine.close();
  model.close();
  await rm(folder, { recursive: true });
}
