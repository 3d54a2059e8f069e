/** Every key and every variable: a valid value, invalid ones, and what comes before what. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ALL_KEYS } from '../../../src/service/config/keys.js';
import { loadConfig, Secret } from '../../../src/service/index.js';

/** [as a variable, as a value, invalid as a variable, …] */
const plain = ['a', 'a', 'x'.repeat(4097), 'a\0b', '  '] as const;
const flag = (fallback: boolean) => [String(!fallback).toUpperCase(), !fallback, 'yes', '2', 'on'] as const;
const column = ['some_column', 'some_column', 'a b', '1st', 'a"b', 'a;drop', 'x'.repeat(64)] as const;
const tokens = [{ name: 'ops', token: '0123456789abcdef', scope: 'operate' }];
const otherTokens = (changes: object) => JSON.stringify([{ ...tokens[0], ...changes }]);
const pg = { 'postgres.host': 'db' };
const mapped = {
  ...{ ...pg, 'feedback.kind': 'postgres', 'feedback.table': 'public.feedback' },
  ...{ 'feedback.columns.id': 'id', 'feedback.columns.createdAt': 'at', 'feedback.columns.type': 'kind' },
  ...{ 'feedback.columns.request': 'request_data', 'feedback.columns.response': 'response_data' },
};

const VALUES: Record<string, readonly [string, unknown, ...string[]]> = {
  'service.host': ['127.0.0.2', '127.0.0.2', '0.0.0.0', 'a b', 'http://a', '-a', '1::2::3'],
  'service.port': ['9000', 9000, '-1', '65536', '1.5', 'abc', '0x10', 'NaN', 'Infinity', '1e999'],
  'service.tokens': [
    ...[JSON.stringify(tokens), tokens, 'secret', '{}', otherTokens({ token: 'short' }), otherTokens({ scope: 'all' })],
    ...[otherTokens({ name: '' }), otherTokens({ more: 1 }), JSON.stringify([...tokens, ...tokens])],
  ] as unknown as [string, unknown, ...string[]],
  'service.bodyLimitBytes': ['2048', 2048, '1023', '1073741825'],
  'service.rateLimitPerSecond': ['10', 10, '0', '1000001'],
  'service.requestTimeoutSeconds': ['0.5', 0.5, '0', '3601', '-1'],
  'service.shutdownTimeoutSeconds': ['0', 0, '-0.1', '3601'],
  'service.allowedFolders': ['data, more', ['data', 'more'], 'a,,b', 'a,a'],
  'model.folder': plain,
  'model.name': plain,
  'model.backend': ['js', 'js', 'gpu', 'JS'],
  'model.weightStorage': ['int8', 'int8', 'int4'],
  'model.arithmetic': ['bf16', 'bf16', 'f16'],
  'model.threads': ['3', 3, '0', '1025', '1.5'],
  'model.sequences': ['8', 8, '0', '4097'],
  'model.positions': ['512', 512, '15', '1048577'],
  'lora.enabled': flag(true),
  'lora.project': ['team-1', 'team-1', '../x', 'a/b', '.a', 'a.', 'x'.repeat(65)],
  'lora.initialVersion': ['v1.0', 'v1.0', '1.0', 'v1', 'known-good'],
  'lora.rank': ['8', 8, '0', '4097', '1.5'],
  'lora.alpha': ['16.5', 16.5, '0', '65537'],
  'lora.dropout': ['0', 0, '-0.1', '1'],
  'lora.targetModules': ['q_proj,down_proj', ['q_proj', 'down_proj'], 'q_proj,q_proj', 'query'],
  'lora.rsLora': flag(false),
  'training.days': ['30', 30, '0', '3651'],
  'training.minimumSamples': ['1', 1, '0', '1.5'],
  'training.batchSize': ['1', 1, '0', '65537'],
  'training.accumulation': ['1', 1, '0', '65537'],
  'training.learningRate': ['1e-5', 1e-5, '0', '1.1', '-1'],
  'training.epochs': ['10', 10, '0', '1001', '1.5'],
  'training.maxLength': ['256', 256, '15', '1048577'],
  'training.warmupSteps': ['0', 0, '-1', '0.5'],
  'training.likedWeight': ['1.5', 1.5, '0', '1001'],
  'training.dislikedWeight': ['1', 1, '0', '1001'],
  'training.dislikes': ['drop', 'drop', 'learn'],
  'training.corrections': ['preference', 'preference', 'ignore'],
  'training.prompts': ['messages', 'messages', 'chat'],
  'training.replayShare': ['0.5', 0.5, '-0.1', '1.1'],
  'training.seed': ['42', 42, '-1', '4294967296'],
  'training.deploy': ['approved', 'approved', 'always'],
  'training.commit': ['0a1b2c3', '0a1b2c3', 'a\nb'],
  'ewc.enabled': flag(true),
  'ewc.lambda': ['100', 100, '0', '99', '1001', '-5'],
  'ewc.decay': ['0.9', 0.9, '-0.1', '1.1'],
  'ewc.fisherSamples': ['10', 10, '0', '1000001'],
  'ewc.fisherDays': ['60', 60, '0', '3651'],
  'golden.enabled': flag(true),
  'golden.required': flag(true),
  'golden.suite': plain,
  'golden.baseline': plain,
  'golden.outputFolder': plain,
  'golden.maxNewTokens': ['64', 64, '0', '65537'],
  'golden.maxRegressions': ['0', 0, '-1', '0.5'],
  'golden.maxMeanScoreDrop': ['0.2', 0.2, '-0.1', '1.1'],
  'golden.maxRelativeScoreDrop': ['0.1', 0.1, '-0.1', '1.1'],
  'golden.minPassRate': ['1', 1, '-0.1', '1.1'],
  'golden.maxUnsafeCases': ['2', 2, '-1'],
  'storage.kind': ['s3', 's3', 'minio', 'postgres'],
  'storage.folder': plain,
  'storage.s3.endpoint': ['minio:9000', 'minio:9000', 'http://u:p@minio', 'a b', 'minio:99999', 'ftp://x'],
  'storage.s3.secure': flag(true),
  'storage.s3.region': ['eu-west-1', 'eu-west-1', ' '],
  'storage.s3.accessKey': ['key-id-1', 'key-id-1', '  ', 'a\0'],
  'storage.s3.secretKey': ['very secret', 'very secret', '  ', 'b\0'],
  'storage.s3.bucket': ['my.bucket-1', 'my.bucket-1', 'UPPER', 'ab', 'a/b'],
  'storage.s3.prefix': ['lorakeet/', 'lorakeet/', 'a b', 'a?b'],
  'postgres.url': ['postgres://u:p@h/d', 'postgres://u:p@h/d', '  ', 'p\0'],
  'postgres.host': plain,
  'postgres.port': ['5433', 5433, '0', '65536'],
  'postgres.database': plain,
  'postgres.user': plain,
  'postgres.password': ['pass word', 'pass word', '  ', 'q\0'],
  'postgres.tls': flag(false),
  'postgres.schema': ['learning', 'learning', 'Upper', 'a-b', '1a', 'a"b'],
  'postgres.connections': ['3', 3, '0', '1001'],
  'feedback.kind': ['postgres', 'postgres', 'mysql'],
  'feedback.file': plain,
  'feedback.maxImportBytes': ['1000', 1000, '0', '1.5'],
  'feedback.table': ['public.feedback', 'public.feedback', 'a.b.c', 'a b', 'a"b'],
  ...Object.fromEntries(
    ['id', 'createdAt', 'type', 'request', 'response', 'expectedAnswer', 'reason', 'intent', 'project']
      .concat(['rating', 'query', 'answer'])
      .map((name) => [`feedback.columns.${name}`, column]),
  ),
  'jobs.queue': ['postgres', 'postgres', 'redis'],
  'jobs.worker': flag(true),
  'jobs.historyDays': ['1', 1, '0', '3651'],
  'schedule.enabled': flag(true),
  'schedule.cron': [
    ...(['*/15 6-22/2 1,15 jan-MAR mon', '*/15 6-22/2 1,15 jan-MAR mon', '* * * *', '60 * * * *'] as const),
    ...['* 24 * * *', '* * 0 * *', '* * * 13 *', '* * * * 8', '5-1 * * * *', '*/0 * * * *', 'a * * * *', '@daily'],
  ],
  'schedule.timeZone': ['Europe/Vienna', 'Europe/Vienna', 'Mars/Olympus', 'GMT+25'],
  'schedule.misfire': ['skip', 'skip', 'all'],
  'serving.driver': ['vllm', 'vllm', 'triton'],
  'serving.urls': [
    'http://a:1, https://b/x',
    ['http://a:1', 'https://b/x'],
    'a:1',
    'http://u:p@a',
    'http://a,http://a',
  ],
  'serving.token': ['bearer+me', 'bearer+me', '  ', 'r\0', 's t'],
  'serving.folder': plain,
  'serving.serverFolder': plain,
  'serving.maxRank': ['64', 64, '0', '65537'],
  'serving.restartCommand': plain,
  'serving.reloadPath': ['/reload', '/reload', 'reload', '/a b', '/a?b'],
  'serving.statePath': ['/state', '/state', 'state', '/a#b'],
  'serving.disablePath': ['/disable', '/disable', 'disable', '/a b'],
  'serving.timeoutSeconds': ['0.5', 0.5, '0', '3601'],
  'serving.reconcileSeconds': ['60', 60, '0', '86401'],
  'logging.level': ['debug', 'debug', 'trace'],
  'logging.format': ['text', 'text', 'xml'],
};

