import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { AdapterVersions, checkStore, collectGarbage } from '../../src/versions/index.js';
import { coded } from '../personalization/samples.js';

const HASH = 'ab'.repeat(32);
const DAY_MS = 86_400_000;
const reason = 'because';

let store: MemoryVersionStore;
let versions: AdapterVersions;
let clock: number;
const now = () => new Date(clock);

beforeEach(() => {
  clock = Date.UTC(2026, 0, 1);
  store = new MemoryVersionStore();
  versions = new AdapterVersions(store, 'team/feed', { actor: 'trainer', now });
});

let seed = 0;
const files = (size = 3) => ({ 'adapter.bin': new Uint8Array(size).fill(++seed) });
/** Publishes and approves so many versions: v1.0, v1.1, … */
async function approved(count: number) {
  for (let i = 0; i < count; i++) await versions.approve((await versions.publish({ files: files() })).version);
}
const aliases = async () => (await versions.state()).aliases;
const entry = async (version: string) => (await versions.state()).versions.find((one) => one.version === version);
const lastChange = async () => (await versions.history(1))[0];

describe('publishing', () => {
  it('numbers versions in order, past 9, and never points anything to them', async () => {
    const numbers = [];
    for (let i = 0; i < 12; i++) numbers.push((await versions.publish({ files: files() })).version);
    expect(numbers).toEqual(Array.from({ length: 12 }, (_, i) => `v1.${i}`));
    const state = await versions.state();
    expect(state.versions.map(({ version }) => version)).toEqual(numbers);
    expect(state.aliases).toEqual({});
    expect(state.versions.some((one) => one.approved || one.quarantined)).toBe(false);
  });

  it('gives no number twice, also when the highest versions are deleted and the store is opened anew', async () => {
    await approved(3);
    await versions.delete('v1.2');
    await versions.delete('v1.1');
    const again = new AdapterVersions(store, 'team/feed');
    expect((await again.publish({ files: files() })).version).toBe('v1.3');
    expect((await again.publish({ files: files(), major: true })).version).toBe('v2.0');
    expect((await again.publish({ files: files(), version: 'v2.10' })).version).toBe('v2.10');
    expect((await again.publish({ files: files() })).version).toBe('v2.11');
    for (const version of ['v2.11', 'v2.9', 'v1.2', 'v0.1']) {
      await expect(again.publish({ files: files(), version })).rejects.toEqual(coded('ERR_VERSION_CONFLICT', 'v2.11'));
    }
  });

  it('records where a version comes from', async () => {
    await new AdapterVersions(store, 'other').publish({ files: files() });
    await versions.publish({ files: files() });
    const bytes = Uint8Array.of(1, 2, 3);
    const published = await versions.publish({
      files: { 'adapter.bin': bytes, 'extra/notes.txt': new Uint8Array(0) },
      parents: ['v1.0', 'other@v1.0'],
      training: { job: 'j-1', seed: 7, data: { rows: 100 } },
      metrics: { loss: 0.25 },
      baseModel: { name: 'llama', sha256: HASH },
      actor: 'somebody else',
    });
    const sha256 = '039058c6f2c0cb492c533b0a4d14ef77cc0f78abccced5287d84a1a2011cfb81';
    expect(published).toEqual({
      adapter: 'team/feed',
      version: 'v1.1',
      createdAt: '2026-01-01T00:00:00.000Z',
      author: 'somebody else',
      files: { 'adapter.bin': { sha256, sizeBytes: 3 }, 'extra/notes.txt': expect.objectContaining({ sizeBytes: 0 }) },
      parents: [
        { adapter: 'team/feed', version: 'v1.0', manifest: expect.stringMatching(/^[0-9a-f]{64}$/) },
        { adapter: 'other', version: 'v1.0', manifest: expect.stringMatching(/^[0-9a-f]{64}$/) },
      ],
      training: { job: 'j-1', seed: 7, data: { rows: 100 } },
      metrics: { loss: 0.25 },
      baseModel: { name: 'llama', sha256: HASH },
      libraryVersion: expect.stringMatching(/^\d+\.\d+\.\d+/),
    });
    const loaded = await versions.load('v1.1');
    expect(loaded.manifest).toEqual(published);
    expect(loaded.files.get('adapter.bin')).toEqual(bytes);
    expect(loaded.files.get('extra/notes.txt')).toEqual(new Uint8Array(0));
  });

  it.each<[string, object, string]>([
    ['no files', { files: {} }, 'ERR_PATH_NOT_ALLOWED'],
    ['files that are none', { files: null }, 'ERR_INVALID_ARGUMENT'],
    ['a file that is no bytes', { files: { a: 'text' } }, 'ERR_INVALID_ARGUMENT'],
    ...['../a', '/a', 'a/../../b', 'a\0', 'x'.repeat(300), 'nul', 'a\\b', ''].map((name): [string, object, string] => [
      `a file named ${JSON.stringify(name).slice(0, 20)}`,
      { files: { [name]: new Uint8Array(1) } },
      'ERR_PATH_NOT_ALLOWED',
    ]),
    ['files that differ in case', { files: { a: new Uint8Array(1), A: new Uint8Array(1) } }, 'ERR_PATH_NOT_ALLOWED'],
    ['a file named __proto__', { files: JSON.parse('{"__proto__": 1}') }, 'ERR_INVALID_ARGUMENT'],
    ['an unknown key', { files: files(), approved: true }, 'ERR_INVALID_CONFIG'],
    ['a parent that is none', { files: files(), parents: ['latest'] }, 'ERR_INVALID_ARGUMENT'],
    ['a parent that is not there', { files: files(), parents: ['v1.9'] }, 'ERR_VERSION_NOT_FOUND'],
    ['a parent of nobody', { files: files(), parents: ['nobody@v1.0'] }, 'ERR_VERSION_NOT_FOUND'],
    ['a parent outside', { files: files(), parents: ['../x@v1.0'] }, 'ERR_PATH_NOT_ALLOWED'],
    ['a metric that is NaN', { files: files(), metrics: { loss: Number.NaN } }, 'ERR_INVALID_ARGUMENT'],
    ['a metric that is text', { files: files(), metrics: { loss: 'low' } }, 'ERR_INVALID_ARGUMENT'],
    ['training that is no JSON', { files: files(), training: { at: new Date() } }, 'ERR_INVALID_ARGUMENT'],
    ['too much training', { files: files(), training: { log: 'x'.repeat(2 ** 20) } }, 'ERR_INVALID_ARGUMENT'],
    ['a base model without a hash', { files: files(), baseModel: { name: 'm' } }, 'ERR_INVALID_ARGUMENT'],
    ['a number that is none', { files: files(), version: '1.0' }, 'ERR_INVALID_ARGUMENT'],
    ['an empty reason', { files: files(), reason: ' ' }, 'ERR_INVALID_ARGUMENT'],
    ['an empty key', { files: files(), key: '' }, 'ERR_INVALID_ARGUMENT'],
    ['a long key', { files: files(), key: 'k'.repeat(201) }, 'ERR_INVALID_ARGUMENT'],
  ])('refuses %s, and changes nothing', async (_, publication, code) => {
    await versions.publish({ files: files() });
    const before = await versions.state();
    await expect(versions.publish(publication as never)).rejects.toEqual(coded(code as 'ERR_INVALID_ARGUMENT'));
    expect(await versions.state()).toEqual(before);
  });

  it('publishes once with a key, whoever repeats it', async () => {
    const key = 'job-7';
    expect(await versions.findPublished(key)).toBeUndefined();
    const first = await versions.publish({ files: files(), key, training: { attempt: 1 } });
    const others = [versions, new AdapterVersions(store, 'team/feed')];
    for (const one of others)
      expect(await one.publish({ files: files(), key, training: { attempt: 2 } })).toEqual(first);
    expect(await versions.findPublished(key)).toEqual(first);
    expect((await versions.state()).versions).toHaveLength(1);
    expect((await versions.state()).sequence).toBe(1);
    const racing = await Promise.all(
      Array.from({ length: 5 }, () => versions.publish({ files: files(), key: 'job-8' })),
    );
    expect(racing.map(({ version }) => version)).toEqual(Array(5).fill('v1.1'));
    expect((await versions.publish({ files: files() })).version).toBe('v1.2');

    const elsewhere = new AdapterVersions(store, 'other');
    expect(await elsewhere.findPublished(key)).toBeUndefined();
    await versions.delete('v1.0');
    expect((await versions.publish({ files: files(), key })).version).toBe('v1.3');
    expect((await checkStore(store)).problems).toEqual([]);
  });

  it('refuses names of adapters that lead elsewhere', () => {
    for (const name of ['', '..', '../x', '/x', 'a/../b', 'a\0', 'x'.repeat(300)]) {
      expect(() => new AdapterVersions(store, name)).toThrow(coded('ERR_PATH_NOT_ALLOWED'));
    }
  });
});

