/**
 * Rewrites package.json of an image: what the service loads on demand becomes a dependency, and development is left out, so that
 * `npm install` keeps what a service on Postgres and S3 needs, in the versions of the lock file.
 */
import { readFileSync, writeFileSync } from 'node:fs';

const UNUSED = ['@photostructure/sqlite', '@qdrant/js-client-rest', 'agentdb'];

const file = new URL('../package.json', import.meta.url);
const { devDependencies, peerDependencies, peerDependenciesMeta, ...manifest } = JSON.parse(readFileSync(file, 'utf8'));
for (const [name, range] of Object.entries(peerDependencies)) {
  if (!UNUSED.includes(name)) manifest.dependencies[name] = range;
}
writeFileSync(file, `${JSON.stringify(manifest, undefined, 2)}\n`);
