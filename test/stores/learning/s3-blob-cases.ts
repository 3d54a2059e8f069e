/** What s3.test.ts asks of S3BlobStorage, on the server that it has started. */
import { CopyObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { describe, expect, it } from 'vitest';
import { InMemoryAdapterStorage } from '../../../src/learning/index.js';
import { success } from '../../../src/learning/result.js';
import { S3BlobStorage } from '../../../src/stores/learning/s3.js';
import { adapterBlobConformance } from '../../../src/testing/index.js';
import { idOf } from '../../../src/testing/learning-samples.js';
import { rejection } from '../../adapter/formats/helpers.js';
import { liveThroughAll } from '../../learning/engine-on-storages.js';
import { startLosingProxy } from '../../support/losing-proxy.js';
import type { S3TestServer } from '../s3-version-cases.js';

export function defineBlobTests(server: () => S3TestServer): void {
  describe('S3BlobStorage', () => {
    const prefixOf = new WeakMap<object, string>();
    const open = async (prefix = server().newPrefix()) => {
      const { bucket, gateway } = server();
      const storage = await S3BlobStorage.open({ bucket, prefix, client: gateway.client });
      prefixOf.set(storage, prefix);
      return storage;
    };
    const keysOf = async (storage: object) => {
      const { bucket, raw } = server();
      const listed = await raw.send(new ListObjectsV2Command({ Bucket: bucket, Prefix: prefixOf.get(storage) }));
      return (listed.Contents ?? []).map(({ Key }) => Key?.slice((prefixOf.get(storage) as string).length));
    };

    const cases = adapterBlobConformance({
      open: () => open(),
      reopen: (storage) => open(prefixOf.get(storage)),
      damage: async (storage, path) => {
        const { bucket, raw } = server();
        await raw.send(new PutObjectCommand({ Bucket: bucket, Key: `${prefixOf.get(storage)}${path}`, Body: 'x' }));
      },
      unreachable: async () => {
        const { bucket, gateway } = server();
        const client = new S3Client({ ...gateway.client, maxAttempts: 1, forcePathStyle: true });
        const storage = await S3BlobStorage.open({ bucket, client });
        client.config.endpoint = async () => ({ protocol: 'http:', hostname: '127.0.0.1', port: 1, path: '/' });
        return storage;
      },
      close: (storage) => (storage as S3BlobStorage).close(),
    });
    it.each(cases)('$name', ({ run }) => run());

    it('tells weights that lie under another name', async () => {
      const { bucket, raw } = server();
      const storage = await open();
      const paths = [1, 2].map((n) => storage.storeWeights(idOf(1), Uint8Array.of(n)));
      const [one, other] = (await Promise.all(paths)).map(({ value }) => value);
      const prefix = prefixOf.get(storage);
      const copy = { Bucket: bucket, Key: `${prefix}${one}`, CopySource: `${bucket}/${prefix}${other}` };
      await raw.send(new CopyObjectCommand(copy));
      expect((await storage.getWeights(one)).error).toContain('has not the bytes that were stored');
      storage.close();
    });

    it('stores once where an answer is lost, and leaves nothing where it is cancelled', async () => {
      const { bucket, gateway } = server();
      const proxy = await startLosingProxy(gateway.port, /^PUT/);
      const prefix = server().newPrefix();
      const client = { ...gateway.client, endpoint: `http://127.0.0.1:${proxy.port}` };
      const storage = await S3BlobStorage.open({ bucket, prefix, client });
      prefixOf.set(storage, prefix);
      const path = (await storage.storeWeights(idOf(1), Uint8Array.of(1))).value;
      expect(proxy.lost()).toBe(1);
      expect(await keysOf(storage)).toEqual([path]);
      const controller = new AbortController();
      const cancelled = storage.storeWeights(idOf(1), Uint8Array.of(2), { signal: controller.signal });
      controller.abort();
      expect((await cancelled).error).toBe('Operation cancelled');
      expect(await keysOf(storage)).toEqual([path]);
      expect(await storage.deleteWeights(path)).toEqual(success(undefined));
      expect(await keysOf(storage)).toEqual([]);
      storage.close();
      proxy.close();
    });

    it('refuses what it cannot open', async () => {
      const { bucket, gateway } = server();
      const wrong = (options: object) => rejection(() => S3BlobStorage.open({ bucket, ...options }));
      expect(await wrong({ bucket: '' })).toBe('ERR_INVALID_CONFIG');
      expect(await wrong({ prefix: '../x/', client: gateway.client })).toBe('ERR_PATH_NOT_ALLOWED');
      expect(await wrong({ bucket: 'nothing', client: gateway.client })).toBe('ERR_STORE_UNAVAILABLE');
    });

    it('lets the engine live', async () => {
      const storage = await open();
      await liveThroughAll(new InMemoryAdapterStorage(), storage);
      expect(await keysOf(storage)).toEqual([]);
      storage.close();
    });
  });
}
