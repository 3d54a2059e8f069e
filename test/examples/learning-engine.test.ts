/** What `npm start` opens, and the three calls of README's quick start against it, in a shell, as they are printed there. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseOptions } from '../../examples/learning-engine/options.js';
import { quickStart } from '../../examples/learning-engine/quick-start.js';
import { startService, tryService } from '../../examples/learning-engine/start.js';
import { selectDecoder } from '../../src/llm/decoder/select.js';
import { silentLogger } from '../../src/logger.js';
import type { ServedService } from '../../src/service/http/serve.js';
import { root } from '../support/imports.js';

describe('the flags', () => {
  it('are few, and wrong ones are refused by name', () => {
    expect(parseOptions([])).toEqual({ folder: '.lorakeet', once: false, help: false });
    expect(parseOptions(['--port', '0', '--once'])).toMatchObject({ port: 0, once: true });
    expect(() => parseOptions(['--port', '70000'])).toThrow('--port: got "70000"');
    expect(() => parseOptions(['--folder', ''])).toThrow('--folder');
    expect(() => parseOptions(['--users', '3'])).toThrow('--users');
  });
});

describe('the service of the quick start', () => {
  let folder: string;
  let served: ServedService;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lorakeet-start-'));
    served = await startService({ port: 0, folder }, silentLogger);
  });
  afterAll(async () => {
    await served?.close();
    await rm(folder, { recursive: true });
  });
  const get = async (path: string) => (await fetch(served.url + path)).json();

  it('answers, has its page and feedback to learn from, once', async () => {
    expect(await tryService(served.url)).not.toBe('');
    expect((await get('/feedback?since=2000-01-01T00:00:00Z')).feedback).toHaveLength(5);
  });

  it('says which flag takes another port', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((listening) => other.once('listening', listening));
    const { port } = other.address() as AddressInfo;
    await expect(startService({ port, folder: join(folder, 'other') }, silentLogger)).rejects.toThrow(
      'npm start -- --port',
    );
    await new Promise((closed) => other.close(closed));
  });

  it('README has the calls that are printed', () => {
    const readme = readFileSync(join(root, 'README.md'), 'utf8');
    expect(readme).toContain(`\`\`\`sh\n${quickStart('http://127.0.0.1:8003')}\n\`\`\``);
  });

  const hasCurl = spawnSync('curl', ['--version']).status === 0;
  const slow = selectDecoder().backend.name === 'js' ? 'the JavaScript decoder is slow at it' : '';
  const missing = hasCurl ? slow : 'curl is not there';
  it.skipIf(missing)(
    `learns by those calls${missing && ` (skipped: ${missing})`}`,
    async () => {
      const commands = quickStart(served.url).split(/\n(?=curl )/);
      expect(commands).toHaveLength(3);
      const [feedback, train, generate] = commands;
      const before = await inShell(generate);
      expect(before).toMatchObject({ version: null });
      expect(await inShell(feedback)).toMatchObject({ added: 1 });
      const { job_id } = await inShell(train);
      for (;;) {
        const { state, result, error } = await get(`/jobs/${job_id}`);
        expect(['waiting', 'running', 'completed'], JSON.stringify(error)).toContain(state);
        if (state === 'completed') {
          expect(result).toMatchObject({ status: 'success', approved: true, deployed: true });
          break;
        }
        await wait(100);
      }
      const after = await inShell(generate);
      expect(after.version).toBe('v1.0');
      expect(after.text).toMatch(/sail|wind/);
      expect(before.text).not.toMatch(/sail|wind/);
    },
    60_000,
  );
});

async function inShell(command: string) {
  const child = spawn('sh', ['-c', command], { stdio: ['ignore', 'pipe', 'ignore'] });
  let output = '';
  for await (const text of child.stdout) output += text;
  return JSON.parse(output);
}