describe('activating', () => {
  it('moves active and remembers the one before, but makes nothing known-good', async () => {
    await approved(3);
    await versions.activate('v1.0');
    expect(await aliases()).toEqual({ active: 'v1.0' });
    await versions.activate('v1.2');
    expect(await aliases()).toEqual({ active: 'v1.2', previous: 'v1.0' });
    await versions.activate('v1.2');
    expect(await aliases()).toEqual({ active: 'v1.2', previous: 'v1.0' });
    await versions.activate('v1.0');
    expect(await aliases()).toEqual({ active: 'v1.0', previous: 'v1.2' });
    expect((await versions.load('active')).version).toBe('v1.0');
  });

  it('takes a version that is not approved only with an override and a reason, and records both', async () => {
    await versions.publish({ files: files() });
    await expect(versions.activate('v1.0')).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED', 'v1.0'));
    await expect(versions.activate('v1.0', { override: true })).rejects.toEqual(
      coded('ERR_INVALID_ARGUMENT', 'reason'),
    );
    expect(await aliases()).toEqual({});
    await versions.activate('v1.0', { override: true, reason: 'the gate is down', actor: 'on call' });
    expect(await lastChange()).toMatchObject({
      operation: 'activate',
      version: 'v1.0',
      override: true,
      reason: 'the gate is down',
      actor: 'on call',
      aliases: [{ alias: 'active', from: null, to: 'v1.0' }],
    });
    await expect(versions.promote('v1.0')).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED'));
  });

  it('compares before it sets, where asked to', async () => {
    await approved(2);
    await expect(versions.activate('v1.0', { expect: 'v1.1' })).rejects.toEqual(
      coded('ERR_VERSION_CONFLICT', 'nothing'),
    );
    await versions.activate('v1.0', { expect: null });
    await expect(versions.activate('v1.1', { expect: null })).rejects.toEqual(coded('ERR_VERSION_CONFLICT', 'v1.0'));
    await versions.setAlias('candidate', 'v1.1', { expect: null });
    await expect(versions.setAlias('candidate', 'v1.0', { expect: null })).rejects.toEqual(
      coded('ERR_VERSION_CONFLICT'),
    );
    await versions.promote('v1.1', { expect: null });
    await expect(versions.promote('v1.0', { expect: null })).rejects.toEqual(coded('ERR_VERSION_CONFLICT'));
    await expect(versions.rollback({ expect: 'v1.1', reason })).rejects.toEqual(coded('ERR_VERSION_CONFLICT'));
    expect(await aliases()).toEqual({ active: 'v1.0', candidate: 'v1.1', 'known-good': 'v1.1' });
  });

  it('lets one of many win who believe the same', async () => {
    await approved(20);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, i) => versions.activate(`v1.${i}`, { expect: null })),
    );
    const winners = outcomes.flatMap(({ status }, i) => (status === 'fulfilled' ? [`v1.${i}`] : []));
    expect(winners).toEqual([(await aliases()).active]);
  });
});

