/**
 * The stores that are measured: two that are always there, and servers if asked for. Where those are, and the keys to them, is
 * in the environment (PGHOST, …; AWS_ENDPOINT_URL_S3, …), so that no record has them.
 */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { FileVersionStore } from '#lorakeet/stores/files.js';
import { MemoryVersionStore } from '#lorakeet/stores/memory.js';
import { PostgresVersionStore } from '#lorakeet/stores/postgres.js';
import { S3Objects, S3VersionStore } from '#lorakeet/stores/s3.js';
import type { VersionStore } from '#lorakeet/versions/version-store.js';

export interface Servers {
  /** The bucket. */
  s3?: string;
  postgres?: boolean;
}

export interface OpenStore {
  name: string;
  store: VersionStore;
  /** One write and one read of the server, without versions. */
  plain?: {
    write(index: number, bytes: Uint8Array): Promise<void>;
    read(index: number): Promise<Uint8Array | undefined>;
  };
  /** Leaves nothing behind. */
  close(): Promise<void>;
}

/** Each opens an empty store; `folder` is there for those that need one. */
export function storesOf(servers: Servers): ((folder: string) => Promise<OpenStore>)[] {
  const { s3, postgres } = servers;
  return [
    openFolder,
    ...(postgres ? [openPostgres] : []),
    ...(s3 === undefined ? [] : [() => openS3(s3)]),
    async () => ({ name: 'memory', store: new MemoryVersionStore(), close: async () => {} }),
  ];
}

async function openFolder(folder: string): Promise<OpenStore> {
  const store = await FileVersionStore.open(join(folder, 'store'));
  return { name: 'folder', store, close: async () => store.close() };
}

async function openPostgres(): Promise<OpenStore> {
  const schema = `lorakeet_bench_${randomUUID().replaceAll('-', '')}`;
  const store = await PostgresVersionStore.open({ schema });
  const close = async () => {
    await store.close();
    const { default: pg } = await import('pg');
    const client = new pg.Client();
    await client.connect();
    await client.query(`DROP SCHEMA "${schema}" CASCADE`);
    await client.end();
  };
  return { name: 'postgres', store, close };
}

async function openS3(bucket: string): Promise<OpenStore> {
  const options = { bucket, prefix: `lorakeet-bench-${randomUUID()}/` };
  const [store, objects] = [await S3VersionStore.open(options), await S3Objects.open(options)];
  const plain = {
    write: async (index: number, bytes: Uint8Array) => void (await objects.put(`plain-${index}`, bytes)),
    read: async (index: number) => (await objects.get(`plain-${index}`))?.bytes,
  };
  const close = async () => {
    for await (const { key } of objects.list('')) await objects.delete(key);
    objects.close();
    store.close();
  };
  return { name: 's3', store, plain, close };
}
