/** `lorakeet serve` in a process and a folder of its own, with the small model of the repository. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const TOKEN = 'token-of-the-benchmark';
const START_TIMEOUT_MS = 60_000;

export interface Served {
  url: string;
  token: string;
  /** CPU seconds that the process has used. */
  cpuSeconds(): number;
  /** Asks it, and fails where the answer is no success. */
  ask<T>(method: string, path: string, body?: object): Promise<T>;
  /** A file of examples that it may train on. */
  dataset: string;
  stop(): Promise<void>;
}

/** `env`: of further settings. */
export async function startServed(root: string, env: Record<string, string>): Promise<Served> {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-bench-service-'));
  const dataset = join(folder, 'examples.jsonl');
  writeFileSync(dataset, examples(root).join('\n'));
  const settings = {
    LEARNING_ENGINE_HOST: '127.0.0.1',
    LEARNING_ENGINE_PORT: '0',
    LEARNING_ENGINE_TOKENS: JSON.stringify([{ name: 'bench', token: TOKEN, scope: 'operate' }]),
    LEARNING_ENGINE_ALLOWED_FOLDERS: folder,
    BASE_MODEL_PATH: join(root, 'models', 'tiny-shakespeare-llama'),
    LORAKEET_STORAGE_FOLDER: join(folder, 'data'),
    AUTO_TRAIN_ENABLED: 'false',
    GOLDEN_VALIDATION_ENABLED: 'false',
    LOG_LEVEL: 'info',
  };
  const child = spawn(process.execPath, [join(root, 'dist', 'cli', 'main.js'), 'serve'], {
    cwd: folder,
    env: { ...process.env, ...settings, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGTERM');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const url = await listening(child);
    return {
      url,
      token: TOKEN,
      dataset,
      stop,
      ask: (...args) => ask(url, ...args),
      cpuSeconds: () => cpuOf(child.pid),
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function listening(child: ChildProcess): Promise<string> {
  let output = '';
  return new Promise((resolve, reject) => {
    const fail = (why: string) => reject(new Error(`the service ${why}:\n${output}`));
    const timer = setTimeout(() => fail('did not start in time'), START_TIMEOUT_MS);
    child.once('exit', (code) => fail(`ended with ${code}`));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (data) => {
        output = (output + data).slice(-10_000);
        const url = /listening on (http:\/\/[\w.:[\]-]+\d)/.exec(output)?.[1];
        if (url === undefined) return;
        clearTimeout(timer);
        resolve(url);
      });
    }
  });
}

async function ask<T>(url: string, method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, ...(body && { 'content-type': 'application/json' }) },
    body: body && JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
  return JSON.parse(text);
}

/** Verses of about 250 characters, each to be gone on with. */
function examples(root: string): string[] {
  const text = readFileSync(join(root, 'data', 'tiny-shakespeare-last-tenth.txt'), 'utf8');
  return [...text.matchAll(/[\s\S]{250}/g)].map(([part]) => {
    return JSON.stringify({ input: part.slice(0, 100), output: part.slice(100) });
  });
}

/** Of all its threads, as Linux counts it. */
function cpuOf(pid: number | undefined): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
