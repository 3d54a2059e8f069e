import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Agent, request as send } from 'node:http';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import type { LearningService } from '../../../src/service/engine/operations.js';
import { type ServedService, serve } from '../../../src/service/http/serve.js';
import { root } from '../../support/imports.js';
import { configOf, OPERATE } from './apps.js';
import { stubService } from './stub-service.js';

const served: ServedService[] = [];
afterEach(async () => {
  await Promise.all(served.splice(0).map((one) => one.close()));
});

async function start(overrides: Record<string, unknown> = {}, methods: Partial<LearningService> = {}) {
  const service = stubService(methods);
  const config = await configOf({ 'service.port': 0, 'service.shutdownTimeoutSeconds': 5, ...overrides });
  const one = await serve(service, config, { logger: silentLogger, signals: false });
  served.push(one);
  return { service, ...one, port: Number(new URL(one.url).port) };
}

const closes = (service: ReturnType<typeof stubService>) =>
  service.calls.filter(({ method }) => method === 'close').length;

describe('serve', () => {
  it('listens on this machine only without tokens, and on all addresses with them', async () => {
    const open = await start({ 'service.tokens': [] });
    expect(open.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
    expect((await fetch(`${open.url}/jobs`)).status).toBe(200);
    const guarded = await start();
    expect(guarded.url).toMatch(/^http:\/\/0\.0\.0\.0:\d+$/);
    expect((await fetch(`${guarded.url}/jobs`)).status).toBe(401);
    expect((await fetch(`${guarded.url}/jobs`, { headers: OPERATE })).status).toBe(200);
  });

  it('refuses another address without tokens, whoever made the configuration', async () => {
    const config = await configOf({ 'service.tokens': [] });
    for (const host of ['0.0.0.0', '::', '10.0.0.1', 'lorakeet.example']) {
      const opened = serve(stubService(), { ...config, service: { ...config.service, host } });
      await expect(opened).rejects.toMatchObject({
        code: 'ERR_INVALID_CONFIG',
        message: expect.stringContaining(host),
      });
    }
  });

  it('says so where the port is taken, and leaves the service open', async () => {
    const other = createServer();
    await new Promise<void>((done) => other.listen(0, '127.0.0.1', done));
    const { port } = other.address() as { port: number };
    const service = stubService();
    const config = await configOf({ 'service.port': port, 'service.host': '127.0.0.1' });
    const opened = serve(service, config, { logger: silentLogger, signals: false });
    await expect(opened).rejects.toMatchObject({
      code: 'ERR_INVALID_CONFIG',
      message: expect.stringContaining(`${port}`),
    });
    expect(closes(service)).toBe(0);
    await new Promise((done) => other.close(done));
  });

  it('finishes requests under way before it closes the service, and takes no other', async () => {
    let release = () => {};
    let begun = () => {};
    const asked = new Promise<void>((done) => {
      begun = done;
    });
    const order: string[] = [];
    const { service, port, close, closed } = await start(
      { 'service.shutdownTimeoutSeconds': 3600 },
      {
        trainingStatus: async () => {
          begun();
          await new Promise<void>((done) => {
            release = done;
          });
          order.push('answered');
          return stubService().trainingStatus();
        },
        close: async () => {
          order.push('closed');
        },
      },
    );
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const get = (path: string, using?: Agent) =>
      new Promise<{ status?: number; body: string }>((done, failed) => {
        send({ port, path, headers: OPERATE, agent: using }, (response) => {
          let body = '';
          response.on('data', (bytes) => {
            body += bytes;
          });
          response.on('end', () => done({ status: response.statusCode, body }));
        })
          .on('error', failed)
          .end();
      });
    const slow = get('/training/status');
    await asked;
    const kept = await get('/health/live', agent);
    expect(kept.status).toBe(200);
    // has not asked anything yet
    const silent = connect(port, '127.0.0.1');
    await once(silent, 'connect');
    silent.on('error', () => {});
    const closing = close();
    expect(close()).toBe(closing);
    await expect(get('/health/live')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(order).toEqual([]);
    release();
    expect((await slow).status).toBe(200);
    await closing;
    await closed;
    expect(order).toEqual(['answered', 'closed']);
    expect(closes(service)).toBe(1);
    agent.destroy();
    silent.destroy();
  });

  it('ends requests that do not end', async () => {
    let begun = () => {};
    const asked = new Promise<void>((done) => {
      begun = done;
    });
    const stuck = () => {
      begun();
      return new Promise<never>(() => {});
    };
    const { service, url, close } = await start({ 'service.shutdownTimeoutSeconds': 0.05 }, { overview: stuck });
    const answer = fetch(`${url}/overview`, { headers: OPERATE });
    await asked;
    await close();
    const response = await answer;
    expect([response.status, (await response.json()).error.code]).toEqual([503, 'ERR_CLOSED']);
    expect(closes(service)).toBe(1);
  });

  it('rejects for everybody who waits where the service cannot be closed', async () => {
    const fails = async () => {
      throw new Error('disk full');
    };
    const service = stubService({ close: fails });
    const one = await serve(service, await configOf({ 'service.port': 0 }), { logger: silentLogger, signals: false });
    await expect(one.close()).rejects.toThrow('disk full');
    await expect(one.closed).rejects.toThrow('disk full');
  });
});

describe('signals', () => {
  /** Lines of a process that serves, in order, and how it ended. */
  function startProcess(shutdownSeconds: number) {
    const script = join(root, 'test/service/http/serving-process.mjs');
    const child = spawn(process.execPath, [script, String(shutdownSeconds)], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines: string[] = [];
    let rest = '';
    const waiting: { line: RegExp; done: (line: string) => void }[] = [];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const parts = (rest + text).split('\n');
      rest = parts.pop() as string;
      for (const line of parts) {
        lines.push(line);
        for (const one of waiting.splice(0)) {
          if (one.line.test(line)) one.done(line);
          else waiting.push(one);
        }
      }
    });
    const ended = new Promise<number | NodeJS.Signals | null>((done) => {
      child.on('exit', (code, signal) => done(code ?? signal));
    });
    const line = (expected: RegExp) =>
      new Promise<string>((done) => {
        const found = lines.find((one) => expected.test(one));
        if (found === undefined) waiting.push({ line: expected, done });
        else done(found);
      });
    return { child, lines, ended, line };
  }

  it('end it in order: the request under way, then the service', async () => {
    const { child, lines, ended, line } = startProcess(30);
    const url = await line(/^http/);
    const answer = fetch(`${url}/overview`);
    await line(/asked/);
    child.kill('SIGTERM');
    expect((await answer).status).toBe(200);
    expect(await ended).toBe(0);
    expect(lines.slice(1)).toEqual(['asked', 'shutting down', 'answered 200', 'closed']);
  });

  it('end it at once the second time', async () => {
    const { child, lines, ended, line } = startProcess(3600);
    const url = await line(/^http/);
    const answer = fetch(`${url}/health/ready`).catch(() => 'cut off');
    await line(/asked/);
    child.kill('SIGINT');
    await line(/shutting down/);
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
    expect(await answer).toBe('cut off');
    expect(lines).not.toContain('closed');
  });
});
