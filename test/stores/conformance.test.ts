/** Every adapter store against the shared suite, and the suite against stores that are wrong on purpose. */
import { describe, expect, it } from 'vitest';
import type { AdapterStore, StoredAdapter } from '../../src/index.js';
import { MemoryAdapterStore } from '../../src/stores/memory-adapters.js';
import { adapterCollectionConformance } from '../../src/testing/collection-conformance.js';
import { adapterStoreConformance } from '../../src/testing/store-conformance.js';

describe('MemoryAdapterStore', () => {
  const cases = adapterCollectionConformance({ open: async () => new MemoryAdapterStore() });
  it.each(cases)('$name', ({ run }) => run());
});

/** A store that is right, for one thing to be wrong in. */
class Right implements AdapterStore {
  readonly memory = new MemoryAdapterStore();
  load(ids: readonly string[]) {
    return this.memory.load(ids);
  }
  save(adapters: readonly StoredAdapter[]) {
    return this.memory.save(adapters);
  }
  delete(ids: readonly string[]) {
    return this.memory.delete(ids);
  }
}

const mapIds = (map: (id: string) => string) =>
  class extends Right {
    override load(ids: readonly string[]) {
      return super.load(ids.map(map));
    }
    override async save(adapters: readonly StoredAdapter[]) {
      for (const { id, bytes } of adapters) await super.save([{ id: map(id), bytes }]);
    }
    override delete(ids: readonly string[]) {
      return super.delete(ids.map(map));
    }
  };

const MUTANTS: Record<string, new () => AdapterStore> = {
  'takes upper case for lower': mapIds((id) => id.toLowerCase()),
  'cuts ids at NUL': mapIds((id) => id.split('\0')[0] || 'empty'),
  'cuts long ids': mapIds((id) => id.slice(0, 255)),
  'normalises ids': mapIds((id) => id.normalize('NFC')),
  'trims ids': mapIds((id) => id.trim() || 'empty'),
  'takes ids for numbers': mapIds((id) => (id.trim() !== '' && Number(id) >= 0 ? String(Number(id)) : id)),
  'leaves out ids it does not have': class extends Right {
    override async load(ids: readonly string[]) {
      return (await super.load(ids)).filter((bytes) => bytes !== undefined);
    }
  },
  'answers in an order of its own': class extends Right {
    override load(ids: readonly string[]) {
      return super.load(ids.toSorted());
    }
  },
  'answers an id once': class extends Right {
    override async load(ids: readonly string[]) {
      const found = await super.load(ids);
      return found.map((bytes, i) => (ids.indexOf(ids[i]) === i ? bytes : undefined));
    }
  },
  'keeps the first of two saves': class extends Right {
    override async save(adapters: readonly StoredAdapter[]) {
      const found = await super.load(adapters.map(({ id }) => id));
      await super.save(adapters.filter((_, i) => found[i] === undefined));
    }
  },
  'leaves the end of longer bytes': class extends Right {
    override async save(adapters: readonly StoredAdapter[]) {
      const found = await super.load(adapters.map(({ id }) => id));
      const merged = adapters.map(({ id, bytes }, i) => {
        const longer = new Uint8Array(Math.max(bytes.length, found[i]?.length ?? 0));
        longer.set(found[i] ?? []);
        longer.set(bytes);
        return { id, bytes: longer };
      });
      await super.save(merged);
    }
  },
  'stores the whole buffer under a view': class extends Right {
    override save(adapters: readonly StoredAdapter[]) {
      return super.save(
        adapters?.map?.((one) => one && { ...one, bytes: one.bytes && new Uint8Array(one.bytes.buffer) }),
      );
    }
  },
  'takes a thousand a call': class extends Right {
    override save(adapters: readonly StoredAdapter[]) {
      return super.save(adapters.slice?.(0, 1000) ?? adapters);
    }
  },
  'forgets to delete the last': class extends Right {
    override delete(ids: readonly string[]) {
      return super.delete(ids.slice?.(0, Math.max(1, ids.length - 1)) ?? ids);
    }
  },
  'fails to delete what it does not have': class extends Right {
    override async delete(ids: readonly string[]) {
      if ((await super.load(ids)).includes(undefined)) throw new Error('not found');
      await super.delete(ids);
    }
  },
  'keeps no copy': class extends Right {
    readonly #bytes = new Map<string, Uint8Array>();
    override async load(ids: readonly string[]) {
      await super.load(ids);
      return ids.map((id) => this.#bytes.get(id));
    }
    override async save(adapters: readonly StoredAdapter[]) {
      await super.save(adapters);
      for (const { id, bytes } of adapters) this.#bytes.set(id, bytes);
    }
    override async delete(ids: readonly string[]) {
      await super.delete(ids);
      for (const id of ids) this.#bytes.delete(id);
    }
  },
  'acknowledges before it has saved': class extends Right {
    override async save(adapters: readonly StoredAdapter[]) {
      await super.save([]);
      setImmediate(() => void super.save(adapters).catch(() => {}));
    }
  },
  'checks nothing': class implements AdapterStore {
    readonly #bytes = new Map<string, Uint8Array>();
    async load(ids: readonly string[]) {
      return ids.map((id) => this.#bytes.get(id)?.slice());
    }
    async save(adapters: readonly StoredAdapter[]) {
      for (const { id, bytes } of adapters) this.#bytes.set(id, Uint8Array.from(bytes));
    }
    async delete(ids: readonly string[]) {
      for (const id of ids) this.#bytes.delete(id);
    }
  },
  'saves what comes before a bad record': class extends Right {
    override async save(adapters: readonly StoredAdapter[]) {
      for (const adapter of adapters) await super.save([adapter]);
      await super.save(adapters);
    }
  },
};

describe('the suite refuses a store that', () => {
  it.each(Object.entries(MUTANTS))('%s', async (name, Mutant) => {
    const cases = adapterStoreConformance({ open: async () => new Mutant() });
    const outcomes = await Promise.allSettled(cases.map(({ run }) => run()));
    const refusing = cases.filter((_, i) => outcomes[i].status === 'rejected').map((one) => one.name);
    // most mutants stumble over wrong arguments as well, which is not what they are here for
    const aboutArguments = /checks nothing|before a bad record/.test(name);
    expect(refusing.filter((refused) => aboutArguments === refused.startsWith('arguments'))).not.toEqual([]);
  });

  it('forgets what it has when it is opened anew, but none that is right', async () => {
    const suite = (reopen: (store: AdapterStore) => Promise<AdapterStore>) =>
      Promise.allSettled(adapterStoreConformance({ open: async () => new Right(), reopen }).map(({ run }) => run()));
    const failed = (outcomes: PromiseSettledResult<unknown>[]) =>
      outcomes.filter(({ status }) => status === 'rejected').length;
    expect(failed(await suite(async () => new Right()))).toBe(1);
    expect(failed(await suite(async (store) => store))).toBe(0);
  });
});
