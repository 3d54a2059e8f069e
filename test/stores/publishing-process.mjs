/**
 * Publishes, activates, rolls back and deletes in a version store until somebody kills it. For every change that the store has
 * acknowledged it prints one line. Alone on the store it also collects garbage of any age.
 *
 *   node publishing-process.mjs DIST files|postgres|s3 FOLDER|OPTIONS SEED alone|shared
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, kind, location, seed, company] = process.argv.slice(2);
const from = (module) => import(new URL(module, pathToFileURL(`${dist}/`)).href);
const { AdapterVersions, collectGarbage } = await from('versions/index.js');
const { SeededRandom } = await from('testing/random.js');

const random = new SeededRandom(Number(seed));
const store = await openStore();
const reason = 'to see what happens';
const tell = (...words) => writeSync(1, `${words.join(' ')}\n`);

async function openStore() {
  if (kind === 'files') return (await from('stores/files.js')).FileVersionStore.open(location);
  if (kind === 's3') return (await from('stores/s3.js')).S3VersionStore.open(JSON.parse(location));
  return (await from('stores/postgres.js')).PostgresVersionStore.open(JSON.parse(location));
}

async function publishAndChange() {
  const adapter = new AdapterVersions(store, random.uniform() < 0.5 ? 'feed' : 'team/search');
  const bytes = new Uint8Array(random.uniforms(random.integer(1, 20_000)).buffer);
  const { version } = await adapter.publish({ files: { 'adapter.bin': bytes }, metrics: { seed: Number(seed) } });
  tell('published', adapter.adapter, version, createHash('sha256').update(bytes).digest('hex'));
  await adapter.activate(version, { override: true, reason });
  tell('activated', adapter.adapter, version);
  if (random.uniform() < 0.3) await adapter.setAlias('candidate', version);
  if (random.uniform() < 0.3)
    await adapter.rollback({ to: (await adapter.state()).versions[0].version, override: true, reason });
  if (random.uniform() < 0.2) await adapter.retain({ keepLatest: 5 });
}

for (;;) {
  try {
    await publishAndChange();
    if (company === 'alone' && random.uniform() < 0.3) {
      await collectGarbage(store, { olderThanMs: 0, now: () => new Date(Date.now() + 1000) });
    }
  } catch (error) {
    // refused by a rule, for the other process has been quicker; or its server has been killed
    const expected = kind === 'files' ? /^ERR_(VERSION|NO_ROLLBACK)/ : /^ERR_(VERSION|NO_ROLLBACK|STORE_UNAVAILABLE)/;
    if (!expected.test(error.code)) throw error;
  }
}
