/** The packed store against the shared suite, and what it promises beyond it: compaction, order, closing, one at a time. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import { PackedAdapterStore, type PackedStoreOptions } from '../../../src/stores/packed.js';
import { adapterCollectionConformance } from '../../../src/testing/collection-conformance.js';
import { SeededRandom } from '../../../src/testing/random.js';
import { coded } from '../../personalization/samples.js';
import { root } from '../../support/imports.js';
import { useFolders } from './folders.js';

const newFolder = useFolders();

describe.each([
  ['with the default', {}],
  ['with segments of a few records', { segmentBytes: 60_000 }],
])('PackedAdapterStore %s', (_, options: PackedStoreOptions) => {
  const paths = new WeakMap<object, string>();
  const open = async (path: string) => {
    const store = await PackedAdapterStore.open(path, options);
    paths.set(store, path);
    return store;
  };
  const cases = adapterCollectionConformance({
    open: () => open(newFolder()),
    reopen: async (store) => {
      await store.close();
      return open(paths.get(store) as string);
    },
    close: async (store) => {
      await store.close();
      rmSync(paths.get(store) as string, { recursive: true, force: true });
    },
  });
  it.each(cases)('$name', ({ run }) => run());
});

/** 1,000 bytes that tell user and version. */
const bytesOf = (user: number, version: number) => {
  const bytes = new Uint8Array(1000).fill(user);
  new DataView(bytes.buffer).setUint32(0, version, true);
  return bytes;
};
const record = (user: number, version: number) => ({ id: `user-${user}`, bytes: bytesOf(user, version) });
const sizeOf = (folder: string) =>
  readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);

describe('compaction', () => {
  it('keeps files within twice what is live and two segments, and loses nothing', async () => {
    const [folder, segmentBytes] = [newFolder(), 50_000];
    const store = await PackedAdapterStore.open(folder, { segmentBytes });
    const random = new SeededRandom(3);
    const model = new Map<number, number>();
    for (let version = 0; version < 1500; version++) {
      const user = random.integer(0, 99);
      if (random.uniform() < 0.2) {
        await store.delete([`user-${user}`]);
        model.delete(user);
      } else {
        await store.save([record(user, version)]);
        model.set(user, version);
      }
    }
    await store.close();
    const { sizeBytes, liveBytes, adapters } = store.stats();
    expect(adapters).toBe(model.size);
    expect(sizeOf(folder)).toBe(sizeBytes);
    // 1.5 MB were written
    expect(sizeBytes).toBeLessThan(2 * liveBytes + 2 * segmentBytes);

    const again = await PackedAdapterStore.open(folder, { segmentBytes });
    const users = Array.from({ length: 100 }, (_, user) => user);
    const found = await again.load(users.map((user) => `user-${user}`));
    expect(found).toEqual(
      users.map((user) => (model.has(user) ? bytesOf(user, model.get(user) as number) : undefined)),
    );
    await again.close();
  });

  it('removes what was deleted from the disk when asked to, and it does not come back', async () => {
    const folder = newFolder();
    const store = await PackedAdapterStore.open(folder, { segmentBytes: 20_000 });
    for (let user = 0; user < 60; user++) await store.save([record(user, 0)]);
    await store.save([{ id: 'secret', bytes: Buffer.from('do not keep this') }]);
    for (let user = 0; user < 60; user += 20) await store.delete([`user-${user}`]);
    await store.delete(['secret']);
    const textOf = () =>
      readdirSync(folder)
        .map((name) => readFileSync(join(folder, name), 'latin1'))
        .join();
    expect(textOf()).toContain('do not keep this');
    await store.compact();
    expect(textOf()).not.toContain('do not keep this');
    await store.compact();
    await store.close();
    const again = await PackedAdapterStore.open(folder);
    expect(again.size).toBe(57);
    expect(await again.load(['user-0', 'user-1', 'user-20', 'secret'])).toEqual([
      ...[undefined, bytesOf(1, 0), undefined, undefined],
    ]);
    await again.close();
  });

  it('carries a deletion on as long as an older segment has a record of it', async () => {
    const folder = newFolder();
    const options = { segmentBytes: 20_000 };
    let store = await PackedAdapterStore.open(folder, options);
    // the first segment stays: most of it is live
    for (let user = 0; user < 18; user++) await store.save([record(user, 1)]);
    const [first] = readdirSync(folder).filter((name) => name.endsWith('.segment'));
    await store.delete(['user-3']);
    // whatever holds the deletion is compacted again and again
    for (let version = 0; version < 200; version++) await store.save([record(100 + (version % 5), version)]);
    await store.close();
    expect(readdirSync(folder)).toContain(first);
    expect(readFileSync(join(folder, first), 'latin1')).toContain('user-3');
    store = await PackedAdapterStore.open(folder, options);
    expect(await store.load(['user-3', 'user-4'])).toEqual([undefined, bytesOf(4, 1)]);
    await store.close();
  });

  it('lets go of a segment that is being read only when it has been', async () => {
    const store = await PackedAdapterStore.open(newFolder(), { segmentBytes: 20_000 });
    for (let user = 0; user < 100; user++) await store.save([record(user, 0)]);
    const ids = Array.from({ length: 100 }, (_, user) => `user-${user}`);
    const entries = store.entries()[Symbol.asyncIterator]();
    await entries.next();
    const loading = store.load(ids);
    for (let user = 0; user < 100; user += 2) await store.save([record(user, 1)]);
    await store.compact();
    expect(await loading).toEqual(ids.map((_, user) => bytesOf(user, 0)));
    let told = 0;
    for (let next = await entries.next(); !next.done; next = await entries.next()) told += next.value.length;
    expect(told).toBeGreaterThanOrEqual(99);
    await store.close();
  });
});

