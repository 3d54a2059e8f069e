import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Check } from '../../src/cli/doctor/check.js';
import { checkPackages, OPTIONAL_PACKAGES } from '../../src/cli/doctor/packages.js';
import { loadConfig } from '../../src/service/config/load.js';
import { root } from '../support/imports.js';
import { freePorts } from '../support/ports.js';
import { run, runJson } from './run.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-doctor-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Examination {
  ok: boolean;
  checks: Check[];
}

async function examine(settings: Record<string, string> = {}, more: string[] = []) {
  const set = Object.entries(settings).flatMap(([key, value]) => ['--set', `${key}=${value}`]);
  const { code, json } = await runJson<Examination>(['doctor', ...set, ...more]);
  const byName = new Map(json.checks.map((check) => [check.name, check]));
  return { code, ok: json.ok, of: (name: string) => byName.get(name) };
}

describe('lorakeet doctor', () => {
  it('looks at everything, makes nothing, and finds that the defaults ask for nothing that is missing', async () => {
    const data = join(folder, 'data');
    const { code, ok, of } = await examine({ 'storage.folder': data });
    expect([code, ok]).toEqual([0, true]);
    expect(of('Node')).toMatchObject({ status: 'ok', detail: expect.stringContaining(process.versions.node) });
    expect(of('kernels')?.detail).toMatch(/^(cuda|cpu|js)/);
    expect(of('decoder')?.detail).toMatch(/^(cuda|cpu|js)/);
    for (const name of ['native addon', 'CUDA', 'model', 'golden set', 'service']) expect(of(name)).toBeDefined();
    for (const name of ['feedback (sqlite)', 'versions (folder)', 'jobs (embedded)']) {
      expect(of(name)).toMatchObject({ status: 'ok', detail: `${data} will be made` });
    }
    expect(existsSync(data)).toBe(false);
  });

  it('opens the stores that are there', async () => {
    const { code, of } = await examine({
      'storage.folder': folder,
      'model.folder': join(root, 'models/tiny-shakespeare-llama'),
    });
    expect(code).toBe(0);
    expect(of('feedback (sqlite)')?.detail).toBe('0 rows');
    expect(of('versions (folder)')?.detail).toBe('no versions of default yet');
    expect(of('jobs (embedded)')?.detail).toBe('no jobs');
    expect(of('model')?.detail).toMatch(/tiny-shakespeare-llama: \d{7} parameters/);
  });

  it('fails for what the configuration asks for and is not there, and says what to do', async () => {
    writeFileSync(join(folder, 'feedback.db'), 'this is no database, and that is found out by opening it');
    const dead = `http://127.0.0.1:${(await freePorts(1))[0]}`;
    const { code, ok, of } = await examine(
      {
        'storage.folder': folder,
        'model.folder': join(folder, 'none'),
        'golden.suite': join(folder, 'none.ndjson'),
        'service.allowedFolders': join(folder, 'nowhere'),
        'serving.driver': 'vllm',
        'serving.urls': dead,
      },
      ['--base-url', dead],
    );
    expect([code, ok]).toEqual([1, false]);
    for (const name of [
      'feedback (sqlite)',
      'model',
      'golden set',
      `folder ${join(folder, 'nowhere')}`,
      'serving (vllm)',
      'service',
    ]) {
      expect(of(name), name).toMatchObject({ status: 'missing' });
    }
    expect(of('serving (vllm)')?.detail).toContain(dead);
    expect(of('jobs (embedded)')?.status).toBe('ok');
  });

  it('asks Postgres and S3 for real', async () => {
    const port = (await freePorts(1))[0];
    const { code, of } = await examine({
      'storage.kind': 's3',
      'storage.folder': folder,
      'storage.s3.endpoint': `http://127.0.0.1:${port}`,
      'storage.s3.accessKey': 'key',
      'storage.s3.secretKey': 'secret-of-the-test',
      'feedback.kind': 'postgres',
      'jobs.queue': 'postgres',
      'postgres.url': `postgres://me:secret-of-the-test@127.0.0.1:${port}/lorakeet`,
    });
    expect(code).toBe(1);
    for (const name of ['feedback (postgres)', 'versions (s3)', 'jobs (postgres)']) {
      expect(of(name)).toMatchObject({ status: 'missing', detail: expect.not.stringContaining('secret-of-the-test') });
    }
  });

  it('tells of a configuration that is wrong, and looks at the rest', async () => {
    const { code, of } = await examine({ 'training.epochs': '0' });
    expect(code).toBe(1);
    expect(of('configuration')).toMatchObject({
      status: 'missing',
      detail: expect.stringContaining('training.epochs'),
    });
    expect(of('kernels')?.status).toBe('ok');
  });

  it('has lines for people', async () => {
    mkdirSync(join(folder, 'data'));
    const { stdout, code } = await run(['doctor', '--set', `model.folder=${join(folder, 'none')}`]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^MISSING +model +.*none.*$/m);
    expect(stdout).toMatch(/1 missing\n$/);
  });
});

describe('optional packages', () => {
  const statusOf = async (overrides: Record<string, unknown>, name: string) => {
    const { config } = await loadConfig({ env: {}, overrides });
    return checkPackages(config, () => undefined).find((check) => check.name === `package ${name}`);
  };

  it.each([
    ['pg', { 'feedback.kind': 'postgres', 'postgres.host': 'x' }],
    ['@aws-sdk/client-s3', { 'storage.kind': 's3' }],
    ['@huggingface/tokenizers', { 'model.folder': 'x' }],
    ['@huggingface/jinja', { 'model.folder': 'x', 'training.prompts': 'messages' }],
    ['croner', { 'schedule.enabled': true }],
    ['pino', { 'logging.format': 'json' }],
  ])('%s is missing where it is asked for, and only there', async (name, overrides) => {
    expect(await statusOf(overrides, name)).toMatchObject({ status: 'missing', advice: `npm install ${name}` });
    const without = { 'schedule.enabled': false, 'logging.format': 'text' };
    expect(await statusOf(without, name)).toMatchObject({ status: 'note', advice: `npm install ${name}` });
  });

  it('are asked for by nobody where nothing is configured', () => {
    expect(new Set(checkPackages(undefined, () => undefined).map(({ status }) => status))).toEqual(new Set(['note']));
    expect(OPTIONAL_PACKAGES.length).toBeGreaterThan(8);
  });
});
