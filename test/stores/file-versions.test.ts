import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { openSqlite } from '../../src/sqlite.js';
import { FileVersionStore } from '../../src/stores/files.js';
import { AdapterVersions, checkStore } from '../../src/versions/index.js';
import { sha256Of } from '../../src/versions/version-store.js';
import { coded } from '../personalization/samples.js';

let top: string;
let folder: string;
let count = 0;
let store: FileVersionStore;

beforeAll(() => {
  top = mkdtempSync(join(tmpdir(), 'lorakeet-file-versions-'));
});
afterAll(() => {
  rmSync(top, { recursive: true });
});
beforeEach(async () => {
  folder = join(top, `${count++}`);
  store = await FileVersionStore.open(folder);
});
afterEach(() => {
  store.close();
});

const bytes = Uint8Array.of(1, 2, 3);
const sha256 = sha256Of(bytes);
const path = () => join(folder, 'blobs', sha256.slice(0, 2), sha256);

describe('FileVersionStore', () => {
  it('leaves nothing incoming', async () => {
    expect(await store.putBlob(bytes)).toBe(sha256);
    expect(readdirSync(join(folder, 'incoming'))).toEqual([]);
    expect(new Uint8Array(readFileSync(path()))).toEqual(bytes);
  });

  it('removes what was left incoming long ago, and nothing younger', async () => {
    const [old, young] = ['old', 'young'].map((name) => join(folder, 'incoming', name));
    for (const file of [old, young]) writeFileSync(file, 'half');
    utimesSync(old, new Date(0), new Date(0));
    (await FileVersionStore.open(folder)).close();
    expect([existsSync(old), existsSync(young)]).toEqual([false, true]);
  });

  it('finds damage, and mends it when the bytes are put again', async () => {
    const versions = new AdapterVersions(store, 'feed');
    await versions.publish({ files: { x: bytes } });
    for (const damage of [() => truncateSync(path(), 1), () => writeFileSync(path(), 'abc'), () => rmSync(path())]) {
      damage();
      await expect(versions.load('v1.0')).rejects.toEqual(coded('ERR_STORE_FAILURE', 'x of feed v1.0'));
      expect((await checkStore(store)).problems).toHaveLength(1);
      await store.putBlob(bytes);
      expect((await versions.load('v1.0')).files.get('x')).toEqual(bytes);
    }
  });

  it('does not list what it has not written', async () => {
    mkdirSync(join(folder, 'blobs', 'ab'));
    mkdirSync(join(folder, 'blobs', 'ab', 'ab'.repeat(32)));
    writeFileSync(join(folder, 'blobs', 'ab', 'notes.txt'), '');
    writeFileSync(join(folder, 'blobs', 'ab', 'cd'.repeat(32)), '');
    await store.putBlob(bytes);
    const found = [];
    for await (const blob of store.listBlobs()) found.push(blob.sha256);
    expect(found).toEqual([sha256]);
  });

  it('follows no link out of its folder', async () => {
    const outside = join(top, 'outside');
    mkdirSync(outside, { recursive: true });
    writeFileSync(join(outside, sha256), bytes);
    symlinkSync(outside, join(folder, 'blobs', sha256.slice(0, 2)));
    const refused = coded('ERR_PATH_NOT_ALLOWED');
    await expect(store.getBlob(sha256)).rejects.toEqual(refused);
    await expect(store.putBlob(bytes)).rejects.toEqual(refused);
    await expect(store.deleteBlob(sha256, new Date(8e15))).rejects.toEqual(refused);
    expect(readdirSync(outside)).toEqual([sha256]);
    for (const name of ['blobs', 'incoming', 'versions.db']) {
      const other = join(top, `linked-${name}`);
      mkdirSync(other);
      symlinkSync(outside, join(other, name));
      await expect(FileVersionStore.open(other)).rejects.toEqual(refused);
    }
    expect(readdirSync(outside)).toEqual([sha256]);
  });

  it('refuses folders that it cannot use', async () => {
    const file = join(top, 'file');
    writeFileSync(file, 'text');
    await expect(FileVersionStore.open(file)).rejects.toEqual(coded('ERR_FILE_ACCESS', file));
    const newer = join(top, 'newer');
    mkdirSync(newer);
    const database = openSqlite(join(newer, 'versions.db'));
    database.exec('PRAGMA user_version = 7');
    database.close();
    await expect(FileVersionStore.open(newer)).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE', 'version 7, expected 1'));
    const broken = join(top, 'broken');
    mkdirSync(broken);
    writeFileSync(
      join(broken, 'versions.db'),
      'this is no database, but long enough to be taken for the header of one, had it been one',
    );
    await expect(FileVersionStore.open(broken)).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE', 'versions.db'));
  });

  it('says so when it has been closed', async () => {
    const closed = await FileVersionStore.open(join(top, 'closed'));
    closed.close();
    await expect(closed.getHead('a')).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
    await expect(closed.putBlob(bytes)).rejects.toEqual(coded('ERR_STORE_UNAVAILABLE'));
  });
});
