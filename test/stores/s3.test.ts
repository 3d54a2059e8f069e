/** The S3 stores against Ceph's gateway, where it is installed. */
import { type AddressInfo, connect as connectTo, createServer, type Socket } from 'node:net';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { S3AdapterStore } from '../../src/stores/s3-adapters.js';
import { S3Objects } from '../../src/stores/s3-objects.js';
import { adapterStoreConformance } from '../../src/testing/store-conformance.js';
import { rejection } from '../adapter/formats/helpers.js';
import { type CephGateway, cephIsMissing, startCephGateway } from '../support/ceph.js';
import { covered, isRequired, skipped } from '../support/coverage-report.js';

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
    const many = cases.filter(({ name }) => /thousands|hundreds/.test(name));
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

    it('knows its own write when the answer was lost', async () => {
      const proxy = await startLosingProxy(gateway.port, 'PUT');
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

  describe('what cannot be opened is told', () => {
    it('wrong keys, no such bucket, nobody there', async () => {
      const wrong = { ...gateway.client, credentials: { accessKeyId: 'lorakeet-test', secretAccessKey: 'wrong' } };
      expect(await rejection(() => S3Objects.open({ bucket, client: wrong }))).toBe('ERR_STORE_UNAVAILABLE');
      const client = { ...gateway.client, maxAttempts: 1 };
      expect(await rejection(() => S3Objects.open({ bucket: 'nobody', client }))).toBe('ERR_STORE_UNAVAILABLE');
      const closed = { ...client, endpoint: 'http://127.0.0.1:1' };
      expect(await rejection(() => S3Objects.open({ bucket, client: closed }))).toBe('ERR_STORE_UNAVAILABLE');
    });

    it('an own client stays open', async () => {
      const objects = await S3Objects.open({ bucket, prefix: newPrefix(), client: raw });
      await objects.put('a', bytes('x'));
      objects.close();
      await raw.send(new PutObjectCommand({ Bucket: bucket, Key: 'still-open', Body: 'x' }));
    });
  });
});

it('wrong options are told', async () => {
  for (const options of [{ bucket: '' }, { bucket: 7 }, { bucket: 'b', prefix: 7 }, { bucket: 'b', region: 'x' }]) {
    expect(await rejection(() => S3Objects.open(options as never))).toBe('ERR_INVALID_CONFIG');
  }
});

/** Passes everything on, and drops the connection when the answer to the next request of this method arrives. */
async function startLosingProxy(port: number, method: string) {
  let losing = true;
  let lost = 0;
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connectTo(port, '127.0.0.1');
    let drop = false;
    client.on('data', (data) => {
      if (losing && data.toString('latin1').startsWith(method)) {
        losing = false;
        drop = true;
      }
      upstream.write(data);
    });
    upstream.on('data', (data) => {
      if (drop && !data.toString('latin1').startsWith('HTTP/1.1 100')) {
        lost++;
        client.destroy();
      } else {
        client.write(data);
      }
    });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ]) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => other.destroy());
    }
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    lost: () => lost,
    loseNext: () => {
      losing = true;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