/** What a key needs around it, so that only its own value is judged. */
const CONTEXT: Record<string, Record<string, unknown>> = {
  'storage.s3.accessKey': { 'storage.s3.secretKey': 'x' },
  'storage.s3.secretKey': { 'storage.s3.accessKey': 'x' },
  'feedback.kind': pg,
  'feedback.table': { ...mapped, 'feedback.table': undefined },
  'jobs.queue': pg,
  'serving.driver': { 'serving.urls': ['http://a'] },
  'serving.urls': { 'serving.driver': 'vllm' },
};
const SWAPPED: Record<string, string> = { rating: 'type', query: 'request', answer: 'response' };

function contextOf(path: string): Record<string, unknown> {
  const [, name] = /^feedback\.columns\.(\w+)$/.exec(path) ?? [];
  if (name === undefined) return CONTEXT[path] ?? {};
  return { ...mapped, [path]: undefined, [`feedback.columns.${SWAPPED[name] ?? ''}`]: undefined };
}

const clean = (context: Record<string, unknown>) =>
  Object.fromEntries(Object.entries(context).filter(([, value]) => value !== undefined));

const valueAt = (config: object, path: string) =>
  path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], config);

function revealed(value: unknown): unknown {
  if (value instanceof Secret) return value.reveal();
  if (Array.isArray(value)) return value.map(revealed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, revealed(inner)]));
}