describe('opening and closing', () => {
  it('is for one at a time, here and in other processes, and free when the holder has died', async () => {
    const folder = newFolder();
    const module = pathToFileURL(join(root, 'dist', 'stores', 'packed.js')).href;
    const tryToOpen = (then: string) => {
      const program = `import { PackedAdapterStore } from '${module}';
        const store = await PackedAdapterStore.open(${JSON.stringify(folder)}).catch((error) => console.log(error.code));
        if (store) { await store.save([{ id: 'a', bytes: Uint8Array.of(1) }]); console.log('opened'); ${then} }`;
      const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
      return stdout.trim();
    };
    const store = await PackedAdapterStore.open(folder);
    await expect(PackedAdapterStore.open(folder)).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE', 'open already'));
    expect(tryToOpen('')).toBe('ERR_STORE_UNAVAILABLE');
    await store.close();
    expect(tryToOpen(`process.kill(process.pid, 'SIGKILL')`)).toBe('opened');
    const again = await PackedAdapterStore.open(folder);
    expect(await again.load(['a'])).toEqual([Uint8Array.of(1)]);
    await again.close();
  });

  it('finishes what was called before, and refuses what comes later', async () => {
    const store = await PackedAdapterStore.open(newFolder());
    const saves = Promise.all([1, 2, 3].map((user) => store.save([record(user, 0)])));
    const closed = store.close();
    await expect(store.save([record(4, 0)])).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await expect(store.load(['user-1'])).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await expect(store.delete(['user-1'])).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await expect(store.compact()).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await expect(store.entries().next()).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await saves;
    await closed;
    await store.close();
  });

  it('refuses options that it does not know', async () => {
    const bad: unknown[] = [null, { segmentBytes: 4095 }, { segmentBytes: 1e5 + 0.5 }, { segments: 1 }, { logger: {} }];
    for (const options of bad) {
      const opening = PackedAdapterStore.open(newFolder(), options as PackedStoreOptions);
      await expect(opening).rejects.toEqual(coded('ERR_INVALID_CONFIG'));
    }
    const store = await PackedAdapterStore.open(newFolder(), { segmentBytes: 2 ** 36, logger: silentLogger });
    await store.close();
  });

  it('refuses a folder that is a file, and links that lead out of it', async () => {
    const file = newFolder();
    writeFileSync(file, '');
    await expect(PackedAdapterStore.open(file)).rejects.toEqual(coded('ERR_FILE_ACCESS'));

    const folder = newFolder();
    const elsewhere = newFolder();
    const outside = await PackedAdapterStore.open(elsewhere);
    await outside.save([record(1, 1)]);
    await outside.close();
    await (await PackedAdapterStore.open(folder)).close();
    symlinkSync(join(elsewhere, '00000001.segment'), join(folder, '00000002.segment'));
    await expect(PackedAdapterStore.open(folder)).rejects.toEqual(coded('ERR_PATH_NOT_ALLOWED'));
    rmSync(join(folder, '00000002.segment'));
    symlinkSync(newFolder(), join(folder, '00000002.segment'));
    await expect(PackedAdapterStore.open(folder)).rejects.toEqual(coded('ERR_PATH_NOT_ALLOWED'));
    rmSync(join(folder, 'lock.db'));
    rmSync(join(folder, '00000002.segment'));
    symlinkSync(newFolder(), join(folder, 'lock.db'));
    await expect(PackedAdapterStore.open(folder)).rejects.toEqual(coded('ERR_PATH_NOT_ALLOWED'));
  });

  it('makes no file of an id', async () => {
    const folder = newFolder();
    const store = await PackedAdapterStore.open(folder);
    for (const id of ['../outside', '/etc/outside', 'a\0b', 'x'.repeat(100_000), '00000009.segment', 'lock.db']) {
      await store.save([{ id, bytes: Uint8Array.of(1) }]);
      expect(await store.load([id])).toEqual([Uint8Array.of(1)]);
    }
    await store.close();
    expect(readdirSync(folder).sort()).toEqual(['00000001.segment', 'lock.db']);
  });
});
