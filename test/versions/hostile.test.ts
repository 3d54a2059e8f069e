/** Stores whose content somebody has damaged or made up. */
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { AdapterVersions, checkStore, collectGarbage, type VersionStore } from '../../src/versions/index.js';
import { coded } from '../personalization/samples.js';

const reason = 'because';
const HASH = 'ab'.repeat(32);
let store: MemoryVersionStore;
let versions: AdapterVersions;

beforeEach(async () => {
  store = new MemoryVersionStore();
  versions = new AdapterVersions(store, 'feed');
  for (let i = 0; i < 3; i++) {
    await versions.publish({ files: { x: new Uint8Array(10).fill(i) }, parents: i > 0 ? [`v1.${i - 1}`] : [] });
    await versions.approve(`v1.${i}`);
  }
  await versions.activate('v1.0');
  await versions.activate('v1.1');
});

type Json = Record<string, unknown>;
const textOf = (bytes: Uint8Array) => Buffer.from(bytes).toString('utf8');
const headOf = async () => JSON.parse(textOf((await store.getHead('feed'))?.bytes as Uint8Array)) as Json;

/** Writes what somebody else might have written. */
async function writeHead(content: string | Uint8Array | Json): Promise<void> {
  const text = typeof content === 'string' || ArrayBuffer.isView(content) ? content : JSON.stringify(content);
  await store.setHead('feed', new Uint8Array(Buffer.from(text as string)), (await store.getHead('feed'))?.revision);
}

/** Lets v1.0 have another manifest. */
async function writeManifest(change: (manifest: Json) => void): Promise<void> {
  const head = await headOf();
  const entry = (head.versions as Record<string, { manifest: string }>)['v1.0'];
  const manifest = JSON.parse(textOf((await store.getBlob(entry.manifest)) as Uint8Array));
  change(manifest);
  entry.manifest = await store.putBlob(Buffer.from(JSON.stringify(manifest)));
  await writeHead(head);
}

const CORRUPT = coded('ERR_STORE_FAILURE');