describe('rolling back', () => {
  it('goes to known-good first, and isolates what it leaves', async () => {
    await approved(4);
    await versions.promote('v1.1');
    await versions.activate('v1.0');
    await versions.activate('v1.3');
    await versions.setAlias('canary', 'v1.3');
    expect(await versions.rollback({ reason: 'clicks fell' })).toMatchObject({ from: 'v1.3', to: 'v1.1' });
    expect(await aliases()).toEqual({ active: 'v1.1', previous: 'v1.0', 'known-good': 'v1.1' });
    expect(await entry('v1.3')).toMatchObject({ quarantined: true });
    expect(await lastChange()).toMatchObject({
      operation: 'rollback',
      reason: 'clicks fell',
      quarantined: ['v1.3'],
      aliases: [
        { alias: 'active', from: 'v1.3', to: 'v1.1' },
        { alias: 'canary', from: 'v1.3', to: null },
      ],
    });
    // known-good itself turns out to be bad: it is no target any more, previous is
    expect(await versions.rollback({ reason })).toMatchObject({ from: 'v1.1', to: 'v1.0' });
    expect(await aliases()).toEqual({ active: 'v1.0' });
    await expect(versions.rollback({ reason })).rejects.toEqual(coded('ERR_NO_ROLLBACK_TARGET'));
    for (const to of ['v1.3', 'v1.1']) {
      await expect(versions.rollback({ to, reason })).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', to));
      await expect(versions.activate(to)).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', to));
      await expect(versions.activate(to, { override: true, reason })).rejects.toEqual(coded('ERR_VERSION_QUARANTINED'));
      await expect(versions.promote(to)).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', to));
      await expect(versions.setAlias('canary', to)).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', to));
      await expect(versions.approve(to)).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', to));
    }
    expect(await versions.rollback({ to: 'v1.2', reason })).toMatchObject({ from: 'v1.0', to: 'v1.2' });
  });

  it('passes over what is not approved, unless told to', async () => {
    await versions.publish({ files: files() });
    await versions.activate('v1.0', { override: true, reason });
    await approved(1);
    await versions.activate('v1.1');
    await expect(versions.rollback({ reason })).rejects.toEqual(coded('ERR_NO_ROLLBACK_TARGET'));
    await expect(versions.rollback({ to: 'v1.0', reason })).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED'));
    await expect(versions.rollback({ to: 'v1.1', reason })).rejects.toEqual(coded('ERR_NO_ROLLBACK_TARGET'));
    await versions.rollback({ to: 'v1.0', override: true, reason });
    expect(await aliases()).toEqual({ active: 'v1.0' });
  });

  it('needs a reason, something active, and a version', async () => {
    await approved(1);
    await expect(versions.rollback({} as never)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'reason'));
    await expect(versions.rollback(undefined as never)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
    await expect(versions.rollback({ reason })).rejects.toEqual(coded('ERR_NO_ROLLBACK_TARGET', 'nothing is active'));
    await versions.activate('v1.0');
    await expect(versions.rollback({ to: '', reason })).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
    await expect(versions.rollback({ to: 'v9.9', reason })).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    expect(await aliases()).toEqual({ active: 'v1.0' });
  });
});

