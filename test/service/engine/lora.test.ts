/** Activation, rollback and kill switch of a service whose adapters are served by model servers. */
import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import type { LorakeetErrorCode } from '../../../src/errors.js';
import { silentLogger } from '../../../src/logger.js';
import { coded } from '../../personalization/samples.js';
import { caller, heldBy, openService, openWithServers, startVllm } from './fixtures.js';

const reason = 'a test';

async function open(options: Parameters<typeof openWithServers>[1] = {}) {
  const server = await startVllm();
  return { server, ...(await openWithServers([server], options)) };
}

describe('activation', () => {
  it('moves the store first, serves the version, and tells both', async () => {
    const { server, service } = await open();
    const result = await service.activate({ adapterVersion: 'v1.0', reason: 'first' }, caller);
    expect(result).toMatchObject({ fromVersion: null, toVersion: 'v1.0', withinTarget: true, targetMs: 5000 });
    expect(result.status).toMatchObject({
      ...{ enabled: true, active: 'v1.0', previous: null, knownGood: null, quarantined: [], versionCount: 4 },
      serving: [{ target: `vllm at ${server.url}`, version: 'v1.0', settled: true }],
    });
    expect(result.status.history[0]).toMatchObject({
      ...{ operation: 'activate', version: 'v1.0', fromVersion: null, actor: 'ops', reason: 'first', override: false },
    });
    expect(heldBy(server)).toEqual({ 'default@v1.0': 1 });
    const next = await service.activate({ adapterVersion: 'v1.2' }, caller);
    expect(next).toMatchObject({ fromVersion: 'v1.0', toVersion: 'v1.2' });
    expect(next.status.history[0]).toMatchObject({ fromVersion: 'v1.0', reason: 'manual_operation' });
    expect(heldBy(server)).toEqual({ 'default@v1.2': 3 });
    expect(await service.loraStatus()).toMatchObject({ active: 'v1.2', previous: 'v1.0', sequence: 10 });
  });

  it('takes aliases, and refuses what it cannot know or may not serve', async () => {
    const { server, service, versions } = await open();
    await versions.setAlias('candidate', 'v1.1');
    await service.activate({ adapterVersion: 'candidate' }, caller);
    expect(heldBy(server)).toEqual({ 'default@v1.1': 2 });
    await versions.quarantine('v1.3', { reason });
    await versions.disapprove('v1.2', { reason });
    const before = await versions.state();
    const refused: [Record<string, unknown>, LorakeetErrorCode, string?][] = [
      [{ adapterVersion: 'v9.9' }, 'ERR_VERSION_NOT_FOUND'],
      [{ adapterVersion: 'known-good' }, 'ERR_VERSION_NOT_FOUND'],
      [{ adapterVersion: 'v1.2' }, 'ERR_VERSION_UNAPPROVED'],
      [{ adapterVersion: 'v1.3' }, 'ERR_VERSION_QUARANTINED'],
      [{ adapterVersion: 'v1.3', override: true, reason }, 'ERR_VERSION_QUARANTINED'],
      [{ adapterVersion: 'v1.0', expect: null }, 'ERR_VERSION_CONFLICT'],
      [{ adapterVersion: 'v1.0', expect: 'v1.0' }, 'ERR_VERSION_CONFLICT'],
      [{}, 'ERR_INVALID_ARGUMENT', 'request.adapterVersion'],
      [{ adapterVersion: '' }, 'ERR_INVALID_ARGUMENT', 'request.adapterVersion'],
      [{ adapterVersion: 'V1' }, 'ERR_INVALID_ARGUMENT'],
      [{ adapterVersion: 'v1.2', override: true }, 'ERR_INVALID_ARGUMENT', 'request.reason'],
      [{ adapterVersion: 'v1.2', override: 'yes', reason }, 'ERR_INVALID_CONFIG', 'request.override'],
      [{ adapterVersion: 'v1.0', reason: ' ' }, 'ERR_INVALID_ARGUMENT', 'request.reason'],
      [{ adapterVersion: 'v1.0', expect: 'candidate' }, 'ERR_INVALID_ARGUMENT', 'request.expect'],
      [{ adapterVersion: 'v1.0', version: 'v1.0' }, 'ERR_INVALID_CONFIG', 'version'],
    ];
    for (const [request, code, text = ''] of refused) {
      const what = service.activate(request as never, caller);
      await expect(what, JSON.stringify(request)).rejects.toEqual(coded(code, text));
    }
    await expect(service.activate({ adapterVersion: 'v1.0' }, {} as never)).rejects.toEqual(
      coded('ERR_INVALID_ARGUMENT', 'caller.name'),
    );
    expect(await versions.state()).toEqual(before);
    expect(heldBy(server)).toEqual({ 'default@v1.1': 2 });
  });

  it('records an override with its reason', async () => {
    const { service, versions } = await open();
    await versions.disapprove('v1.2', { reason });
    const request = { adapterVersion: 'v1.2', override: true, reason: 'the gate is down' };
    const { status } = await service.activate(request, { name: 'anna' });
    expect(status.history[0]).toMatchObject({ override: true, actor: 'anna', reason: 'the gate is down' });
  });

  it('puts the store back to what it was where the server refuses, and says why', async () => {
    const { server, service, versions } = await open();
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    await service.promote({ adapterVersion: 'v1.1' }, caller);
    const before = await versions.state();
    server.faults.push({ on: 'POST /v1/load_lora_adapter', kind: 'status', status: 500, body: 'no room' });
    const refused = service.activate({ adapterVersion: 'v1.2' }, caller);
    await expect(refused).rejects.toEqual(coded('ERR_SERVING_REFUSED', 'no room'));
    const after = await versions.state();
    expect({ ...after, sequence: 0 }).toEqual({ ...before, sequence: 0 });
    const [undone, done] = await versions.history(2);
    expect(done).toMatchObject({ operation: 'activate', version: 'v1.2', actor: 'ops' });
    expect(undone).toMatchObject({ operation: 'undo', actor: 'ops', reason: expect.stringContaining('no room') });
    expect(heldBy(server)).toEqual({ 'default@v1.0': 1 });
    // the same again, now that there is room
    expect(await service.activate({ adapterVersion: 'v1.2' }, caller)).toMatchObject({ toVersion: 'v1.2' });
  });

  it('puts the store back where no replica can be reached, and stands where one can', async () => {
    const [near, far] = [await startVllm(), await startVllm()];
    const { service, versions } = await openWithServers([near, far]);
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    await far.die();
    const half = await service.activate({ adapterVersion: 'v1.1' }, caller);
    expect(half).toMatchObject({ withinTarget: false, status: { active: 'v1.1' } });
    expect(half.status.serving).toMatchObject([
      { version: 'v1.1', settled: true },
      { version: null, settled: false, error: expect.stringContaining('ECONNREFUSED') },
    ]);
    expect((await service.health()).components.serving).toMatchObject({
      ...{ status: 'degraded', detail: expect.stringContaining('v1.1 at 1 of 2') },
    });
    await near.die();
    const before = await versions.state();
    await expect(service.activate({ adapterVersion: 'v1.2' }, caller)).rejects.toEqual(
      coded('ERR_SERVING_UNAVAILABLE', 'ECONNREFUSED'),
    );
    expect((await versions.state()).aliases).toEqual(before.aliases);
  });

  it('refuses what is damaged or of another kind before anything is changed', async () => {
    const { server, service, versions } = await open();
    await versions.publish({ files: { 'adapter.bin': Uint8Array.of(1, 2, 3) } });
    await versions.publish({
      files: { 'adapter_config.json': Uint8Array.of(1), 'adapter_model.safetensors': Uint8Array.of(2) },
    });
    await versions.publish({ files: { 'readme.md': Uint8Array.of(1) } });
    const before = await versions.state();
    const codes: Record<string, LorakeetErrorCode> = {
      'v1.4': 'ERR_FORMAT_UNSUPPORTED',
      'v1.5': 'ERR_FORMAT_CORRUPT',
      'v1.6': 'ERR_FORMAT_UNSUPPORTED',
    };
    for (const [adapterVersion, code] of Object.entries(codes)) {
      const refused = service.activate({ adapterVersion, override: true, reason }, caller);
      await expect(refused, adapterVersion).rejects.toEqual(coded(code));
    }
    expect(await versions.state()).toEqual(before);
    expect(server.requests.filter((route) => route.startsWith('POST'))).toEqual([]);
  });

  it('brings many replicas that share the folder of versions to each version, every time', async () => {
    const servers = await Promise.all(Array.from({ length: 6 }, () => startVllm()));
    const { service } = await openWithServers(servers);
    for (const adapterVersion of ['v1.0', 'v1.1', 'v1.2', 'v1.3']) {
      const { status } = await service.activate({ adapterVersion }, caller);
      expect(status.serving.map(({ version }) => version)).toEqual(servers.map(() => adapterVersion));
    }
  });

  it('of many at once makes one after the other, and ends with all saying the same', async () => {
    const { server, service, versions } = await open();
    const numbers = ['v1.0', 'v1.1', 'v1.2', 'v1.3', 'v1.0', 'v1.2'];
    const results = await Promise.all(numbers.map((adapterVersion) => service.activate({ adapterVersion }, caller)));
    expect(results.map(({ fromVersion, toVersion }) => [fromVersion, toVersion])).toEqual(
      numbers.map((version, i) => [numbers[i - 1] ?? null, version]),
    );
    expect((await versions.state()).aliases.active).toBe('v1.2');
    expect(heldBy(server)).toEqual({ 'default@v1.2': 3 });
  });

  it('of two that expect the same lets one through', async () => {
    const { service } = await open();
    const both = ['v1.1', 'v1.2'].map((adapterVersion) => service.activate({ adapterVersion, expect: null }, caller));
    const ends = await Promise.allSettled(both);
    expect(ends.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect(ends.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'ERR_VERSION_CONFLICT' },
    });
  });
});

