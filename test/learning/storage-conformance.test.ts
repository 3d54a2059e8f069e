/** The storages in memory and in a folder against the shared suites, and the suites against storages that are wrong on purpose. */
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AdapterId } from '../../src/learning/adapter-id.js';
import type { AdapterMetadata } from '../../src/learning/adapter-metadata.js';
import { FileSystemBlobStorage } from '../../src/learning/file-blob-storage.js';
import { InMemoryBlobStorage } from '../../src/learning/memory-blob-storage.js';
import { InMemoryAdapterStorage } from '../../src/learning/memory-storage.js';
import { failure, type Result, success } from '../../src/learning/result.js';
import type { StorageOptions } from '../../src/learning/storage.js';
import { adapterBlobConformance, adapterStorageConformance, type ConformanceCase } from '../../src/testing/index.js';
import { idOf, metadataOf } from '../../src/testing/learning-samples.js';
import { codeOf } from '../adapter/helpers.js';

describe('InMemoryAdapterStorage', () => {
  it.each(adapterStorageConformance({ open: async () => new InMemoryAdapterStorage() }))('$name', ({ run }) => run());

  it('counts and clears', async () => {
    const storage = new InMemoryAdapterStorage();
    await storage.storeMetadata(metadataOf(1));
    expect(storage.count).toBe(1);
    storage.clear();
    expect(storage.count).toBe(0);
  });
});

describe('InMemoryBlobStorage', () => {
  it.each(adapterBlobConformance({ open: async () => new InMemoryBlobStorage() }))('$name', ({ run }) => run());
});

describe('FileSystemBlobStorage', () => {
  let top: string;
  let folders = 0;
  const folderOf = new WeakMap<object, string>();
  const open = async (folder = join(top, `${folders++}`, 'made', 'when needed')) => {
    const storage = new FileSystemBlobStorage(folder);
    folderOf.set(storage, folder);
    return storage;
  };
  const fileOf = (storage: object, path: string) => join(folderOf.get(storage) as string, path);
  beforeAll(() => {
    top = mkdtempSync(join(tmpdir(), 'lorakeet-blobs-'));
  });
  afterAll(() => rmSync(top, { recursive: true }));

  const cases = adapterBlobConformance({
    open: () => open(),
    reopen: (storage) => open(folderOf.get(storage)),
    damage: async (storage, path) => {
      const file = fileOf(storage, path);
      const bytes = readFileSync(file);
      bytes[7] ^= 1;
      writeFileSync(file, bytes);
    },
    unreachable: async () => {
      const file = join(top, `${folders++}`);
      writeFileSync(file, '');
      return open(join(file, 'a file is no folder'));
    },
  });
  it.each(cases)('$name', ({ run }) => run());

  it('needs a folder', () => {
    for (const folder of ['', ' ', undefined, 7]) {
      expect(codeOf(() => new FileSystemBlobStorage(folder as string))).toBe('ERR_INVALID_ARGUMENT');
    }
    expect(() => new FileSystemBlobStorage('')).toThrow('Base directory cannot be empty');
  });

  it('leaves nothing but blobs in its folder, and nothing where it fails', async () => {
    const storage = await open();
    const path = (await storage.storeWeights(idOf(1), Uint8Array.of(1))).value;
    expect(readdirSync(fileOf(storage, '.'))).toEqual([path]);
    const controller = new AbortController();
    const cancelled = storage.storeWeights(idOf(1), Uint8Array.of(2), { signal: controller.signal });
    controller.abort();
    expect(await cancelled).toEqual(failure('Operation cancelled'));
    expect(readdirSync(fileOf(storage, '.'))).toEqual([path]);
  });

  it('has nothing to do with other files of its folder', async () => {
    const storage = await open();
    await storage.storeWeights(idOf(1), Uint8Array.of(1));
    for (const name of ['notes.txt', `${idOf(1)}.bin`]) {
      writeFileSync(fileOf(storage, name), 'not weights');
      expect(await storage.getWeights(name)).toEqual(failure(`File not found: ${name}`));
      expect(await storage.getWeightsSize(name)).toEqual(failure(`File not found: ${name}`));
      expect(await storage.deleteWeights(name)).toEqual(success(undefined));
      expect(readFileSync(fileOf(storage, name), 'utf8')).toBe('not weights');
    }
  });

  it('tells what the file system says', async () => {
    const storage = await open();
    const path = (await storage.storeWeights(idOf(1), Uint8Array.of(1))).value;
    rmSync(fileOf(storage, path));
    mkdirSync(fileOf(storage, path));
    expect((await storage.getWeights(path)).error).toMatch(/^Failed to retrieve weights: EISDIR/);
    expect((await storage.getWeightsSize(path)).error).toMatch(/^Failed to get weights size: .*is not a file/);
    expect((await storage.deleteWeights(path)).error).toMatch(/^Failed to delete weights: E/);
  });

  it('follows no link that leaves its folder', async () => {
    const storage = await open();
    const path = (await storage.storeWeights(idOf(1), Uint8Array.of(1))).value;
    const outside = join(top, 'outside');
    for (const target of [outside, join(top, 'nothing')]) {
      writeFileSync(outside, Uint8Array.of(1));
      rmSync(fileOf(storage, path));
      symlinkSync(target, fileOf(storage, path));
      expect((await storage.getWeights(path)).error).toMatch(/^Failed to retrieve weights: name/);
      expect((await storage.getWeightsSize(path)).error).toMatch(/^Failed to get weights size: name/);
      expect((await storage.deleteWeights(path)).error).toMatch(/^Failed to delete weights: name/);
      expect(readFileSync(outside)).toEqual(Buffer.of(1));
    }
  });

  it.skipIf(process.getuid?.() === 0)('cannot write where it may not', async () => {
    const folder = join(top, 'read only');
    mkdirSync(folder);
    chmodSync(folder, 0o500);
    const stored = await (await open(folder)).storeWeights(idOf(1), Uint8Array.of(1));
    expect(stored.error).toMatch(/^Failed to store weights: .*EACCES/);
  });
});