describe('the kill switch', () => {
  it('dominates everything until an explicit version lifts it', async () => {
    await approved(3);
    await versions.promote('v1.0');
    await versions.activate('v1.0');
    await versions.activate('v1.1');
    await versions.disable({ reason: 'it insults people' });
    await versions.disable({ reason: 'again' });
    const again = new AdapterVersions(store, 'team/feed');
    expect(await again.state()).toMatchObject({ disabled: true, aliases: { previous: 'v1.0', 'known-good': 'v1.0' } });
    for (const call of [
      () => again.resolve('active'),
      () => again.load('active'),
      () => again.activate('v1.0'),
      () => again.activate('v1.0', { override: true, reason }),
      () => again.rollback({ reason }),
      () => again.rollback({ to: 'v1.0', reason }),
    ]) {
      await expect(call()).rejects.toEqual(coded('ERR_ADAPTER_DISABLED'));
    }
    await again.publish({ files: files() });
    await again.setAlias('candidate', 'v1.2');
    await again.promote('v1.2');
    expect((await again.state()).disabled).toBe(true);
    await expect(again.enable('v1.1', { reason })).rejects.toEqual(coded('ERR_VERSION_QUARANTINED', 'v1.1'));
    await expect(again.enable(undefined as never, { reason })).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
    await expect(again.enable('v1.3', { reason })).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED'));
    await expect(again.enable('v1.0', {} as never)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'reason'));
    expect((await again.state()).disabled).toBe(true);
    await again.enable('v1.0', { reason: 'the good one' });
    expect(await again.state()).toMatchObject({ disabled: false, aliases: { active: 'v1.0' } });
  });

  it('knows adapters that there are only', async () => {
    const nobody = new AdapterVersions(store, 'team/fed');
    await expect(nobody.disable({ reason })).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND', 'team/fed'));
    await expect(nobody.resolve('active')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    expect(await nobody.history()).toEqual([]);
  });
});

