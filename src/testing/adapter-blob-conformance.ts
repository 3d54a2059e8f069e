/** The conformance suite of weight storages (AdapterBlobStorage), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import type { AdapterId } from '../learning/adapter-id.js';
import type { AdapterBlobStorage } from '../learning/storage.js';
import type { ConformanceCase } from './harness.js';
import { CANCELLED, casesOver, failWith, idOf, succeed } from './learning-samples.js';

export interface AdapterBlobConformanceOptions {
  /** A new, empty storage. */
  open(): Promise<AdapterBlobStorage>;
  /** For storages that outlive their process: the same one as another process finds it. */
  reopen?(storage: AdapterBlobStorage): Promise<AdapterBlobStorage>;
  /** For storages that can: changes a byte of what lies there. */
  damage?(storage: AdapterBlobStorage, path: string): Promise<void>;
  /** For storages that can: one that can neither be read nor written. */
  unreachable?(): Promise<AdapterBlobStorage>;
  /** Called after every case with the storages that were opened; default: nothing. */
  close?(storage: AdapterBlobStorage): Promise<void> | void;
}

/** The cases, in no particular order. Each opens storages of its own. */
export function adapterBlobConformance(options: AdapterBlobConformanceOptions): ConformanceCase[] {
  const define = casesOver(options.open, options.close);
  const { reopen, damage, unreachable } = options;
  const optional = (offered: unknown, one: () => ConformanceCase) => (offered ? [one()] : []);
  return [
    define('what is stored comes back, of any size', async (storage) => {
      for (const length of [1, 255, 4096, 70_000, 1_000_003]) {
        const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(length)));
        await expectBytes(storage, path, bytesOf(length));
      }
    }),
    define('every call has a path of its own, for the same weights too', async (storage) => {
      const store = (n: number, weights: Uint8Array) => succeed('store', storage.storeWeights(idOf(n), weights));
      const one = await store(1, bytesOf(50));
      const same = await store(1, bytesOf(50));
      const others = await Promise.all(Array.from({ length: 10 }, (_, i) => store(1 + (i % 2), bytesOf(1000 + i))));
      assert.equal(new Set([one, same, ...others]).size, 12, 'a path was given twice');
      await succeed('delete', storage.deleteWeights(one));
      await expectBytes(storage, same, bytesOf(50));
      for (const [i, path] of others.entries()) await expectBytes(storage, path, bytesOf(1000 + i));
    }),
    define('what is deleted is not found, and can be deleted again', async (storage) => {
      const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(9)));
      for (let i = 0; i < 2; i++) {
        await succeed('delete', storage.deleteWeights(path));
        await failWith('get', `File not found: ${path}`, storage.getWeights(path));
        await failWith('size', `File not found: ${path}`, storage.getWeightsSize(path));
      }
    }),
    define('arguments that are wrong are refused', async (storage) => {
      for (const weights of [new Uint8Array(0), null, undefined, 'weights'] as Uint8Array[]) {
        await failWith('store', 'Weights cannot be empty', storage.storeWeights(idOf(1), weights));
      }
      for (const id of ['', 'x', '../x', `../${idOf(1)}`] as AdapterId[]) {
        await failWith('store', /^Failed to store weights: ./, storage.storeWeights(id, bytesOf(3)));
      }
      for (const path of ['', ' \n', null, undefined] as string[]) {
        await failWith('get', 'Path cannot be empty', storage.getWeights(path));
        await failWith('delete', 'Path cannot be empty', storage.deleteWeights(path));
        await failWith('size', 'Path cannot be empty', storage.getWeightsSize(path));
      }
    }),
    define('no path but its own leads to a blob, or anywhere else', async (storage) => {
      const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(64)));
      const elsewhere = [
        '..',
        '.',
        '/',
        '/etc/hostname',
        '../../../../etc/hostname',
        'C:\\x',
        '\0',
        'file:///etc/hostname',
      ];
      const detours = [`./${path}`, `x/../${path}`, `../${path}`, `/${path}`, `${path}/`, `${path}/.`, `//${path}`];
      const others = [
        `${path}\0`,
        `${path}\0x`,
        `${path}\n`,
        ` ${path}`,
        `${path}.`,
        path.toUpperCase(),
        path.slice(0, -1),
      ];
      for (const other of [...elsewhere, ...detours, ...others, encodeURIComponent(`../${path}`), '*', '%']) {
        await failWith(`get ${JSON.stringify(other)}`, /./, storage.getWeights(other));
        await failWith(`size ${JSON.stringify(other)}`, /./, storage.getWeightsSize(other));
        // whether or not it says so, it must not do anything
        await storage.deleteWeights(other);
      }
      await expectBytes(storage, path, bytesOf(64));
    }),
    define('bytes belong to the caller before and after', async (storage) => {
      const buffer = new Uint8Array(300).fill(7);
      const [view, ofNode] = [buffer.subarray(100, 200), Buffer.from('a buffer of node')];
      const paths = [
        await succeed('store', storage.storeWeights(idOf(1), view)),
        await succeed('store', storage.storeWeights(idOf(1), ofNode)),
      ];
      const expected = [new Uint8Array(view), new Uint8Array(ofNode)];
      buffer.fill(1);
      ofNode.fill(1);
      for (const [i, path] of paths.entries()) {
        const found = await succeed('get', storage.getWeights(path));
        assert.deepEqual(new Uint8Array(found), expected[i], 'not the bytes that were stored');
        found.fill(2);
        await expectBytes(storage, path, expected[i]);
      }
    }),
    define('what is cancelled before it starts changes nothing', async (storage) => {
      const signal = AbortSignal.abort();
      const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(20)));
      await failWith('store', CANCELLED, storage.storeWeights(idOf(1), bytesOf(20), { signal }));
      await failWith('get', CANCELLED, storage.getWeights(path, { signal }));
      await failWith('size', CANCELLED, storage.getWeightsSize(path, { signal }));
      await failWith('delete', CANCELLED, storage.deleteWeights(path, { signal }));
      const { signal: going } = new AbortController();
      assert.equal(await succeed('size', storage.getWeightsSize(path, { signal: going })), 20);
      await expectBytes(storage, path, bytesOf(20));
    }),
    ...optional(reopen, () =>
      define('what was acknowledged is there when the storage is opened anew', async (storage, also) => {
        const paths = [];
        for (let i = 1; i < 4; i++) paths.push(await succeed('store', storage.storeWeights(idOf(i), bytesOf(i))));
        await succeed('delete', storage.deleteWeights(paths[1]));
        const again = also(await (reopen as NonNullable<typeof reopen>)(storage));
        await expectBytes(again, paths[0], bytesOf(1));
        await expectBytes(again, paths[2], bytesOf(3));
        await failWith('get', `File not found: ${paths[1]}`, again.getWeights(paths[1]));
      }),
    ),
    ...optional(damage, () =>
      define('damaged weights are told, and can be deleted', async (storage) => {
        const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(500)));
        await damage?.(storage, path);
        await failWith('get', /^Failed to retrieve weights: ./, storage.getWeights(path));
        await succeed('delete', storage.deleteWeights(path));
        await failWith('get', `File not found: ${path}`, storage.getWeights(path));
      }),
    ),
    ...optional(unreachable, () =>
      define('a storage that cannot be reached fails, and does not throw', async (storage, also) => {
        const path = await succeed('store', storage.storeWeights(idOf(1), bytesOf(5)));
        const gone = also(await (unreachable as NonNullable<typeof unreachable>)());
        await failWith('store', /^Failed to store weights: ./, gone.storeWeights(idOf(1), bytesOf(5)));
        await failWith('get', /^Failed to retrieve weights: ./, gone.getWeights(path));
        await failWith('delete', /^Failed to delete weights: ./, gone.deleteWeights(path));
        await failWith('size', /^Failed to get weights size: ./, gone.getWeightsSize(path));
      }),
    ),
  ];
}

/** The same for the same length. */
function bytesOf(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => Math.imul(i + length, 2654435761) >>> 24);
}

async function expectBytes(storage: AdapterBlobStorage, path: string, expected: Uint8Array): Promise<void> {
  const found = await succeed('get', storage.getWeights(path));
  assert.ok(
    Buffer.compare(found, expected) === 0,
    `${path}: got ${found.length} bytes, expected other ${expected.length}`,
  );
  assert.equal(await succeed('size', storage.getWeightsSize(path)), expected.length, 'size');
}
