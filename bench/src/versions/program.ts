/**
 * Versions per second on each store: publishing, activating, loading, and checking everything, beside one synced write of the
 * same bytes into a plain file, and one put of an S3 object, which is what any durable way costs at least. What is loaded is
 * held against what was published before anything is reported.
 */
import { deepStrictEqual } from 'node:assert';
import { closeSync, fsyncSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { SeededRandom } from '#lorakeet/testing/random.js';
import { AdapterVersions } from '#lorakeet/versions/adapter-versions.js';
import { checkStore } from '#lorakeet/versions/store-check.js';
import { cpuClock } from '../measure.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import { type OpenStore, type Servers, storesOf } from './stores.js';

export interface VersionsRow {
  store: string;
  sizeBytes: number;
  operation: string;
  /** Medians over the calls. */
  millis: number;
  cpuMillis: number;
  perSecond: number;
}

export interface VersionsSize {
  versions: number;
  sizes: readonly number[];
}

/** Of a size no more versions than make up this. */
const MAX_TOTAL_BYTES = 2 ** 28;

/** A small adapter of a user, one of a feed (rank 8, 768 features), and one of a language model. */
const SIZES = [4096, 49_152, 8_388_608];

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const { versions, ...servers } = parseOptions(args);
  const rows = await runVersions({ versions, sizes: SIZES }, onProgress, servers);
  console.log(`\n${versions} versions of each size, of together at most 256 MiB; medians\n`);
  const texts = rows.map(({ store, sizeBytes, operation, millis, cpuMillis, perSecond }) => [
    ...[store, String(sizeBytes), operation],
    ...[millis.toFixed(3), cpuMillis.toFixed(3), perSecond.toFixed(0)],
  ]);
  console.log(formatTable(['<store', 'bytes', '<operation', 'ms', 'CPU ms', 'per second'], texts));
  return { versions, rows };
}

export async function runVersions(
  size: VersionsSize,
  onProgress: (what: string) => void,
  servers: Servers = {},
): Promise<VersionsRow[]> {
  const rows: VersionsRow[] = [];
  const openers = storesOf(servers);
  for (const sizeBytes of size.sizes) {
    const versions = Math.min(size.versions, Math.floor(MAX_TOTAL_BYTES / sizeBytes));
    const folder = mkdtempSync(join(tmpdir(), 'lorakeet-versions-'));
    try {
      const measured = await measureFile(join(folder, 'file'), versions, sizeBytes);
      for (const open of openers) {
        const opened = await open(folder);
        onProgress(`${sizeBytes} bytes, ${opened.name}`);
        try {
          measured.push(...(await measureStore(opened, versions, sizeBytes)));
        } finally {
          await opened.close();
        }
      }
      rows.push(...measured.map((row) => ({ ...row, sizeBytes })));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return rows;
}

async function measureStore({ name, store, plain }: OpenStore, versions: number, sizeBytes: number) {
  const adapter = new AdapterVersions(store, 'a');
  const numberOf = (i: number) => `v1.${i}`;
  const rows = [];
  if (plain) {
    rows.push(
      await timed(`plain ${name}`, 'write', versions, (i) => plain.write(i, contentOf(sizeBytes, i))),
      await timed(`plain ${name}`, 'read', versions, async (i) => {
        deepStrictEqual(new Uint8Array((await plain.read(i))?.subarray(0, 64) ?? []), contentOf(64, i));
      }),
    );
  }
  rows.push(
    await timed(name, 'publish', versions, async (i) => {
      await adapter.publish({ files: { 'adapter.bin': contentOf(sizeBytes, i) } });
    }),
    await timed(name, 'activate', versions, async (i) => {
      await adapter.activate(numberOf(i), { override: true, reason: 'the benchmark' });
    }),
    await timed(name, 'load', versions, async (i) => {
      const { files } = await adapter.load(numberOf(i));
      deepStrictEqual(new Uint8Array(files.get('adapter.bin')?.subarray(0, 64) ?? []), contentOf(64, i));
    }),
    await timed(name, 'check everything', 1, async () => deepStrictEqual((await checkStore(store)).problems, [])),
  );
  return rows;
}

/** One file, written and synced; then read. */
async function measureFile(path: string, versions: number, sizeBytes: number) {
  return [
    await timed('plain file', 'write and sync', versions, async (i) => {
      const handle = openSync(`${path}-${i}`, 'wx');
      writeSync(handle, contentOf(sizeBytes, i));
      fsyncSync(handle);
      closeSync(handle);
    }),
    await timed('plain file', 'read', versions, async (i) => {
      deepStrictEqual(new Uint8Array(readFileSync(`${path}-${i}`)).subarray(0, 64), contentOf(64, i));
    }),
  ];
}

async function timed(store: string, operation: string, calls: number, call: (index: number) => Promise<void>) {
  const [walls, cpus] = [new Float64Array(calls), new Float64Array(calls)];
  for (let i = 0; i < calls; i++) {
    const [wall, cpu] = [performance.now(), cpuClock()];
    await call(i);
    walls[i] = performance.now() - wall;
    cpus[i] = cpuClock() - cpu;
  }
  const median = (values: Float64Array) => values.sort()[values.length >> 1];
  const millis = median(walls);
  return { store, operation, millis, cpuMillis: median(cpus), perSecond: 1000 / millis };
}

/** Its own for each index: 64 random bytes, then zeros. */
function contentOf(sizeBytes: number, index: number): Uint8Array {
  const random = new SeededRandom(index);
  const bytes = new Uint8Array(sizeBytes);
  for (let i = 0; i < 64; i++) bytes[i] = random.integer(0, 255);
  return bytes;
}

function parseOptions(args: readonly string[]): { versions: number } & Servers {
  const string = { type: 'string' } as const;
  const options = { versions: string, s3: string, postgres: { type: 'boolean' } } as const;
  let values: { versions?: string } & Servers;
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { versions: text = '100', s3, postgres } = values;
  const versions = Number(text);
  if (!Number.isInteger(versions) || versions < 1 || versions > 5000) {
    throw new UsageError(`--versions: got ${text}, expected an integer from 1 to 5000`);
  }
  return { versions, s3, postgres };
}
