/** Taking back a change of what is served that could not be carried out. */
import { beforeEach, describe, expect, it } from 'vitest';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { AdapterVersions, checkStore, type VersionMove } from '../../src/versions/index.js';
import { coded } from '../personalization/samples.js';

const reason = 'it could not be served';
let store: MemoryVersionStore;
let versions: AdapterVersions;

/** v1.0 to v1.3, approved; v1.0 was active before v1.1, and v1.2 is known-good. */
beforeEach(async () => {
  store = new MemoryVersionStore();
  versions = new AdapterVersions(store, 'feed', { actor: 'trainer' });
  for (let i = 0; i < 4; i++) {
    await versions.approve((await versions.publish({ files: { 'adapter.bin': Uint8Array.of(i) } })).version);
  }
  await versions.activate('v1.0');
  await versions.activate('v1.1');
  await versions.promote('v1.2');
});

/** Everything but the count of changes. */
const truth = async () => ({ ...(await versions.state()), sequence: 0 });

const moves: Record<string, () => Promise<VersionMove>> = {
  'an activation': () => versions.activate('v1.3'),
  'an activation of what was active before': () => versions.activate('v1.0'),
  'an activation of what is active': () => versions.activate('v1.1'),
  'a rollback': () => versions.rollback({ reason: 'clicks fell' }),
  'a rollback to another version': () => versions.rollback({ to: 'v1.0', reason: 'clicks fell' }),
};

describe('undo', () => {
  it.each(Object.entries(moves))('makes everything as it was before %s', async (_, move) => {
    const before = await truth();
    await versions.undo(await move(), { reason });
    expect(await truth()).toEqual(before);
    expect((await versions.history(1))[0]).toMatchObject({ operation: 'undo', actor: 'trainer', reason });
    expect((await checkStore(store)).problems).toEqual([]);
  });

  it('turns the kill switch on again that enable has lifted', async () => {
    await versions.disable({ reason });
    const before = await truth();
    await versions.undo(await versions.enable('v1.3', { reason }), { reason });
    expect(await truth()).toEqual(before);
    await expect(versions.activate('v1.3')).rejects.toEqual(coded('ERR_ADAPTER_DISABLED'));
  });

  it('makes nothing active again where nothing was', async () => {
    const fresh = new AdapterVersions(store, 'search');
    await fresh.approve((await fresh.publish({ files: { 'adapter.bin': Uint8Array.of(1) } })).version);
    const move = await fresh.activate('v1.0');
    expect(move).toMatchObject({ from: null, to: 'v1.0' });
    await fresh.undo(move, { reason });
    expect((await fresh.state()).aliases).toEqual({});
  });

  it('leaves alone what does not concern it', async () => {
    const move = await versions.activate('v1.3');
    await versions.publish({ files: { 'adapter.bin': Uint8Array.of(9) } });
    await versions.setAlias('candidate', 'v1.4');
    await versions.undo(move, { reason });
    expect((await versions.state()).aliases).toEqual({
      active: 'v1.1',
      previous: 'v1.0',
      'known-good': 'v1.2',
      candidate: 'v1.4',
    });
  });

  const since: Record<string, () => Promise<unknown>> = {
    'the kill switch': () => versions.disable({ reason }),
    'another activation': () => versions.activate('v1.2'),
    'a rollback': () => versions.rollback({ reason }),
    'the quarantine of the version to go back to': () => versions.quarantine('v1.1', { reason }),
    'the release of what it has put into quarantine': () => versions.release('v1.1', { reason }),
  };
  it.each(Object.entries(since))('is refused after %s', async (name, change) => {
    const move = name.startsWith('the release') ? await versions.rollback({ reason }) : await versions.activate('v1.3');
    await change();
    const before = await versions.state();
    await expect(versions.undo(move, { reason })).rejects.toEqual(coded('ERR_VERSION_CONFLICT', 'somebody else'));
    expect(await versions.state()).toEqual(before);
  });

  it('is refused when the version to go back to was deleted', async () => {
    const move = await versions.activate('v1.3'); // previous leaves v1.0 for v1.1
    await versions.delete('v1.0');
    await expect(versions.undo(move, { reason })).rejects.toEqual(coded('ERR_VERSION_CONFLICT'));
  });

  it('never lifts the kill switch, and needs a reason', async () => {
    const move = await versions.disable({ reason });
    await expect(versions.undo(move, { reason })).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'disable'));
    const enabled = await versions.enable('v1.3', { reason });
    await expect(versions.undo(enabled, {} as never)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'reason'));
    expect((await versions.state()).disabled).toBe(false);
  });
});

describe('disable with expect', () => {
  it('is refused where something else is active, and repeated without harm', async () => {
    await expect(versions.disable({ expect: 'v1.0', reason })).rejects.toEqual(coded('ERR_VERSION_CONFLICT', 'v1.1'));
    expect((await versions.state()).disabled).toBe(false);
    expect(await versions.disable({ expect: 'v1.1', reason })).toMatchObject({ from: 'v1.1', to: null });
    expect(await versions.disable({ expect: 'v1.1', reason })).toMatchObject({ from: null, to: null });
    expect((await versions.state()).disabled).toBe(true);
  });
});
