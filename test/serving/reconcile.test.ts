/** Servers brought to what a store of versions says, also while both change. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { encodePeft } from '../../src/adapter/formats/peft-writer.js';
import { silentLogger } from '../../src/logger.js';
import { reconcile, sourceOf } from '../../src/serving/reconcile.js';
import { Reconciler } from '../../src/serving/reconciler.js';
import { MemoryVersionStore } from '../../src/stores/memory.js';
import { AdapterVersions } from '../../src/versions/adapter-versions.js';
import { type HttpFixture, modulesOf, NAME, openMultiLora } from './fixtures.js';

const reason = 'a test';
let fixture: HttpFixture;
let versions: AdapterVersions;

async function publish(version: string): Promise<void> {
  const { config, weights } = encodePeft(modulesOf(version));
  const files = { 'adapter_config.json': config, 'adapter_model.safetensors': weights };
  await versions.publish({ files });
  await versions.approve(version);
}

beforeEach(async () => {
  fixture = await openMultiLora('vllm');
  versions = new AdapterVersions(new MemoryVersionStore(), NAME);
  for (const version of ['v1.0', 'v1.1', 'v1.2']) await publish(version);
});
afterEach(() => fixture.close());

const answered = () => fixture.answeredBy(NAME);
const changes = () => fixture.server.requests.filter((route) => route.includes('load_lora_adapter')).length;

describe('reconcile', () => {
  it('follows activation, rollback, kill switch and its lifting, and does nothing where nothing is to be done', async () => {
    const { driver } = fixture;
    const bring = async (version: string | null, changed: boolean) => {
      const result = await reconcile(versions, driver);
      expect(result).toMatchObject({ status: { version, settled: true }, changed });
      expect(result.sequence).toBe((await versions.state()).sequence);
      expect(await answered()).toBe(version);
      const before = changes();
      expect(await reconcile(versions, driver)).toMatchObject({ changed: false });
      expect(changes()).toBe(before);
    };
    await bring(null, false);
    await versions.activate('v1.0');
    await bring('v1.0', true);
    await versions.activate('v1.1');
    await bring('v1.1', true);
    await versions.rollback({ reason });
    await bring('v1.0', true);
    await versions.disable({ reason });
    await bring(null, true);
    await versions.enable('v1.2', { reason });
    await bring('v1.2', true);
  });

  it('puts right a server that was restarted, and a driver that was', async () => {
    await versions.activate('v1.0');
    await reconcile(versions, fixture.driver);
    await fixture.server.die();
    await fixture.server.listen();
    expect(await reconcile(versions, fixture.driver)).toMatchObject({ changed: true });
    expect(await answered()).toBe('v1.0');
    const later = fixture.reopen?.() ?? fixture.driver;
    expect(await reconcile(versions, later)).toMatchObject({ changed: false });
    expect(await answered()).toBe('v1.0');
    await versions.disable({ reason });
    await reconcile(versions, fixture.reopen?.() ?? later);
    expect(await answered()).toBeNull();
  });

  it('follows what is activated while it is at work', async () => {
    await versions.activate('v1.0');
    const meanwhile = ['v1.1', 'v1.2'];
    const result = await reconcile(versions, fixture.driver, {
      load: async (loaded) => {
        const next = meanwhile.shift();
        if (next) await versions.activate(next);
        return sourceOf(loaded);
      },
    });
    expect(result.status.version).toBe('v1.2');
    expect(await answered()).toBe('v1.2');
    // what was overtaken before it was loaded has never been
    expect(changes()).toBe(1);
  });

  it('never serves again what the kill switch has stopped, though it had begun before', async () => {
    const { driver } = fixture;
    await versions.activate('v1.0');
    let seen: string | null | undefined;
    await reconcile(versions, driver, {
      load: async (loaded) => {
        await versions.disable({ reason });
        await driver.disable(NAME);
        seen = await answered();
        return sourceOf(loaded);
      },
    });
    expect(seen).toBeNull();
    expect(await answered()).toBeNull();
    expect(changes()).toBe(0);
  });

  it('lets the kill switch stop a deploy under way', async () => {
    const { driver, server } = fixture;
    await versions.activate('v1.0');
    server.faults.push({ on: fixture.load, kind: 'slow' });
    const bringing = reconcile(versions, driver);
    while (!server.requests.includes(fixture.load)) await new Promise(setImmediate);
    await versions.disable({ reason });
    await driver.disable(NAME);
    expect(await answered()).toBeNull();
    expect(await bringing).toMatchObject({ status: { version: null, settled: true } });
    expect(await answered()).toBeNull();
  });

  it('follows a version that is deleted while it is being read', async () => {
    await versions.activate('v1.0');
    const result = await reconcile(versions, fixture.driver, {
      load: async (loaded) => {
        if (loaded.version === 'v1.0') {
          await versions.activate('v1.1');
          throw new Error('v1.0 cannot be read any more');
        }
        return sourceOf(loaded);
      },
    });
    expect(result.status.version).toBe('v1.1');
  });

  it('gives up on a store that does not come to rest', async () => {
    await versions.activate('v1.0');
    const restless = reconcile(versions, fixture.driver, {
      load: async (loaded) => {
        await versions.activate(loaded.version === 'v1.0' ? 'v1.1' : 'v1.0');
        return sourceOf(loaded);
      },
    });
    await expect(restless).rejects.toMatchObject({ code: 'ERR_VERSION_CONFLICT' });
  });

  it('rejects as the driver does, and as the weights are read', async () => {
    await versions.activate('v1.0');
    fixture.server.faults.push({ on: fixture.load, kind: 'status', status: 500 });
    await expect(reconcile(versions, fixture.driver)).rejects.toMatchObject({ code: 'ERR_SERVING_REFUSED' });
    await versions.publish({ files: { 'notes.txt': new Uint8Array(1) } });
    await versions.activate('v1.3', { override: true, reason });
    const unreadable = reconcile(versions, fixture.driver);
    await expect(unreadable).rejects.toMatchObject({ code: 'ERR_FORMAT_UNSUPPORTED' });
    await versions.publish({ files: { 'adapter.bin': new Uint8Array(3) } });
    expect(await sourceOf(await versions.load('v1.4'))).toEqual({ bytes: new Uint8Array(3) });
    const folder = Object.fromEntries((await versions.load('v1.0')).files);
    await versions.publish({ files: { ...folder, 'adapter.bin': new Uint8Array(3) } });
    const both = await versions.load('v1.5');
    expect(Object.keys(await sourceOf(both))).toEqual(['modules']);
    expect(await sourceOf(both, { exact: true })).toEqual({ bytes: new Uint8Array(3) });
  });

  it('brings many drivers of one server to the same, whatever happens in between', async () => {
    const drivers = [fixture.driver, ...[1, 2].map(() => fixture.driverWith({}))];
    const all = () => Promise.allSettled(drivers.map((driver) => reconcile(versions, driver)));
    for (const version of ['v1.0', 'v1.1', 'v1.2', 'v1.1']) {
      await versions.activate(version);
      await all();
    }
    for (const driver of drivers) await reconcile(versions, driver);
    expect(await answered()).toBe('v1.1');
    await versions.disable({ reason });
    for (const driver of drivers) await reconcile(versions, driver);
    expect(await answered()).toBeNull();
  });
});

describe('Reconciler', () => {
  it('runs round after round until it is stopped, and one more for those who ask', async () => {
    const messages: string[] = [];
    const logger = {
      ...silentLogger,
      info: (text: string) => messages.push(text),
      warn: (text: string) => messages.push(text),
    };
    const reconciler = new Reconciler(versions, fixture.driver, { everyMs: 1, logger });
    expect(reconciler.last).toBeUndefined();
    await versions.activate('v1.0');
    reconciler.start();
    reconciler.start();
    const [one, two, three] = await Promise.all([reconciler.now(), reconciler.now(), reconciler.now()]);
    expect(two).toBe(three);
    expect([one.status.version, two.status.version]).toEqual(['v1.0', 'v1.0']);
    await versions.activate('v1.1');
    while (reconciler.last?.result?.status.version !== 'v1.1') await new Promise(setImmediate);
    fixture.server.faults.push({ on: fixture.list, kind: 'garbage', times: 3 });
    while (fixture.server.faults.length > 0) await new Promise(setImmediate);
    await reconciler.now();
    await reconciler.stop();
    expect(reconciler.last?.result?.status.version).toBe('v1.1');
    const { length } = fixture.server.requests;
    await expect(reconciler.now()).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    expect(() => reconciler.start()).toThrow(/stopped/);
    expect(fixture.server.requests.length).toBe(length);
    expect(messages.filter((text) => text.endsWith('serves team/feed: v1.1'))).toHaveLength(1);
    expect(messages.filter((text) => text.includes('<html>'))).toHaveLength(1);
  });
});
