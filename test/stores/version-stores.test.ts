/** Every version store against the shared suite, and the suite against stores that are wrong on purpose. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FileVersionStore } from '../../src/stores/files.js';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { versionStoreConformance } from '../../src/testing/version-store-conformance.js';
import { sha256Of, type VersionStore } from '../../src/versions/version-store.js';

let folder: string;
let stores = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-versions-'));
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});

describe('MemoryVersionStore', () => {
  const cases = versionStoreConformance({ open: async () => new MemoryVersionStore() });
  it.each(cases)('$name', ({ run }) => run());
});

describe('FileVersionStore', () => {
  const paths = new WeakMap<object, string>();
  const open = async (path: string) => {
    const store = await FileVersionStore.open(path);
    paths.set(store, path);
    return store;
  };
  const cases = versionStoreConformance({
    open: () => open(join(folder, `${stores++}`, 'versions')),
    reopen: (store) => open(paths.get(store) as string),
    close: (store) => (store as FileVersionStore).close(),
  });
  it.each(cases)('$name', ({ run }) => run());
});

/** A store that is right, for one thing to be wrong in. */
class Right extends MemoryVersionStore {}

const MUTANTS: Record<string, new () => VersionStore> = {
  'names blobs otherwise': class extends Right {
    override async putBlob(bytes: Uint8Array) {
      return (await super.putBlob(bytes)).toUpperCase();
    }
  },
  'keeps no copy of what it is given': class extends Right {
    readonly #given = new Map<string, Uint8Array>();
    override async putBlob(bytes: Uint8Array) {
      const name = await super.putBlob(bytes);
      this.#given.set(name, bytes);
      return name;
    }
    override async getBlob(name: string) {
      return (await super.getBlob(name)) && this.#given.get(name);
    }
  },
  'forgets when a blob was put again': class extends Right {
    readonly #seen = new Set<string>();
    override async putBlob(bytes: Uint8Array) {
      const name = sha256Of(new Uint8Array(bytes ?? []));
      if (this.#seen.has(name) && (await super.getBlob(name))) return name;
      this.#seen.add(name);
      return super.putBlob(bytes);
    }
  },
  'deletes blobs of any age': class extends Right {
    override async deleteBlob(name: string, putBefore: Date) {
      return super.deleteBlob(name, new Date(putBefore.getTime() + 1e12));
    }
  },
  'says that it has deleted what is not there': class extends Right {
    override async deleteBlob(name: string, putBefore: Date) {
      await super.deleteBlob(name, putBefore);
      return true;
    }
  },
  'replaces a head whatever the revision': class extends Right {
    override async setHead(name: string, bytes: Uint8Array, _expected: string | undefined) {
      return super.setHead(name, bytes, (await super.getHead(name))?.revision);
    }
  },
  'looks at the revision first and writes later': class extends Right {
    override async setHead(name: string, bytes: Uint8Array, expected: string | undefined) {
      if ((await super.getHead(name))?.revision !== expected) return undefined;
      const copy = new Uint8Array(bytes);
      await new Promise((resolve) => setImmediate(resolve));
      return super.setHead(name, copy, (await super.getHead(name))?.revision);
    }
  },
  'takes the hash of a head for its revision': class extends Right {
    readonly #real = new Map<string, string>();
    override async getHead(name: string) {
      const head = await super.getHead(name);
      return head && { ...head, revision: sha256Of(head.bytes) };
    }
    override async setHead(name: string, bytes: Uint8Array, expected: string | undefined) {
      const real = expected === undefined ? undefined : this.#real.get(`${name} ${expected}`);
      const revision = await super.setHead(name, bytes, expected === undefined ? undefined : (real ?? 'none'));
      if (revision === undefined) return undefined;
      this.#real.set(`${name} ${sha256Of(bytes)}`, revision);
      return sha256Of(bytes);
    }
  },
  'takes upper case for lower': class extends Right {
    override getHead(name: string) {
      return super.getHead(name?.toLowerCase?.() ?? name);
    }
    override setHead(name: string, bytes: Uint8Array, expected: string | undefined) {
      return super.setHead(name?.toLowerCase?.() ?? name, bytes, expected);
    }
  },
  'leaves a head out of its list': class extends Right {
    override async *listHeads() {
      let first = true;
      for await (const name of super.listHeads()) {
        if (!first) yield name;
        first = false;
      }
    }
  },
  'leaves a blob out of its list': class extends Right {
    override async *listBlobs() {
      let first = true;
      for await (const blob of super.listBlobs()) {
        if (!first) yield blob;
        first = false;
      }
    }
  },
  'cleans names instead of refusing them': class extends Right {
    override getHead(name: string) {
      return super.getHead(String(name).replace(/^\.\.\//, '') || 'unknown');
    }
  },
};

describe('the suite refuses a store that', () => {
  it.each(Object.entries(MUTANTS))('%s', async (_, Mutant) => {
    const cases = versionStoreConformance({ open: async () => new Mutant() });
    const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(outcomes.filter(({ status }) => status === 'rejected')).not.toEqual([]);
  });

  it('forgets what it has when it is opened anew', async () => {
    const open = async () => new MemoryVersionStore();
    const cases = versionStoreConformance({ open, reopen: open });
    const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
    expect(cases.filter((_, i) => outcomes[i].status === 'rejected').map(({ name }) => name)).toContain(
      'what was acknowledged is there when the store is opened anew',
    );
  });
});
