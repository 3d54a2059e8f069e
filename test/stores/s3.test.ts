/** The S3 stores against Ceph's gateway, where it is installed. */
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { S3AdapterStore } from '../../src/stores/s3-adapters.js';
import { S3Objects } from '../../src/stores/s3-objects.js';
import { adapterStoreConformance } from '../../src/testing/store-conformance.js';
import { rejection } from '../adapter/formats/helpers.js';
import { type CephGateway, cephIsMissing, startCephGateway } from '../support/ceph.js';
import { covered, isRequired, skipped } from '../support/coverage-report.js';
import { startLosingProxy } from '../support/losing-proxy.js';
import { defineBlobTests } from './learning/s3-blob-cases.js';
import { defineVersionTests } from './s3-version-cases.js';

const missing = cephIsMissing();
const bytes = (text: string) => Uint8Array.from(Buffer.from(text));
const textOf = (object: { bytes: Uint8Array } | undefined) => object && Buffer.from(object.bytes).toString();

if (missing) {
  skipped('server', 's3', missing);
  it.skipIf(!isRequired('s3'))('LORAKEET_REQUIRE lists s3', () => expect.fail(missing));
}

describe.skipIf(missing)(`against a Ceph gateway${missing ? ` (skipped: ${missing})` : ''}`, () => {
  const bucket = 'adapters';
  let gateway: CephGateway;
  let raw: S3Client;
  let prefixes = 0;
  const newPrefix = () => `test-${prefixes++}/`;
  const open = (prefix = newPrefix()) => S3Objects.open({ bucket, prefix, client: gateway.client });

  beforeAll(async () => {
    gateway = await startCephGateway();
    raw = new S3Client({ ...gateway.client, forcePathStyle: true, requestChecksumCalculation: 'WHEN_REQUIRED' });
    await raw.send(new CreateBucketCommand({ Bucket: bucket }));
  }, 120_000);
  afterAll(() => {
    covered('server', 's3');
    raw?.destroy();
    gateway?.stop();
  });

  describe('S3AdapterStore', () => {
    const prefixOf = new WeakMap<object, string>();
    const openStore = async (prefix = newPrefix()) => {
      const store = await S3AdapterStore.open({ bucket, prefix, client: gateway.client });
      prefixOf.set(store, prefix);
      return store;
    };
    const cases = adapterStoreConformance({
      open: () => openStore(),
      reopen: (store) => openStore(prefixOf.get(store)),
      close: (store) => (store as S3AdapterStore).close(),
    });
    // thousands of requests, a minute for a small gateway on a busy machine: only where S3 is required, as in CI
    const many = cases.filter(({ name }) => /thousand|hundreds/.test(name));
    it.each(cases.filter((one) => !many.includes(one)))('$name', ({ run }) => run());
    it.skipIf(!isRequired('s3')).each(many)('$name', ({ run }) => run(), 600_000);
    it('has two such cases', () => expect(many).toHaveLength(2));
  });

  describe('S3Objects', () => {
    it('creates once, and replaces what it has seen', async () => {
      const objects = await open();
      expect(await objects.get('manifest')).toBeUndefined();
      const first = await objects.create('manifest', bytes('one'));
      expect(first).toBeDefined();
      expect(await objects.create('manifest', bytes('two'))).toBeUndefined();
      expect(textOf(await objects.get('manifest'))).toBe('one');
      const second = await objects.replace('manifest', bytes('three'), first as string);
      expect(second).not.toBe(first);
      expect(await objects.replace('manifest', bytes('four'), first as string)).toBeUndefined();
      expect(await objects.get('manifest')).toEqual({ bytes: bytes('three'), etag: second });
      await objects.delete('manifest');
      await objects.delete('manifest');
      expect(await objects.replace('manifest', bytes('five'), second as string)).toBeUndefined();
      expect(await objects.get('manifest')).toBeUndefined();
      objects.close();
    });

    it.each(['create', 'replace'] as const)('%s: of 20 writers at once exactly one wins', async (how) => {
      const prefix = newPrefix();
      const writers = await Promise.all(Array.from({ length: 20 }, () => open(prefix)));
      for (let round = 0; round < 5; round++) {
        const key = `race-${round}`;
        const etag = how === 'replace' ? await writers[0].put(key, bytes('before')) : '';
        const results = await Promise.all(
          writers.map((writer, i) =>
            how === 'create' ? writer.create(key, bytes(`w${i}`)) : writer.replace(key, bytes(`w${i}`), etag),
          ),
        );
        const winners = results.flatMap((result, i) => (result === undefined ? [] : [i]));
        expect(winners).toHaveLength(1);
        expect(await writers[0].get(key)).toEqual({ bytes: bytes(`w${winners[0]}`), etag: results[winners[0]] });
      }
      for (const writer of writers) writer.close();
    });

    it('tells an object that is not what was written', async () => {
      const prefix = newPrefix();
      const objects = await open(prefix);
      for (const [key, Metadata] of Object.entries<Record<string, string>>({
        changed: { sha256: 'ab'.repeat(32) },
        foreign: {},
      })) {
        await raw.send(new PutObjectCommand({ Bucket: bucket, Key: prefix + key, Body: 'x', Metadata }));
        expect(await rejection(() => objects.get(key))).toBe('ERR_STORE_FAILURE');
      }
      objects.close();
    });

    it('lists by page what begins with a text, under the names that were given', async () => {
      const objects = await open();
      const names = ['a', 'a b', 'a+b', 'a%20b', 'a/b', 'a/b/c', "a'b", 'a&<b>', 'aé', 'ae\u0301', 'a\ufffe', 'a😀'];
      for (const [i, name] of [...names, 'b'].entries()) await objects.put(name, new Uint8Array(i));
      for (const pageSize of [1, 5, 12, 1000]) {
        const found = new Map<string, number>();
        for await (const { key, sizeBytes, modifiedAt } of objects.list('a', pageSize)) {
          expect(found.has(key)).toBe(false);
          found.set(key, sizeBytes);
          expect(Math.abs(modifiedAt.getTime() - Date.now())).toBeLessThan(60_000);
        }
        expect(found).toEqual(new Map(names.toSorted().map((name) => [name, names.indexOf(name)])));
      }
      objects.close();
    });

    it('refuses keys that lead elsewhere', async () => {
      const objects = await open();
      const long = 'x'.repeat(1025);
      for (const key of [
        '',
        '..',
        '../a',
        'a/..',
        'a/../b',
        './a',
        '/a',
        'a/',
        'a//b',
        'a\\b',
        'a\0',
        'a\n',
        '\ud800',
        long,
      ]) {
        for (const call of [
          () => objects.get(key),
          () => objects.put(key, bytes('x')),
          () => objects.create(key, bytes('x')),
          () => objects.replace(key, bytes('x'), '"etag"'),
          () => objects.delete(key),
          () => objects.deleteUnlessSince(key, new Date()),
        ]) {
          expect(await rejection(call), JSON.stringify(key)).toBe('ERR_PATH_NOT_ALLOWED');
        }
      }
      for await (const { key } of objects.list('')) expect.fail(key);
      objects.close();
    });

    it('takes a star for no etag', async () => {
      const objects = await open();
      const etag = await objects.put('a', bytes('x'));
      for (const other of ['*', '"*"', '', `"other", ${etag}`, `${etag}\n`]) {
        expect(await objects.replace('a', bytes('y'), other), other).toBeUndefined();
      }
      expect(textOf(await objects.get('a'))).toBe('x');
      objects.close();
    });

    it('knows its own write when the answer was lost', async () => {
      const proxy = await startLosingProxy(gateway.port, /^PUT/);
      const client = { ...gateway.client, endpoint: `http://127.0.0.1:${proxy.port}` };
      const objects = await S3Objects.open({ bucket, prefix: newPrefix(), client });
      const before = await objects.put('manifest', bytes('zero'));
      expect(proxy.lost()).toBe(1);
      proxy.loseNext();
      const etag = await objects.replace('manifest', bytes('one'), before);
      expect(proxy.lost()).toBe(2);
      expect(await objects.get('manifest')).toEqual({ bytes: bytes('one'), etag });
      proxy.loseNext();
      expect(await objects.create('other', bytes('mine'))).toBe((await objects.get('other'))?.etag);
      proxy.loseNext();
      expect(await objects.create('other', bytes('again'))).toBeUndefined();
      expect(proxy.lost()).toBe(4);
      objects.close();
      proxy.close();
    });
  });

  defineVersionTests(() => ({ gateway, bucket, raw, newPrefix }));
  defineBlobTests(() => ({ gateway, bucket, raw, newPrefix }));

  describe('what cannot be opened is told', () => {
    it('wrong keys, no such bucket, nobody there', async () => {
      const wrong = { ...gateway.client, credentials: { accessKeyId: 'lorakeet-test', secretAccessKey: 'wrong' } };
      expect(await rejection(() => S3Objects.open({ bucket, client: wrong }))).toBe('ERR_STORE_UNAVAILABLE');
      const client = { ...gateway.client, maxAttempts: 1 };
      expect(await rejection(() => S3Objects.open({ bucket: 'nobody', client }))).toBe('ERR_STORE_UNAVAILABLE');
      const closed = { ...client, endpoint: 'http://127.0.0.1:1' };
      expect(await rejection(() => S3Objects.open({ bucket, client: closed }))).toBe('ERR_STORE_UNAVAILABLE');
    });

    it('what is in the environment is taken', async () => {
      const { accessKeyId, secretAccessKey } = gateway.client.credentials;
      vi.stubEnv('AWS_ENDPOINT_URL_S3', gateway.client.endpoint);
      vi.stubEnv('AWS_REGION', 'us-east-1');
      vi.stubEnv('AWS_ACCESS_KEY_ID', accessKeyId);
      vi.stubEnv('AWS_SECRET_ACCESS_KEY', secretAccessKey);
      try {
        const objects = await S3Objects.open({ bucket, prefix: newPrefix() });
        await objects.put('a', bytes('x'));
        objects.close();
      } finally {
        vi.unstubAllEnvs();
      }
    });

    it('an own client stays open', async () => {
      const objects = await S3Objects.open({ bucket, prefix: newPrefix(), client: raw });
      await objects.put('a', bytes('x'));
      objects.close();
      await raw.send(new PutObjectCommand({ Bucket: bucket, Key: 'still-open', Body: 'x' }));
    });
  });
});

it('prefixes that lead elsewhere are refused', async () => {
  for (const prefix of ['/', '../', 'a/../b/', 'a//', '/a', 'a\0']) {
    expect(await rejection(() => S3Objects.open({ bucket: 'b', prefix, client: { region: 'us-east-1' } }))).toBe(
      'ERR_PATH_NOT_ALLOWED',
    );
  }
});

it('wrong options are told', async () => {
  for (const options of [{ bucket: '' }, { bucket: 7 }, { bucket: 'b', prefix: 7 }, { bucket: 'b', region: 'x' }]) {
    expect(await rejection(() => S3Objects.open(options as never))).toBe('ERR_INVALID_CONFIG');
  }
});