describe('a head', () => {
  const entry = { manifest: HASH, createdAt: '2026-01-01T00:00:00.000Z', approved: true, quarantined: false };
  const set = (path: string, value: unknown) => (head: Json) => {
    const keys = path.split('/');
    const last = keys.pop() as string;
    const target = keys.reduce((one, key) => one[key] as Json, head);
    if (value === undefined) delete target[last];
    else target[last] = value;
    return head;
  };
  const CHANGES: [string, (head: Json) => Json | string][] = [
    ['nothing', () => ''],
    ['no JSON', () => '{'],
    ['a list', () => '[]'],
    ['null', () => 'null'],
    ['spaces', (head) => JSON.stringify(head, null, 1)],
    ['a key twice', (head) => JSON.stringify(head).replace('{', '{"format":1,')],
    ['a prototype', (head) => JSON.stringify(head).replace('"aliases":{', '"aliases":{"__proto__":{},')],
    ['a number too large', (head) => JSON.stringify(head).replace('"sequence":8', '"sequence":1e999')],
    ['too many bytes', (head) => `${JSON.stringify(head)}${' '.repeat(2 ** 20)}`],
    ['too deep a nesting', () => `{"format":${'['.repeat(100)}${']'.repeat(100)}}`],
    ['another format', set('format', 2)],
    ['another adapter', set('adapter', 'other')],
    ['no kill switch', set('disabled', undefined)],
    ['a kill switch of text', set('disabled', 'false')],
    ['an unknown field', set('owner', 'me')],
    ['no change', set('change', null)],
    ['a path for a change', set('change', '../../etc/passwd')],
    ['a negative sequence', set('sequence', -1)],
    ['half a sequence', set('sequence', 1.5)],
    ['a highest number below the others', set('highest', 'v1.0')],
    ['no highest number', set('highest', null)],
    ['a version that is no number', set('versions/latest', entry)],
    ['a version with a leading zero', set('versions/v1.00', entry)],
    ['a path for a manifest', set('versions/v1.0', { ...entry, manifest: '../x' })],
    ['a version with more than it has', set('versions/v1.0', { ...entry, owner: 'me' })],
    ['a key that is no text', set('versions/v1.0', { ...entry, key: 7 })],
    [
      'one key of two versions',
      (head) =>
        set('versions/v1.1', { ...entry, key: 'k' })(set('versions/v1.0', { ...entry, key: 'k' })(head) as Json),
    ],
    ['a version with less', set('versions/v1.0', { manifest: HASH })],
    ['a time that is none', set('versions/v1.0', { ...entry, createdAt: 'yesterday' })],
    ['a dangling alias', set('aliases/active', 'v1.9')],
    ['an alias of what is in quarantine', set('versions/v1.1', { ...entry, quarantined: true })],
    ['an alias with a bad name', set('aliases/..', 'v1.0')],
    ['an alias of nothing', set('aliases/active', null)],
    ['something active while disabled', set('disabled', true)],
    ['aliases that are a list', set('aliases', ['v1.0'])],
  ];

  it.each(CHANGES)('with %s is refused by everything', async (_, change) => {
    await writeHead(change(await headOf()));
    const before = (await store.getHead('feed'))?.revision;
    for (const call of [
      () => versions.state(),
      () => versions.load('v1.0'),
      () => versions.publish({ files: { x: new Uint8Array(1) } }),
      () => versions.activate('v1.0'),
      () => versions.disable({ reason }),
      () => collectGarbage(store, { olderThanMs: 0, now: () => new Date(Date.now() + 1000) }),
    ]) {
      await expect(call()).rejects.toEqual(CORRUPT);
    }
    expect((await store.getHead('feed'))?.revision).toBe(before);
    expect((await checkStore(store)).problems).toHaveLength(1);
  });

  it('that is as it was is accepted', async () => {
    await writeHead(await headOf());
    expect((await checkStore(store)).problems).toEqual([]);
  });

  it('that was not bytes but other text is refused', async () => {
    await writeHead(Uint8Array.of(0x7b, 0xff, 0xfe, 0x7d));
    await expect(versions.state()).rejects.toEqual(CORRUPT);
  });
});

describe('a manifest', () => {
  const file = { sha256: HASH, sizeBytes: 1 };
  it.each<[string, (manifest: Json) => void]>([
    ['of another version', (manifest) => Object.assign(manifest, { version: 'v1.1' })],
    ['of another adapter', (manifest) => Object.assign(manifest, { adapter: 'other' })],
    ['of another format', (manifest) => Object.assign(manifest, { format: 7 })],
    ['without files', (manifest) => Object.assign(manifest, { files: {} })],
    ['with a file outside', (manifest) => Object.assign(manifest, { files: { '../../etc/cron.d/x': file } })],
    ['with an absolute file', (manifest) => Object.assign(manifest, { files: { '/etc/passwd': file } })],
    ['with NUL in a name', (manifest) => Object.assign(manifest, { files: { 'a\0b': file } })],
    ['with an over-long name', (manifest) => Object.assign(manifest, { files: { ['x'.repeat(256)]: file } })],
    ['with two names for one file', (manifest) => Object.assign(manifest, { files: { a: file, A: file } })],
    ['with a path for a hash', (manifest) => Object.assign(manifest, { files: { a: { ...file, sha256: '../a' } } })],
    ['with a negative size', (manifest) => Object.assign(manifest, { files: { a: { ...file, sizeBytes: -1 } } })],
    [
      'with a parent outside',
      (manifest) => Object.assign(manifest, { parents: [{ adapter: '../x', version: 'v1.0', manifest: HASH }] }),
    ],
    ['with a parent that is null', (manifest) => Object.assign(manifest, { parents: [null] })],
    ['with a metric of text', (manifest) => Object.assign(manifest, { metrics: { loss: 'low' } })],
    ['with a field more', (manifest) => Object.assign(manifest, { approved: true })],
    ['with a field less', (manifest) => void delete manifest.training],
  ])('%s is refused', async (_, change) => {
    await writeManifest(change);
    await expect(versions.load('v1.0')).rejects.toEqual(CORRUPT);
    await expect(versions.publish({ files: { x: new Uint8Array(1) }, parents: ['v1.0'] })).rejects.toEqual(CORRUPT);
    expect((await checkStore(store)).problems).not.toEqual([]);
    // the others are as they were
    expect((await versions.load('v1.2')).files.get('x')).toEqual(new Uint8Array(10).fill(2));
  });

  it('that another was put in place of is noticed by its time', async () => {
    await writeManifest((manifest) => Object.assign(manifest, { createdAt: '2020-01-01T00:00:00.000Z' }));
    expect((await checkStore(store)).problems).toEqual([expect.stringContaining('createdAt')]);
  });
});

