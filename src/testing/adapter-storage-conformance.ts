/** The conformance suite of metadata storages (AdapterStorage), for any implementation and any test framework. */
import assert from 'node:assert/strict';
import { AdapterConfig } from '../learning/adapter-config.js';
import type { AdapterId } from '../learning/adapter-id.js';
import { AdapterMetadata } from '../learning/adapter-metadata.js';
import type { Result } from '../learning/result.js';
import type { AdapterStorage, StorageOptions } from '../learning/storage.js';
import type { ConformanceCase } from './harness.js';
import { CANCELLED, casesOver, failWith, idOf, metadataOf, succeed } from './learning-samples.js';

export interface AdapterStorageConformanceOptions {
  /** A new, empty storage. */
  open(): Promise<AdapterStorage>;
  /** For storages that outlive their process: the same one as another process finds it. */
  reopen?(storage: AdapterStorage): Promise<AdapterStorage>;
  /** For storages that keep text: puts this text in place of the metadata of an adapter that is stored. */
  damage?(storage: AdapterStorage, id: AdapterId, text: string): Promise<void>;
  /** For storages that can: one whose server or file has gone. */
  unreachable?(): Promise<AdapterStorage>;
  /** Called after every case with the storages that were opened; default: nothing. */
  close?(storage: AdapterStorage): Promise<void> | void;
}

/** Names that are easily taken for one another, for patterns, or for the end of a text. */
const TASKS = [
  ...['task', 'task ', 'ta', 'ta%', 't_sk', "ta'sk", 'ta"sk', 'ta\\sk', 'task\0', 'task\n', '日本', '😀', 'null'],
  ...['x'.repeat(5000), `${'x'.repeat(4999)}y`, '{"must":[]}', '__proto__', 'é', 'e\u0301'],
];
/** More than a page of any server. */
const MANY = 150;
const RIVALS = 20;

