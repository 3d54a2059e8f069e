/** Whatever is wrong with a request as such: one shape of answer, and the service goes on. */
import { connect } from 'node:net';
import { expect, it } from 'vitest';
import { appOf, bearer, call, OPERATE, OPERATE_TOKEN, READ_TOKEN } from './apps.js';
import { stubService } from './stub-service.js';

const json = { ...OPERATE, 'content-type': 'application/json' };
const deep = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`;
const ISO_8859 = Buffer.from('{"author":"J\xf6rg"}', 'latin1');

const BROKEN: readonly [what: string, request: object, status: number, code: string, field?: string][] = [
  ['a path that there is not', { method: 'GET', url: '/adapter' }, 404, 'ERR_ROUTE_NOT_FOUND'],
  ['a path below a route', { method: 'GET', url: '/health/live/x' }, 404, 'ERR_ROUTE_NOT_FOUND'],
  ['another method', { method: 'PUT', url: '/train', payload: 'x' }, 405, 'ERR_METHOD_NOT_ALLOWED'],
  ['a question about methods', { method: 'OPTIONS', url: '/train' }, 405, 'ERR_METHOD_NOT_ALLOWED'],
  ['GET where there is POST', { method: 'GET', url: '/train' }, 405, 'ERR_METHOD_NOT_ALLOWED'],
  ['a path that is no text', { method: 'GET', url: '/adapters/%E0%A4%A' }, 400, 'ERR_BAD_REQUEST'],
  ['a name that is too long', { method: 'GET', url: `/adapters/${'v'.repeat(1001)}` }, 414, 'ERR_URL_TOO_LONG'],
  [
    'a name that is long',
    { method: 'GET', url: `/adapters/${'v'.repeat(201)}` },
    422,
    'ERR_INVALID_REQUEST',
    'version',
  ],
  ['no JSON', { url: '/train', payload: '{"days":3', headers: json }, 400, 'ERR_MALFORMED_JSON'],
  ['NaN', { url: '/train', payload: '{"days":NaN}', headers: json }, 400, 'ERR_MALFORMED_JSON'],
  ['another encoding', { url: '/train', payload: ISO_8859, headers: json }, 400, 'ERR_MALFORMED_JSON'],
  ['a prototype', { url: '/train', payload: '{"__proto__":{"days":3}}', headers: json }, 400, 'ERR_MALFORMED_JSON'],
  [
    'a prototype, hidden',
    { url: '/train', payload: '{"audit_context":{"constructor":{"prototype":{}}}}', headers: json },
    ...([400, 'ERR_MALFORMED_JSON'] as const),
  ],
  ['infinity', { url: '/train', payload: '{"days":1e999}', headers: json }, 422, 'ERR_INVALID_REQUEST', 'days'],
  [
    'infinity in what is data',
    { url: '/train', payload: '{"audit_context":{"a":[1e999]}}', headers: json },
    ...([422, 'ERR_INVALID_REQUEST', 'audit_context'] as const),
  ],
  [
    'too many levels',
    { url: '/train', payload: `{"audit_context":${deep(100_000)}}`, headers: json },
    ...([422, 'ERR_INVALID_REQUEST', 'audit_context'] as const),
  ],
  [
    'a form',
    { url: '/train', payload: 'days=3', headers: { ...OPERATE, 'content-type': 'application/x-www-form-urlencoded' } },
    ...([415, 'ERR_UNSUPPORTED_MEDIA_TYPE'] as const),
  ],
  [
    'plain text, which any page may send',
    { url: '/train', payload: '{}', headers: { ...OPERATE, 'content-type': 'text/plain' } },
    ...([415, 'ERR_UNSUPPORTED_MEDIA_TYPE'] as const),
  ],
  ['too much', { url: '/train', payload: `"${'x'.repeat(4096)}"`, headers: json }, 413, 'ERR_BODY_TOO_LARGE'],
];

it.each(BROKEN)('%s', async (_, request, status, code, field) => {
  const service = stubService();
  const app = await appOf(service, { 'service.bodyLimitBytes': code === 'ERR_BODY_TOO_LARGE' ? 4096 : 2 ** 20 });
  const answer = await call(app, { method: 'POST', headers: OPERATE, ...request });
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  expect(Object.keys(answer.body)).toEqual(['error']);
  expect(answer.body.error).toMatchObject({ code, request_id: answer.headers['x-request-id'] });
  expect(answer.body.error.field).toBe(field);
  expect(answer.body.error.message).not.toMatch(/FST_|node_modules|\.ts|\.js/);
  expect(service.calls).toEqual([]);
});

it('names the methods that a path has', async () => {
  const app = await appOf(stubService());
  const allowed = async (url: string) => (await call(app, { method: 'DELETE', url })).headers.allow;
  expect(await allowed('/train')).toBe('POST');
  expect(await allowed('/jobs/job-1')).toBe('GET, HEAD');
  expect(await allowed('/feedback')).toBe('POST, GET, HEAD');
});

it('takes no body for an empty one', async () => {
  const app = await appOf(stubService());
  for (const headers of [OPERATE, json]) {
    expect((await call(app, { method: 'POST', url: '/lora/disable', headers })).status).toBe(200);
  }
  expect((await call(app, { method: 'HEAD', url: '/health', headers: OPERATE })).status).toBe(200);
});

it('keeps what it answers from being read otherwise than as it is', async () => {
  const app = await appOf(stubService());
  for (const url of ['/health/live', '/health', '/nowhere', '/adapters/%E0%A4%A']) {
    const { headers } = await call(app, { method: 'GET', url });
    expect(headers, url).toMatchObject({
      ...{ 'x-content-type-options': 'nosniff', 'x-frame-options': 'DENY', 'referrer-policy': 'no-referrer' },
      ...{ 'content-security-policy': "default-src 'none'; frame-ancestors 'none'", 'cache-control': 'no-store' },
    });
    expect(headers).not.toHaveProperty('access-control-allow-origin');
  }
});

it('logs a line for each request, with its id, without token, query and body', async () => {
  const lines: string[] = [];
  const logger = { debug() {}, info: (line: string) => lines.push(line), warn() {}, error() {} };
  const service = stubService();
  const app = await appOf(service, {}, logger);
  const headers = { ...OPERATE, 'x-request-id': 'from-a-client.7' };
  const { headers: answered } = await call(app, { method: 'GET', url: `/jobs?queue=${READ_TOKEN}`, headers });
  expect(answered['x-request-id']).toBe('from-a-client.7');
  await call(app, { url: '/train', method: 'POST', headers: OPERATE, payload: { author: 'somebody' } });
  const strange = { ...bearer(READ_TOKEN), 'x-request-id': 'two\twords' };
  expect((await call(app, { method: 'GET', url: '/jobs/job-1', headers: strange })).headers['x-request-id']).toMatch(
    /^[0-9a-f-]{36}$/,
  );
  await call(app, { method: 'GET', url: '/nowhere/job-1' });
  expect(lines).toEqual([
    expect.stringMatching(/^GET \/jobs 200 [\d.]+ ms, caller ops, request from-a-client\.7$/),
    expect.stringMatching(/^POST \/train 202 [\d.]+ ms, caller ops, request [\w-]+$/),
    expect.stringMatching(/^GET \/jobs\/job-1 200 [\d.]+ ms, caller grafana, request [\w-]+$/),
    expect.stringMatching(/^GET \/nowhere\/job-1 404 [\d.]+ ms, caller -, request [\w-]+$/),
  ]);
  expect(lines.join()).not.toMatch(new RegExp(`${READ_TOKEN}|${OPERATE_TOKEN}|somebody`));
  expect(service.requests.map(({ method, route, status }) => [method, route, status])).toEqual([
    ...[['GET', '/jobs', 200] as unknown, ['POST', '/train', 202], ['GET', '/jobs/:id', 200]],
    ['GET', undefined, 404],
  ]);
});

it('lets one caller make so many requests a second, whatever the others do', async () => {
  const app = await appOf(stubService(), { 'service.rateLimitPerSecond': 3 });
  const many = async (headers: object) => {
    const answers = [];
    for (let i = 0; i < 40; i++)
      answers.push(await call(app, { method: 'GET', url: '/jobs', headers: { ...headers } }));
    return answers;
  };
  const answers = await many(OPERATE);
  const refused = answers.filter(({ status }) => status === 429);
  expect(answers.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(3);
  expect(refused.length).toBeGreaterThan(0);
  expect(refused[0].body.error.code).toBe('ERR_RATE_LIMITED');
  expect(refused[0].headers['retry-after']).toBe('1');
  expect((await call(app, { method: 'GET', url: '/jobs', headers: bearer(READ_TOKEN) })).status).toBe(200);
  const unknown = await many(bearer('guess-guess-guess-guess'));
  expect(new Set(unknown.map(({ status }) => status))).toEqual(new Set([401, 429]));
});

it('answers what is no HTTP, or does not come, as well as it can', async () => {
  const app = await appOf(stubService(), { 'service.requestTimeoutSeconds': 0.2 });
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as { port: number };
  const send = (text: string) =>
    new Promise<string>((done, failed) => {
      let got = '';
      const socket = connect(port, '127.0.0.1', () => socket.write(text));
      socket.on('data', (bytes) => {
        got += bytes;
      });
      socket.on('close', () => done(got)).on('error', failed);
    });
  const cases: [string, number, string][] = [
    ['nonsense\r\n\r\n', 400, 'ERR_BAD_REQUEST'],
    [`GET /health/live HTTP/1.1\r\nHost: x\r\nX-Long: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'ERR_HEADERS_TOO_LARGE'],
    [
      'POST /train HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n',
      400,
      'ERR_BAD_REQUEST',
    ],
    [
      `POST /train HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${OPERATE_TOKEN}\r\nContent-Type: application/json\r\nContent-Length: 10\r\n\r\n{`,
      ...([408, 'ERR_REQUEST_INCOMPLETE'] as const),
    ],
  ];
  const answers = await Promise.all(cases.map(([text]) => send(text)));
  cases.forEach(([text, status, code], i) => {
    const [head, body] = answers[i].split('\r\n\r\n');
    expect(head, text.slice(0, 60)).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    expect(JSON.parse(body).error.code).toBe(code);
  });
  expect((await call(app, { method: 'GET', url: '/health/live' })).status).toBe(200);
});
