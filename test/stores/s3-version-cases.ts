/** What s3.test.ts asks of S3VersionStore, on the server that it has started. */
import {
  CreateBucketCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  PutBucketVersioningCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { S3VersionStore } from '../../src/stores/s3.js';
import { versionStoreConformance } from '../../src/testing/version-store-conformance.js';
import { AdapterVersions, checkStore, collectGarbage } from '../../src/versions/index.js';
import { sha256Of } from '../../src/versions/version-store.js';
import { coded } from '../personalization/samples.js';
import type { CephGateway } from '../support/ceph.js';
import { isRequired } from '../support/coverage-report.js';
import { startLosingProxy } from '../support/losing-proxy.js';
import { KILLS_TIMEOUT_MS, playKills } from './version-kills.js';

export interface S3TestServer {
  gateway: CephGateway;
  bucket: string;
  /** A client of the SDK. */
  raw: S3Client;
  newPrefix(): string;
}

const reason = 'because';
const LATER = new Date(Date.UTC(2200, 0));
const AT_ONCE = { olderThanMs: 0, now: () => LATER };
const bytesOf = (text: string) => Uint8Array.from(Buffer.from(text));

export function defineVersionTests(server: () => S3TestServer): void {
  describe('S3VersionStore', () => {
    const prefixOf = new WeakMap<object, string>();
    const openStore = async (prefix = server().newPrefix()) => {
      const { bucket, gateway } = server();
      const store = await S3VersionStore.open({ bucket, prefix, client: gateway.client });
      prefixOf.set(store, prefix);
      return store;
    };
    const cases = versionStoreConformance({
      open: () => openStore(),
      reopen: (store) => openStore(prefixOf.get(store)),
      close: (store) => (store as S3VersionStore).close(),
    });
    const many = cases.filter(({ name }) => /hundreds|twenty versions/.test(name));
    it.each(cases.filter((one) => !many.includes(one)))('$name', ({ run }) => run(), 60_000);
    it.skipIf(!isRequired('s3')).each(many)('$name', ({ run }) => run(), 600_000);
    it('has two cases of very many requests', () => expect(many).toHaveLength(2));
  });

  describe('versions in a bucket', () => {
    let prefix: string;
    let store: S3VersionStore;
    const at = (key: string) => ({ Bucket: server().bucket, Key: prefix + key });
    const put = (key: string, text: string) => server().raw.send(new PutObjectCommand({ ...at(key), Body: text }));

    beforeEach(async () => {
      prefix = server().newPrefix();
      store = await S3VersionStore.open({ bucket: server().bucket, prefix, client: server().gateway.client });
    });
    afterEach(() => store.close());

    it('are the objects that the documents name', async () => {
      const sha256 = await store.putBlob(bytesOf('content'));
      await store.setHead('team/feed', bytesOf('head'), undefined);
      const { Contents } = await server().raw.send(
        new ListObjectsV2Command({ Bucket: server().bucket, Prefix: prefix }),
      );
      expect(Contents?.map(({ Key }) => Key)).toEqual([`${prefix}blobs/${sha256}`, `${prefix}heads/team:feed`]);
      const textOf = async (key: string) =>
        (await server().raw.send(new GetObjectCommand(at(key)))).Body?.transformToString();
      expect(await textOf(`blobs/${sha256}`)).toBe('content');
      expect(await textOf('heads/team:feed')).toMatch(/^[0-9a-f-]{36}\nhead$/);
    });

    it('are not what others have put there', async () => {
      for (const key of ['blobs/', 'blobs/notes.txt', 'heads/', 'heads/a/b', 'heads/..', 'heads/a.', 'other']) {
        await put(key, 'x');
      }
      const report = { adapters: 0, versions: 0, changes: 0, blobs: 0, unreferenced: 0, sizeBytes: 0, problems: [] };
      expect(await checkStore(store)).toEqual(report);
    });

    it('live from publishing to removal', async () => {
      const feed = new AdapterVersions(store, 'team/feed', { actor: 'trainer' });
      for (const text of ['zero', 'one', 'two', 'three']) {
        const parents = text === 'zero' ? [] : ['v1.0'];
        const { version } = await feed.publish({
          files: { 'adapter.bin': bytesOf(text), same: bytesOf('s') },
          parents,
        });
        if (text !== 'three') await feed.approve(version);
      }
      await expect(feed.activate('v1.3')).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED'));
      await feed.activate('v1.0');
      await feed.promote('v1.0');
      await feed.activate('v1.1', { expect: 'v1.0' });
      await feed.setAlias('candidate', 'v1.2');
      await expect(feed.activate('v1.2', { expect: 'v1.0' })).rejects.toEqual(coded('ERR_VERSION_CONFLICT'));
      expect(await feed.rollback({ reason })).toMatchObject({ from: 'v1.1', to: 'v1.0' });

      // another process, later
      const again = await S3VersionStore.open({ bucket: server().bucket, prefix, client: server().gateway.client });
      const seen = new AdapterVersions(again, 'team/feed');
      const { aliases, versions } = await seen.state();
      expect(aliases).toEqual({ active: 'v1.0', 'known-good': 'v1.0', candidate: 'v1.2' });
      expect(versions.filter(({ quarantined }) => quarantined).map(({ version }) => version)).toEqual(['v1.1']);
      await expect(seen.activate('v1.1', { override: true, reason })).rejects.toEqual(coded('ERR_VERSION_QUARANTINED'));
      expect((await seen.load('active')).files.get('adapter.bin')).toEqual(bytesOf('zero'));
      expect((await seen.history()).length).toBe(12);

      const before = await checkStore(store);
      expect(before).toMatchObject({ adapters: 1, versions: 4, changes: 12, unreferenced: 0, problems: [] });
      expect(await feed.retain({ keepLatest: 0 })).toEqual(['v1.1', 'v1.3']);
      expect(await collectGarbage(store)).toBe(0);
      // two manifests, two files of their own; the third is that of all
      expect(await collectGarbage(store, AT_ONCE)).toBe(4);
      expect(await checkStore(again)).toMatchObject({
        versions: 2,
        changes: 13,
        blobs: before.blobs - 3,
        problems: [],
      });
      await expect(seen.load('v1.1')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
      expect((await feed.publish({ files: { x: bytesOf('five') } })).version).toBe('v1.4');
      again.close();
    });

    it('change once, also when the answer is lost and somebody else comes before it is asked for again', async () => {
      const { gateway, bucket } = server();
      const proxy = await startLosingProxy(gateway.port, /^PUT \S+\/heads\//);
      const client = { ...gateway.client, endpoint: `http://127.0.0.1:${proxy.port}` };
      const losing = await S3VersionStore.open({ bucket, prefix, client });
      const [feed, other] = [losing, store].map((one) => new AdapterVersions(one, 'feed'));
      proxy.loseNext(async () => void (await other.setAlias('candidate', 'v1.0')));
      expect((await feed.publish({ files: { x: bytesOf('0') } })).version).toBe('v1.0');
      for (const version of ['v1.1', 'v1.2'])
        expect((await other.publish({ files: { x: bytesOf(version) } })).version).toBe(version);
      for (const version of ['v1.0', 'v1.1', 'v1.2']) await other.activate(version, { override: true, reason });
      for (const version of ['v1.0', 'v1.1']) await other.approve(version);
      // two more changes come in between
      proxy.loseNext(async () => {
        await other.setAlias('candidate', 'v1.1');
        await other.setAlias('candidate', null);
      });
      expect(await feed.rollback({ reason })).toMatchObject({ from: 'v1.2', to: 'v1.1' });
      expect(proxy.lost()).toBe(2);
      expect((await feed.state()).aliases).toEqual({ active: 'v1.1' });
      const operations = (await feed.history()).map(({ operation }) => operation);
      expect(operations.filter((one) => one === 'publish' || one === 'rollback')).toHaveLength(4);
      losing.close();
      proxy.close();
    });

    it('tell damage, name it, and are mended when the bytes are put again', async () => {
      const feed = new AdapterVersions(store, 'feed');
      await new AdapterVersions(store, 'other').publish({ files: { y: bytesOf('other') } });
      await feed.publish({ files: { x: bytesOf('content') } });
      const key = `blobs/${sha256Of(bytesOf('content'))}`;
      for (const damage of [
        () => put(key, 'contents'),
        () => put(key, ''),
        () => server().raw.send(new DeleteObjectCommand(at(key))),
      ]) {
        await damage();
        await expect(feed.load('v1.0')).rejects.toEqual(coded('ERR_STORE_FAILURE', 'x of feed v1.0'));
        const { problems } = await checkStore(store);
        expect(problems).toEqual([expect.stringContaining('x of feed v1.0')]);
        await store.putBlob(bytesOf('content'));
        expect((await feed.load('v1.0')).files.get('x')).toEqual(bytesOf('content'));
      }
      // copied back by other tools, without what lorakeet writes with an object
      await put(key, 'content');
      expect((await checkStore(store)).problems).toEqual([]);
      await put('heads/feed', 'no head');
      expect((await checkStore(store)).problems).toEqual([expect.stringContaining('heads/feed')]);
      await expect(collectGarbage(store, AT_ONCE)).rejects.toEqual(coded('ERR_STORE_FAILURE', 'heads/feed'));
      expect((await new AdapterVersions(store, 'other').load('v1.0')).files.get('y')).toEqual(bytesOf('other'));
    });

    it.skipIf(!isRequired('s3'))(
      'stay intact when processes are killed',
      async () => {
        const { gateway, bucket } = server();
        await playKills({
          kind: 's3',
          locationOf: (era) => JSON.stringify({ bucket, prefix: `${prefix}${era}/`, client: gateway.client }),
          open: (location) => S3VersionStore.open(JSON.parse(location)),
          kills: 6,
          withinMs: 500,
        });
      },
      KILLS_TIMEOUT_MS,
    );

    it('refuse names for which S3 has no key', async () => {
      // 1023 bytes, as a folder takes them
      const name = Array.from({ length: 4 }, () => 'x'.repeat(255)).join('/');
      const refused = coded('ERR_PATH_NOT_ALLOWED', 'at most 1024 bytes');
      await expect(store.setHead(name, bytesOf('head'), undefined)).rejects.toEqual(refused);
    });

    it.each([
      ['with versioning: what is put while it is deleted stays', true],
      ['without versioning: what is put between the two requests is lost, as documented', false],
    ])('%s', async (_, versioning) => {
      const { raw, gateway } = server();
      const bucket = `versioned-${versioning}`;
      await raw.send(new CreateBucketCommand({ Bucket: bucket }));
      if (versioning) {
        const VersioningConfiguration = { Status: 'Enabled' as const };
        await raw.send(new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration }));
      }
      const client = new S3Client({ ...gateway.client, forcePathStyle: true });
      let beforeDelete = async () => {};
      client.middlewareStack.add((next, { commandName }) => async (args) => {
        if (commandName === 'DeleteObjectCommand') await beforeDelete();
        return next(args);
      });
      const deleting = await S3VersionStore.open({ bucket, client });
      const putting = await S3VersionStore.open({ bucket, client: gateway.client });
      const sha256 = await putting.putBlob(bytesOf('content'));
      await putting.putBlob(bytesOf('content'));
      // a moment at which that was old enough, and the second after it
      const [{ putAt }] = await blobsOf(putting);
      const since = new Date(Math.floor(putAt.getTime() / 1000) * 1000 + 1000);
      beforeDelete = async () => {
        beforeDelete = async () => {};
        while (Date.now() < since.getTime()) await new Promise((resolve) => setTimeout(resolve, 20));
        await putting.putBlob(bytesOf('content'));
      };
      expect(await deleting.deleteBlob(sha256, since)).toBe(!versioning);
      expect(await putting.getBlob(sha256)).toEqual(versioning ? bytesOf('content') : undefined);
      // and where nobody puts anything, nothing is left
      expect(await deleting.deleteBlob(sha256, LATER)).toBe(versioning);
      expect(await putting.getBlob(sha256)).toBeUndefined();
      putting.close();
      client.destroy();
    });
  });
}

async function blobsOf(store: S3VersionStore) {
  const blobs = [];
  for await (const blob of store.listBlobs()) blobs.push(blob);
  return blobs;
}
