/**
 * Many callers append feedback until somebody kills the process. For every acknowledged row it prints its id.
 *
 *   node appending-process.mjs DIST FILE RUN
 */
import { writeSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const [dist, file, run] = process.argv.slice(2);
const { SqliteFeedbackStore } = await import(new URL('service/index.js', pathToFileURL(`${dist}/`)).href);
const store = new SqliteFeedbackStore(file);

async function callForEver(caller) {
  for (let i = 0; ; i++) {
    const rows = ['a', 'b'].map((half) => ({
      ...{ id: `${run}-${caller}-${i}-${half}`, type: 'thumbs_up', request: { text: 'x'.repeat(500) }, response: {} },
    }));
    const { ids } = await store.append(rows);
    writeSync(1, `${ids.join('\n')}\n`);
  }
}

await Promise.all(Array.from({ length: 20 }, (_, caller) => callForEver(caller)));