const refusing = async (cases: readonly ConformanceCase[]) => {
  const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
  return cases.filter((_, i) => outcomes[i].status === 'rejected').map(({ name }) => name);
};

describe('the suite of metadata refuses a storage that', () => {
  const Right = InMemoryAdapterStorage;
  type Storage = InMemoryAdapterStorage;
  const MUTANTS: Record<string, [new () => Storage, RegExp]> = {
    'tells cases apart': [
      class extends Right {
        override async getAdaptersByTask(name: string, options?: StorageOptions) {
          const found = await super.getAdaptersByTask(name, options);
          return found.map((all) => all.filter(({ taskName }) => taskName === name));
        }
      },
      /in any case/,
    ],
    'takes a part of a name for it': [
      class extends Right {
        override async getAdaptersByTask(name: string, options?: StorageOptions) {
          const blank = await super.getAdaptersByTask(name, options);
          return blank.isFailure
            ? blank
            : (await super.listAdapters()).map((all) => all.filter(({ taskName }) => taskName.includes(name)));
        }
      },
      /tells tasks apart/,
    ],
    'updates whatever the version': [
      class extends Right {
        override async updateMetadata(metadata: AdapterMetadata, options?: StorageOptions) {
          const updated = await super.updateMetadata(metadata, options);
          const changed = updated.isFailure && updated.error.startsWith('Adapter changed');
          return changed ? super.storeMetadata(metadata, options) : updated;
        }
      },
      /replaces the version before it/,
    ],
    'updates what it does not have': [
      class extends Right {
        override async updateMetadata(metadata: AdapterMetadata, options?: StorageOptions) {
          const updated = await super.updateMetadata(metadata, options);
          const missing = updated.isFailure && updated.error.startsWith('Adapter not found');
          return missing ? super.storeMetadata(metadata, options) : updated;
        }
      },
      /no update brings back/,
    ],
    'reads, and writes later': [
      class extends Right {
        override async updateMetadata(metadata: AdapterMetadata, options?: StorageOptions): Promise<Result<undefined>> {
          const present = await this.getMetadata(metadata?.id);
          if (present.isFailure || present.value.version !== metadata.version - 1) {
            return super.updateMetadata(metadata, options);
          }
          await new Promise(setImmediate);
          return super.storeMetadata(metadata, options);
        }
      },
      /exactly one succeeds/,
    ],
    'forgets the score': [
      class extends Right {
        override async getMetadata(id: AdapterId, options?: StorageOptions) {
          return (await super.getMetadata(id, options)).map((one) => one.with({ performanceScore: undefined }));
        }
      },
      /every field/,
    ],
    'lists the newest first': [
      class extends Right {
        override async listAdapters(options?: StorageOptions) {
          return (await super.listAdapters(options)).map((all) => all.reverse());
        }
      },
      /lists many/,
    ],
    'lists a page': [
      class extends Right {
        override async listAdapters(options?: StorageOptions) {
          return (await super.listAdapters(options)).map((all) => all.slice(0, 100));
        }
      },
      /lists many/,
    ],
    'fails to delete what it does not have': [
      class extends Right {
        override async deleteMetadata(id: AdapterId, options?: StorageOptions): Promise<Result<undefined>> {
          const found = await this.getMetadata(id);
          return found.isFailure ? failure(found.error) : super.deleteMetadata(id, options);
        }
      },
      /delete removes/,
    ],
    'ignores the signal': [
      class extends Right {
        override updateMetadata(metadata: AdapterMetadata) {
          return super.updateMetadata(metadata);
        }
      },
      /cancelled/,
    ],
    'throws for nothing': [
      class extends Right {
        override async storeMetadata(metadata: AdapterMetadata, options?: StorageOptions) {
          return metadata.id ? super.storeMetadata(metadata, options) : failure<undefined>('no id');
        }
      },
      /arguments that are wrong/,
    ],
  };
  it.each(Object.entries(MUTANTS))('%s', async (_, [Mutant, expected]) => {
    const refused = await refusing(adapterStorageConformance({ open: async () => new Mutant() }));
    expect(refused.filter((name) => expected.test(name))).toHaveLength(1);
  });

  it('forgets, hides damage or pretends when nobody is there', async () => {
    const open = async () => new Right();
    const suite = { open, reopen: open, damage: async () => {}, unreachable: open };
    expect(await refusing(adapterStorageConformance(suite))).toEqual(
      expect.arrayContaining([
        expect.stringContaining('opened anew'),
        expect.stringContaining('damaged'),
        expect.stringContaining('cannot be reached'),
      ]),
    );
    expect(await refusing(adapterStorageConformance({ open, reopen: async (storage) => storage }))).toEqual([]);
  });
});

