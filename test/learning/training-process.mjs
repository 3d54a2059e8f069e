/** Trains an adapter a little, tells its id and loss, then trains it for long, telling of every step until it is killed. */

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [root, file, blobs] = process.argv.slice(2);
const load = (path) => import(pathToFileURL(join(root, 'dist', path)).href);
const { AdapterConfig, AdapterLearningEngine, FileSystemBlobStorage, TrainingConfig, TrainingExample } =
  await load('learning/index.js');
const { loadBaseModel } = await load('llm/index.js');
const { SqliteAdapterStorage } = await load('stores/learning/sqlite.js');

const model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
const engine = new AdapterLearningEngine(model, new SqliteAdapterStorage(file), new FileSystemBlobStorage(blobs));
const examples = [new TrainingExample('O', ' moon!')];
const id = (await engine.createAdapter('task', new AdapterConfig({ rank: 1, learningRate: 0.01 }))).value;
await engine.trainAdapter(id, examples, new TrainingConfig({ epochs: 3 }));
console.log(`${id} ${(await engine.evaluate(examples, id)).value.loss}`);
await engine.trainAdapter(id, examples, new TrainingConfig({ epochs: 1000 }), {
  onProgress: ({ step }) => console.log(`step ${step}`),
});
console.log('trained');
