import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openSqlite } from '../../src/sqlite.js';
import { SqliteAdapterStore } from '../../src/stores/sqlite-adapters.js';
import { adapterCollectionConformance } from '../../src/testing/collection-conformance.js';
import { coded } from '../personalization/samples.js';

let folder: string;
let files = 0;
const newFile = () => join(folder, `store-${files++}.db`);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-sqlite-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('SqliteAdapterStore', () => {
  const paths = new WeakMap<object, string>();
  const open = (path: string) => {
    const store = new SqliteAdapterStore(path);
    paths.set(store, path);
    return store;
  };
  const cases = adapterCollectionConformance({
    open: async () => open(newFile()),
    reopen: async (store) => {
      const path = paths.get(store) as string;
      return open(path);
    },
    close: (store) => store.close(),
  });
  it.each(cases)('$name', ({ run }) => run());

  it('is shared by several connections', async () => {
    const path = newFile();
    const [one, other] = [new SqliteAdapterStore(path), new SqliteAdapterStore(path)];
    const bytes = Uint8Array.of(1, 2, 3);
    await Promise.all([one.save([{ id: 'a', bytes }]), other.save([{ id: 'b', bytes }])]);
    expect(await other.load(['a', 'b'])).toEqual([bytes, bytes]);
    await one.delete(['b']);
    expect(await other.load(['a', 'b'])).toEqual([bytes, undefined]);
    one.close();
    other.close();
  });

  it('saves all of a call or nothing', async () => {
    const path = newFile();
    const store = new SqliteAdapterStore(path);
    const database = openSqlite(path);
    database.exec(`
      CREATE TRIGGER refuse BEFORE INSERT ON adapters WHEN NEW.id = CAST('bad' AS BLOB)
      BEGIN SELECT RAISE(ABORT, 'refused'); END;
    `);
    const bytes = Uint8Array.of(1);
    const records = ['good', 'bad'].map((id) => ({ id, bytes }));
    await expect(store.save(records)).rejects.toThrow('refused');
    expect(await store.load(['good', 'bad'])).toEqual([undefined, undefined]);
    await store.save(records.slice(0, 1));
    expect(await store.load(['good'])).toEqual([bytes]);
    database.close();
    store.close();
  });

  it('refuses files that it cannot use', async () => {
    expect(() => new SqliteAdapterStore(join(folder, 'no', 'such.db'))).toThrow(
      coded('ERR_STORE_UNAVAILABLE', 'such.db'),
    );
    const text = newFile();
    writeFileSync(text, 'this is no database, but long enough to be taken for the header of one, had it been one');
    expect(() => new SqliteAdapterStore(text)).toThrow(coded('ERR_STORE_UNAVAILABLE', text));
    const newer = newFile();
    const database = openSqlite(newer);
    database.exec('PRAGMA user_version = 7');
    database.close();
    expect(() => new SqliteAdapterStore(newer)).toThrow(coded('ERR_STORE_UNAVAILABLE', 'version 7, expected 1'));
  });
});
