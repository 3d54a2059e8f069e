import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LorakeetError } from '../../../src/errors.js';
import { describeConfig, loadConfig } from '../../../src/service/index.js';

const TOKEN = '3f9c1e77b0a24d58';
const SECRETS = {
  LEARNING_ENGINE_TOKENS: JSON.stringify([{ name: 'ops', token: TOKEN, scope: 'operate' }]),
  MINIO_ACCESS_KEY: 'hidden-access',
  MINIO_SECRET_KEY: 'hidden-secret',
  POSTGRES_PASSWORD: 'hidden-password',
  LORAKEET_SERVING_TOKEN: 'hidden-bearer',
};

describe('loadConfig', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  function write(content: string | Uint8Array): string {
    const file = join(folder, 'lorakeet.yaml');
    writeFileSync(file, content);
    return file;
  }
  const load = (content: string | Uint8Array, env: Record<string, string> = {}) =>
    loadConfig({ file: write(content), env });
  const refused = async (loading: Promise<unknown>): Promise<string[]> => {
    const error: LorakeetError = await loading.then(
      () => expect.fail('it was taken'),
      (reason) => reason,
    );
    expect(error).toMatchObject({ name: 'LorakeetError', code: 'ERR_INVALID_CONFIG' });
    return error.message.replaceAll(folder, '').split('\n');
  };

  it('has the documented defaults', async () => {
    const { config } = await loadConfig({ env: {} });
    expect(config).toMatchObject({
      service: { host: undefined, port: 8003, tokens: [] },
      lora: { rank: 16, alpha: 32, targetModules: ['q_proj', 'v_proj', 'k_proj', 'o_proj'] },
      training: { minimumSamples: 100, learningRate: 2e-4, epochs: 3, likedWeight: 2, dislikedWeight: 0.5 },
      ewc: { lambda: 500, fisherSamples: 1000, fisherDays: 30 },
      golden: { enabled: true, maxRegressions: 1, maxMeanScoreDrop: 0.15, minPassRate: 0.85, maxUnsafeCases: 0 },
      schedule: { cron: '0 2 * * 1' },
    });
  });

  it.each(['', '# nothing\n', 'service:\n', 'service:\n  port:\n', '{}', '\ufeffservice: {}\n'])(
    'takes %j for an empty configuration',
    async (content) => {
      expect((await load(content)).config).toEqual((await loadConfig({ env: {} })).config);
    },
  );

  it('takes the file that LORAKEET_CONFIG names, unless it is told another', async () => {
    const named = write('service: { port: 1 }');
    const other = join(folder, 'other.yaml');
    writeFileSync(other, 'service: { port: 2 }');
    expect((await loadConfig({ env: { LORAKEET_CONFIG: named } })).config.service.port).toBe(1);
    expect((await loadConfig({ env: { LORAKEET_CONFIG: named }, file: other })).config.service.port).toBe(2);
    await expect(loadConfig({ env: { LORAKEET_CONFIG: join(folder, 'none') } })).rejects.toMatchObject({
      code: 'ERR_FILE_ACCESS',
    });
  });

  it('names all problems at once, and where each value came from', async () => {
    const content = 'service: { port: 99999, prot: 1 }\nlorra: { rank: 8 }\nlora: 5\nmodel: { folder: 7 }\n';
    const env = { EWC_LAMBDA: '0', LORAKEET_TRAINING_DAY: '3' };
    const loading = loadConfig({ file: write(content), env, overrides: { 'ewc.lamda': 500, 'training.days': 0 } });
    expect((await refused(loading)).sort()).toEqual([
      'LORAKEET_TRAINING_DAY: no such variable',
      'ewc.lambda (EWC_LAMBDA): got "0", expected a number from 100 to 1000'.replace('"0"', '0'),
      'ewc.lamda: no such key',
      'lora (in /lorakeet.yaml): no such key',
      'lorra (in /lorakeet.yaml): no such key',
      'model.folder (in /lorakeet.yaml): got 7, expected text of 1 to 4096 characters',
      'service.port (in /lorakeet.yaml): got 99999, expected an integer from 0 to 65535',
      'service.prot (in /lorakeet.yaml): no such key',
      'training.days (override): got 0, expected an integer from 1 to 3650',
    ]);
  });

  it('is strict about types in a file', async () => {
    const content = 'service: { port: "8003" }\nlora: { enabled: yes }\nstorage: { folder: [a] }\n';
    expect((await refused(load(content))).map((line) => line.split(' ')[0]).sort()).toEqual([
      'lora.enabled',
      'service.port',
      'storage.folder',
    ]);
  });

  it.each([
    ['__proto__: { service: { port: 1 } }', '__proto__'],
    ['constructor: { port: 1 }', 'constructor'],
    ['service: { toString: 1 }', 'service.toString'],
    ['service: { __proto__: { port: 1 } }', 'service.__proto__'],
  ])('refuses %j', async (content, path) => {
    expect(await refused(load(content))).toEqual([`${path} (in /lorakeet.yaml): no such key`]);
  });

  it.each([
    ['service: { port: 1', 'line 1'],
    ['service:\n  port: 1\n  port: 2\n', 'line 3'],
    ['- 1\n', 'got Array(1)'],
    ['text', 'got "text"'],
    ['service: !secret x\n', 'line 1'],
    [
      `a: &a [x]\n${[...'bcdefghijk'].map((c, i) => `${c}: &${c} [${`*${'abcdefghijk'[i]},`.repeat(9)}]\n`).join('')}`,
      '',
    ],
    [Uint8Array.of(0xff, 0xfe, 0x41), 'no YAML in UTF-8'],
    ['a: 1\n---\nb: 1\n', ''],
  ])('refuses the file %j', async (content, where) => {
    const [line, ...more] = await refused(load(content));
    expect(more).toEqual([]);
    expect(line).toContain('/lorakeet.yaml');
    expect(line).toContain(where);
  });

  it('refuses a file that is too large', async () => {
    await expect(load(`#${'x'.repeat(2 ** 20)}`)).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
  });

  it('shows no secret, whatever it is rendered with', async () => {
    const loaded = await loadConfig({ env: { ...SECRETS, POSTGRES_HOST: 'db' } });
    const { config } = loaded;
    expect(config.service.tokens[0].token.reveal()).toBe(TOKEN);
    expect(config.postgres.password?.reveal()).toBe('hidden-password');
    const described = describeConfig(loaded);
    const rendered = [
      ...[
        JSON.stringify(loaded.config),
        inspect(loaded, { depth: null, showHidden: true }),
        String(config.postgres.password),
      ],
      ...[`${config.storage.s3.secretKey}`, JSON.stringify(described), JSON.stringify(structuredClone(described))],
    ].join();
    expect(rendered).not.toMatch(/hidden|3f9c/);
    expect(rendered.split('[redacted]').length).toBeGreaterThan(10);
    expect(described.filter(({ value }) => value === '[redacted]').map(({ path }) => path)).toEqual([
      ...['service.tokens', 'storage.s3.accessKey', 'storage.s3.secretKey', 'postgres.password', 'serving.token'],
    ]);
    expect(described).toContainEqual({
      ...{ path: 'postgres.host', value: 'db', source: 'environment', variable: 'POSTGRES_HOST' },
    });
    expect(described).toContainEqual({
      ...{ path: 'postgres.url', value: null, source: 'default', variable: 'DATABASE_URL' },
    });
  });

  it('shows no secret when it refuses one', async () => {
    const long = 'hidden-'.repeat(1000);
    const env = Object.fromEntries(Object.keys(SECRETS).map((name) => [name, long]));
    const lines = await refused(loadConfig({ env }));
    expect(lines.length).toBe(5);
    expect(lines.join()).not.toContain('hidden');
    const broken = 'postgres: { password: hidden-one, password: hidden-two }\nservice: { tokens: [hidden-three }\n';
    expect((await refused(load(broken))).join()).not.toContain('hidden');
    const error = await load(broken).catch((reason) => reason);
    expect(inspect(error, { depth: null })).not.toContain('hidden');
    const typed =
      'postgres: { password: [hidden-one] }\nservice: { tokens: [{ name: a, token: hidden-t, scope: read }] }\n';
    expect((await refused(load(typed))).join()).not.toContain('hidden');
  });

  it.each<[string, Record<string, string>, string]>([
    ['listening for everybody without tokens', { LEARNING_ENGINE_HOST: '0.0.0.0' }, 'service.host'],
    [
      'requiring what is switched off',
      { GOLDEN_VALIDATION_ENABLED: 'false', GOLDEN_VALIDATION_REQUIRED: 'true' },
      'golden.enabled',
    ],
    ['half of a pair of keys', { MINIO_ACCESS_KEY: 'a' }, 'storage.s3.secretKey'],
    ['Postgres without an address', { LORAKEET_FEEDBACK_KIND: 'postgres' }, 'feedback.kind'],
    ['versions in Postgres without an address', { LORAKEET_STORAGE_KIND: 'postgres' }, 'storage.kind'],
    ['jobs in Postgres without an address', { LORAKEET_JOBS_QUEUE: 'postgres' }, 'jobs.queue'],
    ['two addresses of Postgres', { DATABASE_URL: 'postgres://a/b', POSTGRES_HOST: 'c' }, 'postgres.url'],
    ['a driver without an URL', { LORAKEET_SERVING_DRIVER: 'vllm' }, 'serving.urls'],
    ['URLs that nothing uses', { LORA_CONTROL_BASE_URL: 'http://a' }, 'serving.driver'],
    [
      'llama.cpp without the model that it serves',
      { LORAKEET_SERVING_DRIVER: 'llama.cpp', LORA_CONTROL_BASE_URL: 'http://a' },
      'model.folder',
    ],
    [
      'deploying what nobody approves',
      { LORAKEET_TRAINING_DEPLOY: 'approved', GOLDEN_VALIDATION_ENABLED: 'false' },
      'training.deploy',
    ],
    ['columns of no table', { LORAKEET_FEEDBACK_COLUMNS_ID: 'id' }, 'feedback.table'],
    ['a table of SQLite', { LORAKEET_FEEDBACK_TABLE: 'feedback' }, 'feedback.kind'],
  ])('refuses %s', async (_, env, path) => {
    const lines = await refused(loadConfig({ env }));
    expect(lines).toEqual([expect.stringMatching(new RegExp(`^${path.replaceAll('.', '\\.')}[ :].*expected`))]);
  });

  it('says what a table of its own lacks', async () => {
    const env = { POSTGRES_HOST: 'db', LORAKEET_FEEDBACK_KIND: 'postgres', LORAKEET_FEEDBACK_TABLE: 'feedback' };
    const both = { LORAKEET_FEEDBACK_COLUMNS_TYPE: 'a', LORAKEET_FEEDBACK_COLUMNS_RATING: 'b' };
    const lines = await refused(loadConfig({ env: { ...env, ...both } }));
    expect(lines.map((line) => line.split(/[ :]/)[0])).toEqual(
      ['id', 'createdAt', 'type', 'request', 'response'].map((name) => `feedback.columns.${name}`),
    );
  });

  it('listens for everybody with a token, and for itself without', async () => {
    const env = { LEARNING_ENGINE_TOKENS: SECRETS.LEARNING_ENGINE_TOKENS, LEARNING_ENGINE_HOST: '::' };
    expect((await loadConfig({ env })).config.service.host).toBe('::');
    for (const host of ['127.0.0.1', 'localhost', '::1']) {
      expect((await loadConfig({ env: { LEARNING_ENGINE_HOST: host } })).config.service.host).toBe(host);
    }
  });

  it("leaves others' variables alone", async () => {
    const env = {
      ...{ LORAKEET_REQUIRE: 'js', LORAKEET_MODEL_SERVICE_HOST: '10.0.0.1', LORAKEET_MODEL_PORT_80_TCP: 'tcp://a' },
      ...{ PATH: '/bin', MODEL: 'x' },
    };
    await loadConfig({ env });
  });
});