describe('quarantine', () => {
  it('keeps a version from being served until it is released, and then only an override serves it', async () => {
    const { service } = await open();
    await service.activate({ adapterVersion: 'v1.1' }, caller);
    const [active, other] = ['v1.1', 'v1.0'].map((adapterVersion) => ({ adapterVersion, reason: 'complaints' }));
    await expect(service.quarantine(active, caller)).rejects.toEqual(coded('ERR_VERSION_IN_USE'));
    expect(await service.quarantine(other, caller)).toMatchObject({ active: 'v1.1', quarantined: ['v1.0'] });
    await expect(service.activate({ adapterVersion: 'v1.0' }, caller)).rejects.toEqual(
      coded('ERR_VERSION_QUARANTINED'),
    );
    const released = await service.release({ ...other, reason: 'judged again' }, caller);
    expect(released).toMatchObject({ active: 'v1.1', quarantined: [] });
    expect(released.history[0]).toMatchObject({ operation: 'release', version: 'v1.0', reason: 'judged again' });
    await expect(service.activate({ adapterVersion: 'v1.0' }, caller)).rejects.toEqual(coded('ERR_VERSION_UNAPPROVED'));
    const request = { adapterVersion: 'v1.0', reason: 'judged by hand', override: true };
    expect(await service.activate(request, caller)).toMatchObject({ toVersion: 'v1.0' });
    for (const wrong of [{ adapterVersion: 'v1.0' }, { ...other, override: true }, { ...other, reason: ' ' }]) {
      await expect(service.release(wrong as never, caller)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_INVALID_(ARGUMENT|CONFIG)$/),
      });
    }
  });
});

