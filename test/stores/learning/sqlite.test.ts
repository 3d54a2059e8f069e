import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileSystemBlobStorage, InMemoryAdapterStorage, InMemoryBlobStorage } from '../../../src/learning/index.js';
import { openSqlite } from '../../../src/sqlite.js';
import { SqliteAdapterStorage } from '../../../src/stores/learning/sqlite.js';
import { SqliteAdapterStore } from '../../../src/stores/sqlite.js';
import { adapterStorageConformance } from '../../../src/testing/index.js';
import { codeOf } from '../../adapter/helpers.js';
import { liveThroughAll } from '../../learning/engine-on-storages.js';

let folder: string;
let files = 0;
const newFile = () => join(folder, `storage-${files++}.db`);
const fileOf = new WeakMap<object, string>();
const open = (file = newFile()) => {
  const storage = new SqliteAdapterStorage(file);
  fileOf.set(storage, file);
  return storage;
};
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-sqlite-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

describe('SqliteAdapterStorage', () => {
  const closed = new WeakSet<object>();
  const cases = adapterStorageConformance({
    open: async () => open(),
    reopen: async (storage) => open(fileOf.get(storage)),
    damage: async (storage, id, text) => {
      const database = openSqlite(fileOf.get(storage) as string);
      database.prepare('UPDATE adapter_metadata SET metadata = ? WHERE id = ?').run(text, id);
      database.close();
    },
    unreachable: async () => {
      const storage = open();
      storage.close();
      closed.add(storage);
      return storage;
    },
    close: (storage) => {
      if (!closed.has(storage)) (storage as SqliteAdapterStorage).close();
    },
  });
  it.each(cases)('$name', ({ run }) => run());

  it('refuses files that are something else', () => {
    const [text, store] = [newFile(), newFile()];
    writeFileSync(text, 'no database, but longer than the header of one'.repeat(100));
    new SqliteAdapterStore(store).close();
    for (const file of [text, store, folder, join(folder, 'no', 'folder.db')]) {
      expect(codeOf(() => new SqliteAdapterStorage(file))).toBe('ERR_STORE_UNAVAILABLE');
    }
  });
});

describe('the engine lives', () => {
  it('in memory', async () => {
    const [metadata, blobs] = [new InMemoryAdapterStorage(), new InMemoryBlobStorage()];
    await liveThroughAll(metadata, blobs);
    expect([metadata.count, blobs.count]).toEqual([0, 0]);
  });

  it('in SQLite and a folder', async () => {
    const [metadata, blobs] = [open(), join(folder, 'blobs')];
    await liveThroughAll(metadata, new FileSystemBlobStorage(blobs));
    expect(readdirSync(blobs)).toEqual([]);
    metadata.close();
  });
});
