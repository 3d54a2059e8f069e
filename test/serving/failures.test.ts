/** What the HTTP drivers make of servers that are slow, fail midway, die, lie, or answer with something else. */
import { mkdtempSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { writePeft } from '../../src/adapter/formats/peft-writer.js';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import { silentLogger } from '../../src/logger.js';
import type { ControlPlaneDriver } from '../../src/serving/control-plane-driver.js';
import { ServingAnswerError } from '../../src/serving/http-client.js';
import { MultiLoraDriver } from '../../src/serving/multi-lora-driver.js';
import {
  HTTP_FIXTURES,
  type HttpFixture,
  modulesOf,
  NAME,
  openControlPlane,
  openLlamaCpp,
  openMultiLora,
  TOKEN,
} from './fixtures.js';

const error = (code: string, message = '') =>
  expect.objectContaining({ name: 'LorakeetError', code, message: expect.stringContaining(message) });

/** The versions are loaded first, so that llama.cpp, too, has only its scales to change. */
async function opened(open: () => Promise<HttpFixture>): Promise<HttpFixture> {
  const fixture = await open();
  const { driver, name, source } = fixture;
  for (const version of ['v1.1', 'v1.0']) await driver.deploy({ name, version, ...source(version) });
  return fixture;
}

describe.each(Object.entries(HTTP_FIXTURES))('the driver of %s', (kind, open) => {
  const withServer = (body: (fixture: HttpFixture, deploy: () => Promise<unknown>) => Promise<void>) => async () => {
    const fixture = await opened(open);
    const { driver, name, source } = fixture;
    try {
      await body(fixture, () => driver.deploy({ name, version: 'v1.1', ...source('v1.1') }));
    } finally {
      await fixture.close();
    }
  };

  it(
    'gets there though connections break, before and after the deed',
    withServer(async ({ server, load, list, driver, name, answeredBy }, deploy) => {
      server.faults.push({ on: load, kind: 'before' }, { on: load, kind: 'after' }, { on: list, kind: 'before' });
      await deploy();
      expect(await answeredBy(name)).toBe('v1.1');
      server.faults.push({ on: list, kind: 'before', times: 2 });
      expect(await driver.status(name)).toMatchObject({ version: 'v1.1', settled: true });
    }),
  );

  it(
    'gets there though the server is busy, and waits as long as it says',
    withServer(async ({ server, load, answeredBy, name }, deploy) => {
      const busy = { on: load, kind: 'status', status: 429, headers: { 'retry-after': '0' } } as const;
      server.faults.push(busy, { ...busy, status: 503 }, { on: load, kind: 'slow' });
      await deploy();
      expect(await answeredBy(name)).toBe('v1.1');
    }),
  );

  it(
    'gives up on a server that stays busy, and goes on with the version before',
    withServer(async ({ server, load, answeredBy, name }, deploy) => {
      server.faults.push({ on: load, kind: 'status', status: 503, times: 4, body: 'warming\n up' });
      await expect(deploy()).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE', 'status 503: "warming up"'));
      expect(server.faults).toEqual([]);
      expect(await answeredBy(name)).toBe('v1.0');
    }),
  );

  it(
    'does not ask again where the server refuses, and tells its status and its words, without the token',
    withServer(async ({ server, load, answeredBy, name }, deploy) => {
      const body = `no: ${TOKEN} ${'x'.repeat(1000)}`;
      server.faults.push({ on: load, kind: 'status', status: 500, body });
      const before = server.requests.filter((request) => request === load).length;
      const refused = await deploy().then(
        () => new Error('it was not refused'),
        (error: Error & { cause: ServingAnswerError }) => error,
      );
      expect(refused).toEqual(error('ERR_SERVING_REFUSED', 'status 500: "no: *** xxx'));
      expect(refused.cause).toBeInstanceOf(ServingAnswerError);
      expect(refused.cause).toMatchObject({ status: 500 });
      expect(refused.message.length).toBeLessThan(500);
      expect(inspect(refused, { depth: 9 })).not.toContain(TOKEN);
      expect(server.requests.filter((request) => request === load).length - before).toBe(1);
      expect(await answeredBy(name)).toBe('v1.0');
    }),
  );

  it(
    'notices a server that agrees and does nothing',
    withServer(async ({ server, load, answeredBy, name }, deploy) => {
      server.faults.push({ on: load, kind: 'lie', body: '{"success": true, "result": "ok"}' });
      await expect(deploy()).rejects.toEqual(error('ERR_SERVING_MISMATCH', 'agreed'));
      expect(await answeredBy(name)).toBe('v1.0');
    }),
  );

  it(
    'notices answers in a form that they should not have',
    withServer(async ({ server, list, driver, name, answeredBy }, deploy) => {
      const bodies = [
        '<html>',
        '',
        '{"data": [{"id": 7}]}',
        '{"state": {"active_adapter": {"path": 7}}}',
        '[{"id": 0}]',
      ];
      for (const body of bodies.filter((one) => !isRight(kind, one))) {
        server.faults.push({ on: list, kind: 'garbage', body });
        await expect(driver.status(name)).rejects.toEqual(error('ERR_SERVING_MISMATCH', list.slice('GET '.length)));
        server.faults.push({ on: list, kind: 'garbage', body });
        await expect(deploy()).rejects.toEqual(error('ERR_SERVING_MISMATCH', list.slice('GET '.length)));
      }
      expect(await answeredBy(name)).toBe('v1.0');
    }),
  );

  it(
    'ends in time where the server does not answer, or the caller aborts',
    withServer(async ({ server, list, driver, name, answeredBy }, deploy) => {
      server.faults.push({ on: list, kind: 'hang' });
      const late = driver.disable(name, { timeoutMs: 50 });
      await expect(late).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE', 'not done within 50 ms'));
      server.faults.push({ on: list, kind: 'hang' });
      const caller = new AbortController();
      const aborted = driver.status(name, { signal: caller.signal });
      setTimeout(() => caller.abort(new Error('why')), 20);
      await expect(aborted).rejects.toEqual(error('ERR_ABORTED'));
      await deploy();
      expect(await answeredBy(name)).toBe('v1.1');
    }),
  );

  it(
    'tells that a server is gone, and what is served when it is back',
    withServer(async ({ server, driver, name }, deploy) => {
      await server.die();
      await expect(deploy()).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE', 'ECONNREFUSED'));
      await expect(driver.status(name)).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE', 'ECONNREFUSED'));
      await server.listen();
      const { version } = await driver.status(name);
      // a control plane keeps its state in a file
      expect(version).toBe(kind.startsWith('a control plane') ? 'v1.0' : null);
    }),
  );

  it(
    'tells that its token is not the right one',
    withServer(async ({ server, driver, name }, deploy) => {
      server.token = 'another';
      await expect(driver.status(name)).rejects.toEqual(error('ERR_SERVING_REFUSED', 'status 401'));
      await expect(deploy()).rejects.toEqual(error('ERR_SERVING_REFUSED', 'status 401'));
      server.token = TOKEN;
    }),
  );

  it('refuses options that make no sense, without telling what is secret', async () => {
    const fixture = await open();
    const wrong: [string, object][] = [
      ['options.url', { url: 'ftp://a' }],
      ['options.url', { url: 'http://user:secret@a' }],
      ['options.url', { url: 'secret' }],
      ['options.token', { token: 'secret\n' }],
      ['options.timeoutMs', { timeoutMs: -1 }],
      ['options.attempts', { attempts: 0 }],
      ['options.retryDelayMs', { retryDelayMs: Number.NaN }],
      ['options.strange', { strange: 1 }],
    ];
    for (const [name, options] of wrong) {
      expect(() => fixture.driverWith(options)).toThrow(error('ERR_INVALID_CONFIG', name));
      expect(() => fixture.driverWith(options)).not.toThrow(/secret/);
    }
    await fixture.close();
  });
});

function isRight(kind: string, body: string): boolean {
  if (kind.startsWith('a control plane')) return body.startsWith('{"data"');
  return false;
}

describe('MultiLoraDriver', () => {
  it('has version after version listed, one at a time, and routes to it', async () => {
    const { driver, server, close, source } = await openMultiLora('sglang');
    const route = () => (driver as MultiLoraDriver).route(NAME);
    expect(route()).toBeUndefined();
    await driver.status(NAME);
    expect(route()).toBe('meta-llama/Llama-3.2-1B');
    for (const version of ['v1.0', 'v1.1']) {
      expect(await driver.deploy({ name: NAME, version, ...source(version) })).toMatchObject({ loaded: [version] });
      expect([...server.adapters.keys()]).toEqual([`${NAME}@${version}`]);
      expect(route()).toBe(`meta-llama/Llama-3.2-1B:${NAME}@${version}`);
    }
    // which the server has lost
    await server.die();
    await server.listen();
    await driver.status(NAME);
    expect(route()).toBe('meta-llama/Llama-3.2-1B');
    await close();
  });

  it('leads requests to the base model at once when it disables, even if the server is gone', async () => {
    const { driver, server, close, source } = await openMultiLora('vllm');
    await driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    await server.die();
    const disabled = driver.disable(NAME);
    expect((driver as MultiLoraDriver).route(NAME)).toBe('meta-llama/Llama-3.2-1B');
    await expect(disabled).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE'));
    await close();
  });

  it('serves the new version though the old one cannot be unloaded, says so, and makes up for it', async () => {
    const { driver, driverWith, server, close, source } = await openMultiLora('vllm');
    await driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    const warnings: string[] = [];
    const warned = driverWith({
      logger: { ...silentLogger, warn: (message: string) => warnings.push(message) },
    } as never);
    server.faults.push({ on: 'POST /v1/unload_lora_adapter', kind: 'status', status: 500, body: 'Failed to remove' });
    const status = await warned.deploy({ name: NAME, version: 'v1.1', ...source('v1.1') });
    expect(status).toEqual({ name: NAME, version: 'v1.1', loaded: ['v1.0', 'v1.1'], settled: false });
    expect(warnings).toEqual([expect.stringContaining('Failed to remove')]);
    const again = await warned.deploy({ name: NAME, version: 'v1.1', ...source('v1.1') });
    expect(again).toEqual({ name: NAME, version: 'v1.1', loaded: ['v1.1'], settled: true });
    // of two that are loaded, a new driver does not guess
    await driver.deploy({ name: 'other', version: 'v1.0', ...source('v1.0') });
    const adapter = server.adapters.get('other@v1.0');
    if (adapter) server.adapters.set('other@v1.1', adapter);
    expect(await driverWith({}).status('other')).toMatchObject({ version: null, settled: false });
    await close();
  });

  it('loads anew what is loaded under the same name from another path', async () => {
    const { driver, server, close, source, answeredBy } = await openMultiLora('vllm');
    server.adapters.set(`${NAME}@v1.0`, { path: '/elsewhere', effect: 77 });
    await driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    expect(await answeredBy(NAME)).toBe('v1.0');
    await close();
  });

  it('takes it for loaded when somebody else has loaded the same meanwhile', async () => {
    for (const dialect of ['vllm', 'sglang', 'max', 'mistral.rs'] as const) {
      const { driver, driverWith, close, source, answeredBy } = await openMultiLora(dialect);
      const request = { name: NAME, version: 'v1.0', ...source('v1.0') };
      await Promise.all([driver.deploy(request), driverWith({}).deploy(request)]);
      expect(await answeredBy(NAME)).toBe('v1.0');
      await close();
    }
  });

  it('says what switches the routes on where a server does not know them', async () => {
    const { driver, server, close, source } = await openMultiLora('vllm');
    server.faults.push({
      on: 'POST /v1/load_lora_adapter',
      kind: 'status',
      status: 404,
      body: '{"detail":"Not Found"}',
    });
    const refused = driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    await expect(refused).rejects.toEqual(error('ERR_SERVING_REFUSED', 'VLLM_ALLOW_RUNTIME_LORA_UPDATING=1'));
    await close();
  });

  it('refuses what it cannot take before it asks the server', async () => {
    const { driver, server, close, source } = await openMultiLora('vllm');
    const limited = new MultiLoraDriver({ dialect: 'vllm', url: server.url, token: TOKEN, maxRank: 1 });
    const folder = join(import.meta.dirname, '../interchange');
    const modules = modulesOf('v1.0');
    const [[path, module]] = modules;
    const wide = { ...module, rank: 2, loraA: new Float32Array(8), loraB: new Float32Array(8) };
    const request = { name: NAME, version: 'v1.0' };
    await expect(driver.deploy({ ...request, bytes: new Uint8Array(9) })).rejects.toEqual(
      error('ERR_FORMAT_UNSUPPORTED', 'request.bytes'),
    );
    await expect(limited.deploy({ ...request, ...source('v1.0') })).rejects.toEqual(
      error('ERR_INVALID_CONFIG', 'options.folder'),
    );
    await expect(limited.deploy({ ...request, folder })).rejects.toEqual(error('ERR_FILE_ACCESS'));
    const ranked = driverWithRank(server.url);
    await expect(ranked.deploy({ ...request, modules: new Map([[path, wide]]) })).rejects.toEqual(
      error('ERR_ADAPTER_MISMATCH', 'got rank 2, expected at most 1'),
    );
    expect(server.requests).toEqual([]);
    await close();
  });
});

const driverWithRank = (url: string) =>
  new MultiLoraDriver({ dialect: 'vllm', url, token: TOKEN, maxRank: 1, folder: import.meta.dirname });

describe('LlamaCppDriver', () => {
  it('puts right what a server does that applies all adapters at its start', async () => {
    const { driver, server, close, source, answeredBy } = await openLlamaCpp();
    for (const version of ['v1.0', 'v1.1']) await driver.deploy({ name: NAME, version, ...source(version) });
    await server.die();
    server.withoutApply = false;
    await server.startAgain();
    expect(await answeredBy(NAME)).toBe('v1.0 and v1.1');
    expect(await driver.status(NAME)).toEqual({ name: NAME, version: null, loaded: ['v1.0', 'v1.1'], settled: false });
    await driver.deploy({ name: NAME, version: 'v1.1', ...source('v1.1') });
    expect(await answeredBy(NAME)).toBe('v1.1');
    await close();
  });

  it('says how to start a server that it cannot start anew, and has the file ready', async () => {
    const { driverWith, server, folder, close, source } = await openLlamaCpp();
    const driver = driverWith({ restart: undefined } as never);
    const file = join(folder, `${NAME}/v1.0.gguf`);
    const refused = driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    await expect(refused).rejects.toEqual(error('ERR_SERVING_REFUSED', `--lora-scaled ${file}:0`));
    expect((await readFile(file)).subarray(0, 4).toString()).toBe('GGUF');
    await server.die();
    await server.start([file]);
    expect(await driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') })).toMatchObject({ version: 'v1.0' });
    await close();
  });

  it('tells that a restart has failed', async () => {
    const { driverWith, close, source } = await openLlamaCpp();
    const driver = driverWith({ restart: () => Promise.reject(new Error('no such unit')) } as never);
    const failed = driver.deploy({ name: NAME, version: 'v1.0', ...source('v1.0') });
    await expect(failed).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE', 'no such unit'));
    await close();
  });
});

describe('ControlPlaneDriver', () => {
  it('has the control plane go back to what it served before', async () => {
    const { driver, server, close, source } = await openControlPlane();
    const plane = driver as ControlPlaneDriver;
    await expect(plane.rollbackToPrevious()).rejects.toEqual(error('ERR_NO_ROLLBACK_TARGET', 'No previous adapter'));
    for (const version of ['v1.0', 'v1.1']) await driver.deploy({ name: NAME, version, ...source(version) });
    expect(await plane.rollbackToPrevious()).toMatchObject({ version: 'v1.0' });
    expect(await plane.rollbackToPrevious()).toMatchObject({ version: 'v1.1' });
    // it goes to and fro: to ask again would undo it
    server.faults.push({ on: 'POST /internal/lora/rollback', kind: 'after' });
    await expect(plane.rollbackToPrevious()).rejects.toEqual(error('ERR_SERVING_UNAVAILABLE'));
    expect(await driver.status(NAME)).toMatchObject({ version: 'v1.0' });
    await close();
  });

  it('disables what it finds served, also if it has never deployed anything', async () => {
    const { driver, server, close, source, answeredBy } = await openControlPlane();
    const folder = mkdtempSync(join(tmpdir(), 'lorakeet-serving-'));
    await writePeft(folder, source('v1.0').modules as LoraModules);
    await fetch(`${server.url}/internal/lora/reload`, {
      method: 'POST',
      headers: { authorization: `Bearer ${TOKEN}` },
      body: JSON.stringify({ adapter_path: folder, adapter_version: 'by-hand' }),
    });
    expect(await driver.status(NAME)).toMatchObject({ version: null, settled: false });
    expect(await answeredBy(NAME)).toBe('v1.0');
    await driver.disable(NAME);
    expect(await answeredBy(NAME)).toBeNull();
    expect(await driver.status(NAME)).toMatchObject({ version: null, settled: true });
    rmSync(folder, { recursive: true });
    await close();
  });

  it('serves one adapter only', async () => {
    const { driver, close, source } = await openControlPlane();
    const other = { name: 'other', version: 'v1.0', ...source('v1.0') };
    await expect(driver.deploy(other)).rejects.toEqual(error('ERR_INVALID_ARGUMENT', NAME));
    await expect(driver.disable('other')).rejects.toEqual(error('ERR_INVALID_ARGUMENT', NAME));
    await close();
  });
});