describe('rollback', () => {
  it('goes to known-good, else to previous, and never to what it left', async () => {
    const { server, service } = await open();
    for (const adapterVersion of ['v1.0', 'v1.1', 'v1.3']) await service.activate({ adapterVersion }, caller);
    const promoted = await service.promote({ adapterVersion: 'v1.0', reason: 'a week without complaints' }, caller);
    expect(promoted).toMatchObject({ knownGood: 'v1.0', active: 'v1.3' });
    const first = await service.rollback({ reason: 'clicks fell' }, caller);
    expect(first).toMatchObject({ fromVersion: 'v1.3', toVersion: 'v1.0', withinTarget: true });
    expect(first.status).toMatchObject({ active: 'v1.0', quarantined: ['v1.3'] });
    expect(heldBy(server)).toEqual({ 'default@v1.0': 1 });
    await expect(service.rollback({ adapterVersion: 'v1.3' }, caller)).rejects.toEqual(
      coded('ERR_VERSION_QUARANTINED'),
    );
    expect(await service.rollback({}, caller)).toMatchObject({ fromVersion: 'v1.0', toVersion: 'v1.1' });
    await expect(service.rollback({}, caller)).rejects.toEqual(coded('ERR_NO_ROLLBACK_TARGET'));
    expect(await service.rollback({ adapterVersion: 'v1.2' }, caller)).toMatchObject({ toVersion: 'v1.2' });
    expect(heldBy(server)).toEqual({ 'default@v1.2': 3 });
    await expect(service.rollback({ adapterVersion: '' }, caller)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT'));
  });

  it('stands where no replica can be reached, which are brought there when they can', async () => {
    const { server, service, versions } = await open({ overrides: { 'serving.reconcileSeconds': 0.05 } });
    for (const adapterVersion of ['v1.0', 'v1.1']) await service.activate({ adapterVersion }, caller);
    await server.die();
    const result = await service.rollback({ reason }, caller);
    expect(result).toMatchObject({ toVersion: 'v1.0', withinTarget: false, status: { active: 'v1.0' } });
    expect(result.status.serving[0].error).toContain('ECONNREFUSED');
    await server.listen();
    await vi.waitFor(() => expect(heldBy(server)).toEqual({ 'default@v1.0': 1 }), { timeout: 10_000 });
    expect((await versions.state()).aliases.active).toBe('v1.0');
  });

  it('is taken back whole where the server refuses: nothing is in quarantine', async () => {
    const { server, service, versions } = await open();
    for (const adapterVersion of ['v1.0', 'v1.1']) await service.activate({ adapterVersion }, caller);
    const before = await versions.state();
    server.faults.push({ on: 'POST /v1/load_lora_adapter', kind: 'status', status: 400, body: 'no' });
    await expect(service.rollback({ reason }, caller)).rejects.toEqual(coded('ERR_SERVING_REFUSED'));
    expect({ ...(await versions.state()), sequence: 0 }).toEqual({ ...before, sequence: 0 });
    expect(heldBy(server)).toEqual({ 'default@v1.1': 2 });
  });
});

describe('the kill switch', () => {
  it('has the base answer before it answers, dominates every path, and is lifted by an explicit version', async () => {
    const { server, service } = await open();
    for (const adapterVersion of ['v1.0', 'v1.1']) await service.activate({ adapterVersion }, caller);
    const result = await service.disable({ reason: 'it insults people' }, caller);
    expect(heldBy(server)).toEqual({});
    expect(result).toMatchObject({ fromVersion: 'v1.1', toVersion: null, withinTarget: true });
    expect(result.status).toMatchObject({ enabled: false, active: null, previous: 'v1.0', quarantined: ['v1.1'] });
    expect(result.status.serving).toMatchObject([{ version: null, settled: true }]);
    expect(result.status.history[0]).toMatchObject({ operation: 'disable', version: 'v1.1', actor: 'ops' });
    const paths = [
      () => service.activate({ adapterVersion: 'v1.0' }, caller),
      () => service.activate({ adapterVersion: 'v1.0', override: true, reason }, caller),
      () => service.rollback({}, caller),
      () => service.rollback({ adapterVersion: 'v1.0' }, caller),
    ];
    for (const path of paths) await expect(path()).rejects.toEqual(coded('ERR_ADAPTER_DISABLED'));
    await expect(service.enable({} as never, caller)).rejects.toEqual(coded('ERR_INVALID_ARGUMENT', 'adapterVersion'));
    await expect(service.enable({ adapterVersion: 'v1.1' }, caller)).rejects.toEqual(coded('ERR_VERSION_QUARANTINED'));
    expect(await service.disable({ reason: 'again' }, caller)).toMatchObject({ fromVersion: null });
    expect(heldBy(server)).toEqual({});
    const enabled = await service.enable({ adapterVersion: 'v1.0', reason: 'mended' }, caller);
    expect(enabled.status).toMatchObject({ enabled: true, active: 'v1.0' });
    expect(heldBy(server)).toEqual({ 'default@v1.0': 1 });
  });

  it('can be told what it is meant for', async () => {
    const { server, service } = await open();
    await service.activate({ adapterVersion: 'v1.1' }, caller);
    for (const request of [{ adapterVersion: 'v1.0' }, { expect: 'v1.0' }, { expect: null }]) {
      await expect(service.disable(request, caller)).rejects.toEqual(coded('ERR_VERSION_CONFLICT'));
    }
    expect(heldBy(server)).toEqual({ 'default@v1.1': 2 });
    await service.disable({ adapterVersion: 'v1.1' }, caller);
    await service.disable({ adapterVersion: 'v1.1' }, caller);
    expect(heldBy(server)).toEqual({});
  });

  it('holds in the store where a replica cannot be told, and reaches it when it can', async () => {
    const [near, far] = [await startVllm(), await startVllm()];
    const { service } = await openWithServers([near, far], { overrides: { 'serving.reconcileSeconds': 0.05 } });
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    // it goes on answering with the adapter, and nobody can tell it not to
    far.faults.push({ on: 'GET /v1/models', kind: 'before', times: 10_000 });
    const result = await service.disable({ reason }, caller);
    expect(heldBy(near)).toEqual({});
    expect(heldBy(far)).toEqual({ 'default@v1.0': 1 });
    expect(result).toMatchObject({ withinTarget: false, status: { enabled: false } });
    expect(result.status.serving[1]).toMatchObject({ settled: false, error: expect.stringContaining(far.url) });
    far.faults.length = 0;
    await vi.waitFor(() => expect(heldBy(far)).toEqual({}), { timeout: 10_000 });
  });

  it('does not wait for an activation that is under way, which then comes to nothing', async () => {
    const { server, service, versions } = await open();
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    server.faults.push({ on: 'POST /v1/load_lora_adapter', kind: 'slow' });
    const activation = service.activate({ adapterVersion: 'v1.1' }, caller).catch((error) => error);
    while ((await versions.state()).aliases.active !== 'v1.1') await delay(1);
    await service.disable({ reason }, caller);
    expect(await activation).toMatchObject({ code: 'ERR_ADAPTER_DISABLED' });
    expect(heldBy(server)).toEqual({});
    expect(await versions.state()).toMatchObject({ disabled: true, aliases: { previous: 'v1.0' } });
  });

  it('is kept over a restart, and by every service with the same store', async () => {
    const overrides = { 'serving.reconcileSeconds': 0.05 };
    const { server, service, config, folder } = await open({ overrides });
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    const other = await openWithServers([await startVllm()], { versions: 0, folder, overrides });
    const there = async () => (await other.service.loraStatus()).serving[0].version;
    await vi.waitFor(async () => expect(await there()).toBe('v1.0'), { timeout: 10_000 });
    await service.disable({ reason }, caller);
    await expect(other.service.activate({ adapterVersion: 'v1.1' }, caller)).rejects.toEqual(
      coded('ERR_ADAPTER_DISABLED'),
    );
    await vi.waitFor(async () => expect(await there()).toBeNull(), { timeout: 10_000 });
    await service.close();
    server.adapters.set('default@v1.0', { path: '/gone', effect: 1 });
    const again = await openService(config);
    expect(await again.loraStatus()).toMatchObject({ enabled: false, active: null });
    await vi.waitFor(() => expect(heldBy(server)).toEqual({}), { timeout: 10_000 });
  });
});

describe('the adapter as a whole', () => {
  it('is restored to what the store says when the service starts', async () => {
    const { server, service, config } = await open();
    await service.activate({ adapterVersion: 'v1.1' }, caller);
    await service.close();
    await server.die();
    await server.listen();
    expect(heldBy(server)).toEqual({});
    await openService(config);
    await vi.waitFor(() => expect(heldBy(server)).toEqual({ 'default@v1.1': 2 }), { timeout: 10_000 });
  });

  it('begins with lora.initialVersion, once, and by the rules', async () => {
    const errors: string[] = [];
    const logger = { ...silentLogger, error: (message: string) => void errors.push(message) };
    const overrides = { 'lora.initialVersion': 'v1.2' };
    const { server, service, config, versions } = await open({ overrides, logger });
    expect(await service.loraStatus()).toMatchObject({ active: 'v1.2', knownGood: null });
    expect(heldBy(server)).toEqual({ 'default@v1.2': 3 });
    expect((await versions.history(1))[0]).toMatchObject({ actor: 'configuration', reason: 'lora.initialVersion' });
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    await service.close();
    const again = await openService(config, logger);
    expect((await again.loraStatus()).active).toBe('v1.0');
    await again.disable({ reason }, caller);
    await again.close();
    expect((await (await openService(config, logger)).loraStatus()).active).toBeNull();
    expect(errors).toEqual([]);
    await open({ overrides: { 'lora.initialVersion': 'v7.0' }, logger });
    expect(errors).toEqual([expect.stringContaining('v7.0 is not activated')]);
  });

  it('is not served at all with lora.enabled false, whatever the store says', async () => {
    const { server, service, folder } = await open();
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    await service.close();
    const off = await openWithServers([server], { folder, versions: 0, overrides: { 'lora.enabled': false } });
    await vi.waitFor(() => expect(heldBy(server)).toEqual({}), { timeout: 10_000 });
    expect(await off.service.loraStatus()).toMatchObject({ enabled: false, active: 'v1.0' });
    for (const operation of ['activate', 'enable', 'rollback'] as const) {
      const refused = off.service[operation]({ adapterVersion: 'v1.1' }, caller);
      await expect(refused, operation).rejects.toEqual(coded('ERR_INVALID_STATE', 'lora.enabled'));
    }
    expect((await off.service.health()).components.serving).toMatchObject({ status: 'ok' });
  });

  it('has a history without gaps, however it was asked for, and a store in order', async () => {
    const { service, versions } = await open();
    await service.loraStatus();
    for (let i = 0; i < 60; i++) await versions.setAlias('candidate', `v1.${i % 4}`);
    await Promise.all([service.loraStatus(), versions.setAlias('candidate', null), service.loraStatus()]);
    for (let i = 0; i < 50; i++) await versions.setAlias('candidate', `v1.${i % 4}`);
    const { history } = await service.loraStatus();
    const expected = (await versions.history(100)).map(({ at, operation, version }) => ({ at, operation, version }));
    expect(history.map(({ at, operation, version }) => ({ at, operation, version }))).toEqual(expected);
    const store = (await service.adapters()).map(({ version }) => version);
    expect(store).toEqual(['v1.3', 'v1.2', 'v1.1', 'v1.0']);
  });
});
