/**
 * Keeps one adapter after another, with new weights again and again, until somebody kills it. For every version that both
 * storages have acknowledged it prints one line: id, version, path.
 *
 *   node storing-process.mjs DIST FOLDER
 */
import { randomFillSync } from 'node:crypto';
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, folder] = process.argv.slice(2);
const from = (module) => import(new URL(module, pathToFileURL(`${dist}/`)).href);
const { AdapterConfig, AdapterMetadata, FileSystemBlobStorage, newAdapterId } = await from('learning/index.js');
const { SqliteAdapterStorage } = await from('stores/learning/sqlite.js');

const metadata = new SqliteAdapterStorage(`${folder}/adapters.db`);
const blobs = new FileSystemBlobStorage(`${folder}/blobs`);
const weights = new Uint8Array(16 * 2 ** 20);
const tell = ({ id, version, blobStoragePath }) => writeSync(1, `${id} ${version} ${blobStoragePath}\n`);
const store = async (id) => (await blobs.storeWeights(id, randomFillSync(weights))).value;
for (;;) {
  const id = newAdapterId();
  let present = AdapterMetadata.create(id, 'task', AdapterConfig.default(), await store(id), 'model');
  if ((await metadata.storeMetadata(present)).isFailure) process.exit(1);
  tell(present);
  for (let i = 0; i < 3; i++) {
    const dropped = present.blobStoragePath;
    present = present.withTraining(1, { blobStoragePath: await store(id) }).with({ history: [] });
    if ((await metadata.updateMetadata(present)).isFailure) process.exit(2);
    tell(present);
    await blobs.deleteWeights(dropped);
  }
}