/** The store, with one blob as somebody left it. */
function withBlob(name: string, bytes: Uint8Array | undefined): VersionStore {
  return new Proxy(store, {
    get: (target, key) => {
      if (key === 'getBlob') return async (asked: string) => (asked === name ? bytes : target.getBlob(asked));
      const member = target[key as keyof MemoryVersionStore];
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
}

describe('a blob', () => {
  it.each<[string, Uint8Array | undefined]>([
    ['missing', undefined],
    ['changed in one bit', new Uint8Array(10).fill(1, 9)],
    ['cut short', new Uint8Array(9)],
    ['longer', new Uint8Array(11)],
    ['empty', new Uint8Array(0)],
  ])('that is %s is refused on every load', async (_, bytes) => {
    const { sha256 } = (await versions.manifest('v1.0')).files.x;
    const damaged = withBlob(sha256, bytes);
    await expect(new AdapterVersions(damaged, 'feed').load('v1.0')).rejects.toEqual(CORRUPT);
    expect((await checkStore(damaged)).problems).toEqual([expect.stringContaining('x of feed v1.0')]);
    expect((await new AdapterVersions(damaged, 'feed').load('v1.1')).version).toBe('v1.1');
  });

  it('with another size than the manifest says is found by the check', async () => {
    await writeManifest((manifest) => {
      (manifest.files as Record<string, { sizeBytes: number }>).x.sizeBytes = 11;
    });
    expect((await checkStore(store)).problems).toEqual([expect.stringContaining('10 bytes, expected 11')]);
  });
});

describe('the audit trail', () => {
  it('cannot be cut or changed without being noticed', async () => {
    const { change } = await headOf();
    const lost = withBlob(change as string, undefined);
    await expect(new AdapterVersions(lost, 'feed').history()).rejects.toEqual(CORRUPT);
    await expect(collectGarbage(lost)).rejects.toEqual(CORRUPT);
    expect((await checkStore(lost)).problems).toEqual([expect.stringContaining('change 8 of feed')]);
  });

  it('tells that an alias was moved past it', async () => {
    const head = await headOf();
    Object.assign(head.aliases as Json, { active: 'v1.2' });
    await writeHead(head);
    expect((await checkStore(store)).problems).toEqual([expect.stringContaining('by the audit trail to v1.1')]);
  });

  it('tells that a change was left out', async () => {
    const head = await headOf();
    const [, before] = await versions.history(2);
    const last = JSON.parse(textOf((await store.getBlob(head.change as string)) as Uint8Array));
    expect(before.sequence).toBe(7);
    const change = JSON.parse(textOf((await store.getBlob(last.previous)) as Uint8Array));
    // the head goes on as if the change 7 had been the 8th
    head.change = await store.putBlob(Buffer.from(JSON.stringify({ ...last, previous: change.previous })));
    await writeHead(head);
    expect((await checkStore(store)).problems).toEqual([expect.stringContaining('change 7 of feed: sequence')]);
  });
});

it('a store in which somebody always comes first is given up on', async () => {
  const busy = new Proxy(store, {
    get: (target, key) => {
      if (key === 'setHead') return async () => undefined;
      const member = target[key as keyof MemoryVersionStore];
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const before = await versions.state();
  await expect(new AdapterVersions(busy, 'feed').approve('v1.0')).rejects.toEqual(
    coded('ERR_STORE_FAILURE', '100 times'),
  );
  expect(await versions.state()).toEqual(before);
}, 30_000);