/** The cases, in no particular order. Each opens storages of its own. */
export function adapterStorageConformance(options: AdapterStorageConformanceOptions): ConformanceCase[] {
  const define = casesOver(options.open, options.close);
  const { reopen, damage, unreachable } = options;
  const optional = (offered: unknown, one: () => ConformanceCase) => (offered ? [one()] : []);
  return [
    define('an empty storage has nothing', async (storage) => {
      await failWith('get', `Adapter not found: ${idOf(1)}`, storage.getMetadata(idOf(1)));
      await failWith('update', `Adapter not found: ${idOf(1)}`, storage.updateMetadata(metadataOf(1, { version: 2 })));
      await expectStored(storage, []);
      assert.deepEqual(await succeed('by task', storage.getAdaptersByTask('task')), []);
      await succeed('delete', storage.deleteMetadata(idOf(1)));
    }),
    define('what is stored comes back, every field of it', async (storage) => {
      const full = metadataOf(1, {
        config: new AdapterConfig({
          rank: 3,
          learningRate: 1e-7 / 3,
          maxSteps: 7,
          targetModules: 'o_proj',
          useRSLoRA: true,
        }),
        memoryStoragePath: 'memory',
        performanceScore: 0.1 + 0.2,
        trainingExampleCount: 12_345_678_901,
        lastTrainedAt: new Date(Date.UTC(2025, 1, 3, 4, 5, 6, 789)),
        parents: [idOf(8), idOf(9)],
        mergeStrategy: 'ties',
      }).withTraining(5, { blobStoragePath: 'blob', memoryStoragePath: 'other' }, 0.75);
      const all = [full, metadataOf(2), metadataOf(3, { performanceScore: 0 })];
      for (const metadata of all) await succeed('store', storage.storeMetadata(metadata));
      await expectStored(storage, all);
      const found = await succeed('get', storage.getMetadata(full.id));
      assert.ok(found instanceof AdapterMetadata && found.config instanceof AdapterConfig, 'not an AdapterMetadata');
      assert.equal(found.withTraining(1, { blobStoragePath: 'next' }).version, full.version + 1);
    }),
    define('storing again replaces, whatever the version', async (storage) => {
      const [first, other] = [metadataOf(1, { performanceScore: 0.5, version: 7 }), metadataOf(2)];
      await succeed('store', storage.storeMetadata(other));
      for (const metadata of [first, metadataOf(1, { taskName: 'another', version: 3 }), first]) {
        await succeed('store', storage.storeMetadata(metadata));
        await expectStored(storage, [metadata, other]);
        const byTask = await succeed('by task', storage.getAdaptersByTask('another'));
        assert.equal(byTask.length, metadata.taskName === 'another' ? 1 : 0, 'a task that it has no longer');
      }
    }),
    define('finds tasks by their name in any case, the oldest first', async (storage) => {
      const named = (n: number, taskName: string) => metadataOf(n, { taskName });
      const adapters = [
        named(5, 'Sentiment ÀÉ'),
        named(2, 'SENTIMENT àé'),
        named(9, 'sentiment Àé'),
        named(1, 'other'),
      ];
      for (const metadata of adapters) await succeed('store', storage.storeMetadata(metadata));
      const found = await succeed('by task', storage.getAdaptersByTask('sEnTiMeNt àÉ'));
      assert.deepEqual(
        found.map(({ id }) => id),
        [2, 5, 9].map(idOf),
      );
    }),
    define('tells tasks apart, whatever they are made of', async (storage) => {
      const adapters = TASKS.map((taskName, i) => metadataOf(i, { taskName }));
      for (const metadata of adapters) await succeed('store', storage.storeMetadata(metadata));
      await expectStored(storage, adapters);
      for (const metadata of adapters) {
        const found = await succeed('by task', storage.getAdaptersByTask(metadata.taskName));
        assert.deepEqual(found.map(textOf), [textOf(metadata)], JSON.stringify(metadata.taskName.slice(0, 20)));
      }
    }),
    define('lists many, the oldest first, those made at once by their ids', async (storage) => {
      const order = Array.from({ length: MANY }, (_, i) => metadataOf((i * 37) % MANY));
      const atOnce = [3, 1, 2].map((n) => metadataOf(0, { id: idOf(1000 + n) }));
      await Promise.all([...order, ...atOnce].map((one) => succeed('store', storage.storeMetadata(one))));
      await expectStored(storage, [...order, ...atOnce]);
    }),
    define('an update replaces the version before it, and no other', async (storage) => {
      await succeed('store', storage.storeMetadata(metadataOf(2)));
      const first = metadataOf(1, { version: 4 });
      await succeed('store', storage.storeMetadata(first));
      for (const version of [1, 3, 4, 6, 2 ** 40]) {
        const wrong = metadataOf(1, { version, taskName: 'wrong' });
        await failWith(`version ${version}`, `Adapter changed meanwhile: ${idOf(1)}`, storage.updateMetadata(wrong));
      }
      await expectStored(storage, [first, metadataOf(2)]);
      const next = first.with({ version: 5, taskName: 'next', trainingExampleCount: 3 });
      await succeed('update', storage.updateMetadata(next));
      await expectStored(storage, [next, metadataOf(2)]);
      assert.deepEqual(await succeed('by task', storage.getAdaptersByTask(first.taskName)), []);
      assert.equal((await succeed('by task', storage.getAdaptersByTask('NEXT'))).length, 1);
    }),
    define(`of ${RIVALS} updates of one version at once exactly one succeeds`, async (storage, also) => {
      const handles = [storage];
      if (reopen) for (let i = 1; i < 4; i++) handles.push(also(await reopen(storage)));
      await succeed('store', storage.storeMetadata(metadataOf(1)));
      for (let version = 2; version < 5; version++) {
        const rivals = Array.from({ length: RIVALS }, (_, i) => metadataOf(1, { version, blobStoragePath: `by ${i}` }));
        const results = await Promise.all(rivals.map((one, i) => handles[i % handles.length].updateMetadata(one)));
        const winners = rivals.filter((_, i) => results[i].isSuccess);
        assert.equal(winners.length, 1, `${winners.length} of ${RIVALS} rivals have succeeded`);
        for (const result of results) {
          if (result.isFailure) assert.equal(result.error, `Adapter changed meanwhile: ${idOf(1)}`);
        }
        await expectStored(storage, winners);
      }
    }),
    define('no update brings back what is deleted', async (storage) => {
      for (let round = 0; round < 10; round++) {
        await succeed('store', storage.storeMetadata(metadataOf(1)));
        await Promise.all([
          storage.updateMetadata(metadataOf(1, { version: 2 })),
          storage.deleteMetadata(idOf(1)),
          storage.updateMetadata(metadataOf(1, { version: 2 })),
        ]);
        await expectStored(storage, []);
      }
    }),
    define('delete removes what it names, again and again', async (storage) => {
      for (const n of [1, 2, 3]) await succeed('store', storage.storeMetadata(metadataOf(n)));
      for (let i = 0; i < 2; i++) await succeed('delete', storage.deleteMetadata(idOf(2)));
      await failWith('get', `Adapter not found: ${idOf(2)}`, storage.getMetadata(idOf(2)));
      await expectStored(storage, [metadataOf(1), metadataOf(3)]);
      await succeed('store', storage.storeMetadata(metadataOf(2)));
      await expectStored(
        storage,
        [1, 2, 3].map((n) => metadataOf(n)),
      );
    }),
    define('arguments that are wrong are refused, and change nothing', async (storage) => {
      await succeed('store', storage.storeMetadata(metadataOf(1)));
      for (const nothing of [null, undefined] as unknown as AdapterMetadata[]) {
        await failWith('store', 'Metadata cannot be null', storage.storeMetadata(nothing));
        await failWith('update', 'Metadata cannot be null', storage.updateMetadata(nothing));
      }
      for (const name of ['', ' \n\t', null, undefined, 7] as string[]) {
        await failWith('by task', 'Task name cannot be empty', storage.getAdaptersByTask(name));
      }
      for (const id of ['', 'x', "' OR 1=1", `${idOf(1)}\0`] as AdapterId[]) {
        await failWith('get', `Adapter not found: ${id}`, storage.getMetadata(id));
        await succeed('delete', storage.deleteMetadata(id));
      }
      const unreadable: [string, Partial<AdapterMetadata>][] = [
        ['performanceScore', { performanceScore: Number.NaN }],
        ['lastTrainedAt', { lastTrainedAt: new Date(Number.NaN) }],
        ['config', { config: AdapterConfig.default().with({ rank: 0 }) }],
        ['id', { id: 'x' as AdapterId }],
      ];
      for (const [field, change] of unreadable) {
        const bad = metadataOf(1, { version: 2, ...change });
        await failWith(field, `Metadata is damaged: ${field}`, storage.storeMetadata(bad));
        await failWith(field, `Metadata is damaged: ${field}`, storage.updateMetadata(bad));
      }
      await expectStored(storage, [metadataOf(1)]);
    }),
    define('what is cancelled before it starts changes nothing', async (storage) => {
      await succeed('store', storage.storeMetadata(metadataOf(1)));
      const later = { version: 2 };
      for (const [what, call] of callsOf(storage, metadataOf(1, later))) {
        await failWith(what, CANCELLED, call({ signal: AbortSignal.abort() }));
      }
      await expectStored(storage, [metadataOf(1)]);
      const { signal } = new AbortController();
      await succeed('update', storage.updateMetadata(metadataOf(1, later), { signal }));
      await expectStored(storage, [metadataOf(1, later)]);
    }),
    ...optional(reopen, () =>
      define('what was acknowledged is there when the storage is opened anew', async (storage, also) => {
        for (const n of [1, 2, 3]) await succeed('store', storage.storeMetadata(metadataOf(n)));
        await succeed('update', storage.updateMetadata(metadataOf(2, { version: 2 })));
        await succeed('delete', storage.deleteMetadata(idOf(3)));
        const again = also(await (reopen as NonNullable<typeof reopen>)(storage));
        await expectStored(again, [metadataOf(1), metadataOf(2, { version: 2 })]);
      }),
    ),
    ...optional(damage, () =>
      define('damaged metadata is told, and can be replaced or deleted', async (storage) => {
        const [one, other] = [metadataOf(1), metadataOf(2)];
        for (const [text, what] of [
          ['{', 'not JSON'],
          ['7', 'not an object'],
          [textOf(one).replace('"rank":4', '"rank":-4'), 'config'],
          [textOf(one).replace('"version":1', '"version":"1"'), 'version'],
        ]) {
          for (const metadata of [one, other]) await succeed('store', storage.storeMetadata(metadata));
          await damage?.(storage, one.id, text);
          await failWith('get', `Metadata is damaged: ${what}`, storage.getMetadata(one.id));
          await failWith('list', `Adapter ${one.id}: Metadata is damaged: ${what}`, storage.listAdapters());
          assert.equal(textOf(await succeed('get', storage.getMetadata(other.id))), textOf(other));
        }
        await succeed('delete', storage.deleteMetadata(one.id));
        await expectStored(storage, [other]);
      }),
    ),
    ...optional(unreachable, () =>
      define('a storage that cannot be reached fails, and does not throw', async (_, also) => {
        const gone = also(await (unreachable as NonNullable<typeof unreachable>)());
        for (const [what, call] of callsOf(gone, metadataOf(1, { version: 2 }))) {
          await failWith(what, /^(?!Adapter |Operation cancelled|undefined|$)/, call());
        }
      }),
    ),
  ];
}