describe('the table of keys', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-config-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** A file with this one value. */
  function fileWith(path: string, value: unknown): string {
    const nested = path.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value);
    const file = join(folder, 'config.yaml');
    writeFileSync(file, JSON.stringify(nested));
    return file;
  }

  it('has a test of every key, and names every variable once', () => {
    expect(ALL_KEYS.map(({ path }) => path).sort()).toEqual(Object.keys(VALUES).sort());
    const variables = ALL_KEYS.map(({ variable }) => variable);
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables.filter((variable) => !/^[A-Z][A-Z0-9_]+$/.test(variable))).toEqual([]);
  });

  it('has defaults that its own schemas take, and none for secrets', () => {
    for (const { path, schema, default: value, secret } of ALL_KEYS) {
      if (value !== undefined) expect(schema.safeParse(value).success, path).toBe(true);
      if (secret) expect(value === undefined || (value as unknown[]).length === 0, path).toBe(true);
    }
  });

  it.each(ALL_KEYS)('$path ($variable)', async ({ path, variable, secret, default: fallback }) => {
    const [text, value, ...invalid] = VALUES[path];
    const overrides = clean(contextOf(path));
    const load = async (options: object) => {
      const { config, sources } = await loadConfig({ env: {}, overrides, ...options });
      return [revealed(valueAt(config, path)), sources.get(path)];
    };
    const file = fileWith(path, value);
    const byItself = await loadConfig({ env: {} });
    expect([valueAt(byItself.config, path), byItself.sources.get(path)]).toEqual([fallback, 'default']);
    expect(await load({ file })).toEqual([value, 'file']);
    expect(await load({ env: { [variable]: text } })).toEqual([value, 'environment']);
    expect(await load({ env: { [variable]: '' }, file })).toEqual([value, 'file']);
    // the environment comes before the file, an override before both, even where what follows is invalid
    const bad = fileWith(path, { not: 'a value' });
    expect(await load({ env: { [variable]: text }, file: bad })).toEqual([value, 'environment']);
    const all = { env: { [variable]: invalid[0] }, file: bad, overrides: { ...overrides, [path]: value } };
    expect(await load(all)).toEqual([value, 'override']);

    await expect(load({ file: bad })).rejects.toMatchObject({
      code: 'ERR_INVALID_CONFIG',
      message: expect.stringContaining(`${path} (in ${bad}): got`),
    });
    for (const wrong of invalid) {
      const error: Error = await load({ env: { [variable]: wrong } }).then(
        () => expect.fail(`${variable}=${wrong} was taken`),
        (refused) => refused,
      );
      expect(error).toMatchObject({ code: 'ERR_INVALID_CONFIG' });
      expect(error.message.split('\n')).toEqual([expect.stringContaining(`${path} (${variable}): got`)]);
      if (secret) expect(error.message).toContain('got [redacted]');
    }
  });
});