describe('quarantine', () => {
  it('keeps a version from everything until it is released and approved anew', async () => {
    await approved(2);
    await versions.activate('v1.0');
    await versions.promote('v1.1');
    await expect(versions.quarantine('v1.0', { reason })).rejects.toEqual(coded('ERR_VERSION_IN_USE'));
    await versions.quarantine('v1.1', { reason });
    expect(await aliases()).toEqual({ active: 'v1.0' });
    await versions.release('v1.1', { reason });
    expect(await entry('v1.1')).toMatchObject({ quarantined: false, approved: false });
    await versions.approve('v1.1', { evidence: { passed: 12 } });
    expect(await lastChange()).toMatchObject({ operation: 'approve', evidence: { passed: 12 } });
    await versions.promote('v1.1');
    await versions.release('v1.1', { reason });
    expect(await entry('v1.1')).toMatchObject({ approved: true });
    await versions.disapprove('v1.1', { reason });
    expect(await aliases()).toEqual({ active: 'v1.0' });
  });
});

describe('aliases', () => {
  it('have any name but those of methods and versions', async () => {
    await approved(1);
    for (const alias of ['candidate', 'team.a_b-c', 'constructor', 'x'.repeat(64)]) {
      await versions.setAlias(alias, 'v1.0');
      expect(await versions.resolve(alias)).toBe('v1.0');
      await versions.setAlias(alias, null);
      await expect(versions.resolve(alias)).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    }
    for (const alias of [
      'active',
      'previous',
      'known-good',
      'v1.0',
      '',
      'A',
      '1',
      '../a',
      '__proto__',
      'x'.repeat(65),
      7,
    ]) {
      await expect(versions.setAlias(alias as string, 'v1.0')).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
    }
    await expect(versions.setAlias('active', null)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
    await versions.promote('v1.0');
    await versions.setAlias('known-good', null);
    await expect(versions.setAlias('candidate', 'v1.1')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    await expect(versions.resolve('constructor')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    expect(await aliases()).toEqual({});
  });
});

describe('a write whose answer is lost', () => {
  /** Says once that it has refused what it has written, and somebody else comes before anybody looks. */
  class LosingStore extends MemoryVersionStore {
    meanwhile: (() => Promise<unknown>) | undefined;
    override async setHead(name: string, bytes: Uint8Array, expected: string | undefined) {
      const revision = await super.setHead(name, bytes, expected);
      const { meanwhile } = this;
      if (!meanwhile) return revision;
      this.meanwhile = undefined;
      await meanwhile();
      return undefined;
    }
  }

  it.each([0, 1, 3])('is not repeated, with %i changes after it', async (others) => {
    const losing = new LosingStore();
    versions = new AdapterVersions(losing, 'team/feed', { now });
    await approved(3);
    for (const version of ['v1.0', 'v1.1', 'v1.2']) await versions.activate(version);
    losing.meanwhile = async () => {
      for (let i = 0; i < others; i++) await versions.setAlias('candidate', `v1.${i % 2}`);
    };
    expect(await versions.rollback({ reason })).toMatchObject({ from: 'v1.2', to: 'v1.1' });
    expect(await aliases()).toMatchObject({ active: 'v1.1' });
    losing.meanwhile = async () => {
      for (let i = 0; i < others; i++) await versions.publish({ files: files() });
    };
    expect((await versions.publish({ files: files() })).version).toBe('v1.3');
    expect((await versions.state()).versions).toHaveLength(4 + others);
    expect((await checkStore(losing)).problems).toEqual([]);
  });

  it('is no other that looks the same', async () => {
    // two at the very same moment, of the same content: only one of them is v1.0
    const same = { files: { x: Uint8Array.of(1) } };
    const published = await Promise.all([versions.publish(same), versions.publish(same)]);
    expect(published.map(({ version }) => version).sort()).toEqual(['v1.0', 'v1.1']);
  });
});

describe('the audit trail', () => {
  it('has every change, newest first, and none that was refused', async () => {
    await approved(1);
    await versions.activate('v1.0').catch(() => {});
    await versions.activate('v1.9').catch(() => {});
    await versions.retain({ keepLatest: 0 });
    clock += 1000;
    await versions.disable({ reason: 'stop', actor: 'on call' });
    const history = await versions.history();
    expect(history.map(({ sequence, operation, actor }) => [sequence, operation, actor])).toEqual([
      [4, 'disable', 'on call'],
      [3, 'activate', 'trainer'],
      [2, 'approve', 'trainer'],
      [1, 'publish', 'trainer'],
    ]);
    expect(history[0]).toMatchObject({ at: '2026-01-01T00:00:01.000Z', version: 'v1.0', quarantined: ['v1.0'] });
    expect(await versions.history(2)).toEqual(history.slice(0, 2));
  });
});

describe('retention', () => {
  it('deletes what is old, unless something points to it', async () => {
    for (let i = 0; i < 6; i++) {
      await approved(1);
      clock += DAY_MS;
    }
    await versions.activate('v1.0');
    await versions.setAlias('keep', 'v1.2');
    await expect(versions.delete('v1.2')).rejects.toEqual(coded('ERR_VERSION_IN_USE', 'keep'));
    expect(await versions.retain({ keepLatest: 6 })).toEqual([]);
    // v1.3 is three days old
    expect(await versions.retain({ keepLatest: 1, keepForMs: 3 * DAY_MS })).toEqual(['v1.1']);
    expect(await versions.retain({ keepLatest: 1 })).toEqual(['v1.3', 'v1.4']);
    expect((await versions.state()).versions.map(({ version }) => version)).toEqual(['v1.0', 'v1.2', 'v1.5']);
    expect(await lastChange()).toMatchObject({ operation: 'retain', deleted: ['v1.3', 'v1.4'] });
    await expect(versions.load('v1.3')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    for (const options of [
      {},
      { keepLatest: -1 },
      { keepLatest: 1, keepForMs: Number.NaN },
      { keepLatest: 1, keep: 2 },
    ]) {
      await expect(versions.retain(options as never)).rejects.toEqual(coded('ERR_INVALID_CONFIG'));
    }
    await versions.retain({ keepLatest: 0, keepForMs: Number.MAX_VALUE });
    expect((await versions.state()).versions).toHaveLength(3);
  });

  it('frees bytes that nothing needs, and never those of another adapter or of lineage', async () => {
    const shared = files(1000);
    const other = new AdapterVersions(store, 'other');
    await other.publish({ files: shared });
    await versions.publish({ files: { ...shared, own: new Uint8Array(2000) } });
    await versions.publish({ files: files(10), parents: ['v1.0'] });
    await versions.publish({ files: files(10), parents: ['v1.1'] });
    await versions.delete('v1.0');
    await versions.delete('v1.1');
    expect(await collectGarbage(store, { now: () => new Date(Date.now() + 0.9 * DAY_MS) })).toBe(0);
    const before = await checkStore(store);
    expect(before).toMatchObject({ unreferenced: 2, problems: [] });
    const later = () => new Date(Date.now() + 1000);
    expect(await collectGarbage(store, { olderThanMs: 0, now: later })).toBe(2);
    const after = await checkStore(store);
    expect(after.sizeBytes).toBeLessThan(before.sizeBytes);
    expect(after).toEqual({ ...before, blobs: before.blobs - 2, unreferenced: 0, sizeBytes: after.sizeBytes });
    expect((await other.load('v1.0')).files.get('adapter.bin')).toEqual(shared['adapter.bin']);
    expect((await versions.load('v1.2')).manifest.parents[0].version).toBe('v1.1');
  });

  it('keeps the ancestors of a version though its parent is a file of another', async () => {
    // the first to be walked
    const other = new AdapterVersions(store, 'other');
    await other.publish({ files: files() });
    await versions.publish({ files: files() });
    await versions.publish({ files: files(), parents: ['v1.0'] });
    await versions.publish({ files: files(), parents: ['v1.1'] });
    const { parents } = await versions.manifest('v1.2');
    const grandparent = (await versions.manifest('v1.1')).parents[0].manifest;
    const manifest = (await store.getBlob(parents[0].manifest)) as Uint8Array;
    await other.publish({ files: { manifest } });
    await versions.retain({ keepLatest: 1 });
    await collectGarbage(store, { olderThanMs: 0, now: () => new Date(Date.now() + 1000) });
    expect(await store.getBlob(grandparent)).toBeDefined();
    expect((await checkStore(store)).problems).toEqual([]);
  });
});