type Call = (options?: StorageOptions) => Promise<Result<unknown>>;

function callsOf(storage: AdapterStorage, metadata: AdapterMetadata): [string, Call][] {
  return [
    ['store', (options) => storage.storeMetadata(metadata, options)],
    ['get', (options) => storage.getMetadata(metadata.id, options)],
    ['by task', (options) => storage.getAdaptersByTask(metadata.taskName, options)],
    ['list', (options) => storage.listAdapters(options)],
    ['update', (options) => storage.updateMetadata(metadata, options)],
    ['delete', (options) => storage.deleteMetadata(metadata.id, options)],
  ];
}

/** Exactly these, by list and one by one; the list with the oldest first. */
async function expectStored(storage: AdapterStorage, expected: readonly AdapterMetadata[]): Promise<void> {
  const sorted = expected.toSorted((a, b) => a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1));
  assert.deepEqual((await succeed('list', storage.listAdapters())).map(textOf), sorted.map(textOf));
  for (const metadata of expected) {
    assert.equal(textOf(await succeed('get', storage.getMetadata(metadata.id))), textOf(metadata));
  }
}

/** With sorted keys: whoever stores may write them in another order. */
function textOf(metadata: AdapterMetadata): string {
  return JSON.stringify(metadata, (_, value) =>
    typeof value === 'object' && value !== null && !Array.isArray(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
      : value,
  );
}