describe('the suite of weights refuses a storage that', () => {
  const Right = InMemoryBlobStorage;
  const MUTANTS: Record<string, [new () => InMemoryBlobStorage, RegExp]> = {
    'names blobs after their content': [
      class extends Right {
        readonly #paths = new Map<string, string>();
        override async storeWeights(id: AdapterId, weights: Uint8Array, options?: StorageOptions) {
          const stored = await super.storeWeights(id, weights, options);
          const key = `${id} ${weights}`;
          if (stored.isSuccess && !this.#paths.has(key)) this.#paths.set(key, stored.value);
          return stored.map(() => this.#paths.get(key) as string);
        }
      },
      /path of its own/,
    ],
    'cuts paths': [
      class extends Right {
        override getWeights(path: string, options?: StorageOptions) {
          return super.getWeights(typeof path === 'string' ? path.split('\0')[0] : path, options);
        }
      },
      /no path but its own/,
    ],
    'resolves paths before it deletes': [
      class extends Right {
        override deleteWeights(path: string, options?: StorageOptions) {
          return super.deleteWeights(typeof path === 'string' ? (path.split('/').at(-1) as string) : path, options);
        }
      },
      /no path but its own/,
    ],
    'keeps the memory of the caller': [
      class extends Right {
        readonly #kept = new Map<string, Uint8Array>();
        override async storeWeights(id: AdapterId, weights: Uint8Array, options?: StorageOptions) {
          const stored = await super.storeWeights(id, weights, options);
          return stored.map((path) => {
            this.#kept.set(path, weights);
            return path;
          });
        }
        override async getWeights(path: string, options?: StorageOptions) {
          return (await super.getWeights(path, options)).map((bytes) => this.#kept.get(path) ?? bytes);
        }
      },
      /belong to the caller/,
    ],
    'deletes nothing': [
      class extends Right {
        override async deleteWeights(path: string, { signal }: StorageOptions = {}) {
          if (signal?.aborted) return failure<undefined>('Operation cancelled');
          return path?.trim() ? success(undefined) : failure<undefined>('Path cannot be empty');
        }
      },
      /can be deleted again/,
    ],
    'stores nothing as well': [
      class extends Right {
        override async storeWeights(id: AdapterId, weights: Uint8Array, options?: StorageOptions) {
          return weights?.length === 0 ? success('nothing') : super.storeWeights(id, weights, options);
        }
      },
      /arguments that are wrong/,
    ],
    'deletes all the same when cancelled': [
      class extends Right {
        override async deleteWeights(path: string, options?: StorageOptions) {
          await super.deleteWeights(path);
          return super.deleteWeights(path, options);
        }
      },
      /cancelled/,
    ],
  };
  it.each(Object.entries(MUTANTS))('%s', async (_, [Mutant, expected]) => {
    const refused = await refusing(adapterBlobConformance({ open: async () => new Mutant() }));
    expect(refused.filter((name) => expected.test(name))).toHaveLength(1);
  });

  it('forgets, hides damage or pretends when nobody is there', async () => {
    const open = async () => new Right();
    const refused = await refusing(
      adapterBlobConformance({ open, reopen: open, damage: async () => {}, unreachable: open }),
    );
    expect(refused).toHaveLength(3);
    expect(await refusing(adapterBlobConformance({ open, reopen: async (storage) => storage }))).toEqual([]);
  });
});
