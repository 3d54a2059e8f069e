/**
 * A service that learns for more users than it has room for, until somebody kills it. For every save that the store has
 * acknowledged it prints one line per user: id, version, SHA-256 of the bytes.
 *
 *   node evicting-process.mjs DIST STORE SEED
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, file, seed] = process.argv.slice(2);
const from = (module) => import(new URL(module, pathToFileURL(`${dist}/`)).href);
const { createAdapterPool, createPersonalizationService, silentLogger } = await from('index.js');
const { SqliteAdapterStore } = await from('stores/sqlite-adapters.js');
const { decodeAdapter } = await from('adapter/codec.js');
const { SeededRandom } = await from('testing/random.js');

class TellingStore extends SqliteAdapterStore {
  async save(adapters) {
    await super.save(adapters);
    const lines = adapters.map(({ id, bytes }) => {
      const { version } = decodeAdapter(bytes).meta;
      return `${id} ${version} ${createHash('sha256').update(bytes).digest('hex')}\n`;
    });
    writeSync(1, lines.join(''));
  }
}

const DIM = 16;
const options = { rank: 2, embeddingDim: DIM, capacity: 6, threads: 1, backend: 'js', logger: silentLogger };
const service = createPersonalizationService({ pool: createAdapterPool(options), store: new TellingStore(file) });
const random = new SeededRandom(Number(seed));
for (;;) {
  const calls = Array.from({ length: 4 }, () => {
    const contentEmbedding = random.normals(DIM);
    return service.learn([{ userId: `user-${random.integer(0, 39)}`, contentEmbedding, reward: random.uniform() }]);
  });
  await Promise.all(calls);
}
