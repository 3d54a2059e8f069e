import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../../src/service/config/load.js';
import { openServiceLogger } from '../../../src/service/logging/service-logger.js';

const TOKEN = 'a token of *(special)* "signs" \\ and more'.replaceAll(' ', '_');
const PASSWORD = 'p@ss/w?rd';
const SECRETS = {
  'postgres.url': `postgres://ada:${encodeURIComponent(PASSWORD)}@127.0.0.1:1/feedback`,
  'storage.s3.accessKey': 'AKIA+access/key',
  'storage.s3.secretKey': 'secret/key+of=s3',
  'serving.token': 'serving$token|1',
};

async function open(overrides: Record<string, unknown> = {}) {
  const tokens = [{ name: 'ada', token: TOKEN, scope: 'operate' }];
  const { config } = await loadConfig({ env: {}, overrides: { 'service.tokens': tokens, ...SECRETS, ...overrides } });
  const lines: string[] = [];
  const logger = await openServiceLogger(config, { write: (line) => lines.push(line) });
  return { logger, lines };
}

const METHODS = ['debug', 'info', 'warn', 'error'] as const;

describe.each(['json', 'text'])('a logger of the format %s', (format) => {
  it.each([
    ['debug', ['debug', 'info', 'warn', 'error']],
    ['info', ['info', 'warn', 'error']],
    ['warn', ['warn', 'error']],
    ['error', ['error']],
    ['silent', []],
  ])('writes from level %s on', async (level, expected) => {
    const { logger, lines } = await open({ 'logging.level': level, 'logging.format': format });
    for (const method of METHODS) logger[method](`message of ${method}`);
    expect(lines).toHaveLength(expected.length);
    for (const [i, method] of expected.entries()) {
      expect(lines[i]).toContain(method);
      expect(lines[i]).toContain(`message of ${method}`);
    }
  });

  it('writes no secret, in whatever form it comes', async () => {
    const { logger, lines } = await open({ 'logging.format': format });
    const secrets = [TOKEN, PASSWORD, ...Object.values(SECRETS)];
    const forms = secrets.flatMap((one) => [one, encodeURIComponent(one), JSON.stringify(one)]);
    for (const form of forms) for (const method of METHODS) logger[method](`the server said: ${form}!`);
    expect(lines).toHaveLength(forms.length * 3);
    const written = lines.join('');
    for (const one of secrets) {
      for (const form of [one, encodeURIComponent(one), JSON.stringify(one).slice(1, -1)]) {
        expect(written).not.toContain(form);
      }
    }
    expect(written.match(/\[redacted\]/g)?.length).toBe(lines.length);
  });

  it('writes one line for a message, whatever stands in it', async () => {
    const { logger, lines } = await open({ 'logging.format': format });
    logger.info('first\nsecond\r\u2028third\u001b[31m');
    expect(lines).toHaveLength(1);
    expect(lines[0].endsWith('\n')).toBe(true);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
    expect(lines[0].slice(0, -1)).not.toMatch(/[\u0000-\u001f]/);
  });
});

describe('a logger of the service', () => {
  it('writes JSON with the time, the level by name and the message', async () => {
    const { logger, lines } = await open();
    logger.warn('low on disk');
    const line = JSON.parse(lines[0]);
    expect(line).toEqual({ level: 'warn', time: expect.any(String), pid: process.pid, msg: 'low on disk' });
    expect(new Date(line.time).toISOString()).toBe(line.time);
  });

  it('writes text with the time, the level and the message', async () => {
    const { logger, lines } = await open({ 'logging.format': 'text' });
    logger.warn('low on disk');
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z warn low on disk\n$/);
  });

  it('says what is missing where there is no pino, which text does not need', async () => {
    const load = () => Promise.reject(new Error('Cannot find package'));
    const { config } = await loadConfig({ env: {} });
    await expect(openServiceLogger(config, { load })).rejects.toMatchObject({
      code: 'ERR_PACKAGE_MISSING',
      message: expect.stringContaining('npm install pino'),
    });
    const text = await loadConfig({ env: {}, overrides: { 'logging.format': 'text' } });
    await openServiceLogger(text.config, { load });
  });
});
