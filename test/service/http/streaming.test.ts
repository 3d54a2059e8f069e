/** Answers over real connections: event by event, and what becomes of the work of a client that goes away. */
import { type ClientRequest, request as send } from 'node:http';
import { expect, it } from 'vitest';
import { LorakeetError } from '../../../src/errors.js';
import type { GenerateAnswer, LearningService } from '../../../src/service/engine/operations.js';
import { appOf, call, OPERATE } from './apps.js';
import { goldenReport, stubService } from './stub-service.js';

const ANSWER: GenerateAnswer = {
  ...{ text: 'Hello', version: null, finishReason: 'stop', promptTokens: 3, completionTokens: 2 },
};

/** Something to wait for. */
function signal<T = void>() {
  let set!: (value: T) => void;
  const happened = new Promise<T>((done) => {
    set = done;
  });
  return { set, happened };
}

async function listening(overrides: Partial<LearningService>, lines: string[] = []) {
  const logger = {
    debug() {},
    info: (line: string) => lines.push(line),
    warn() {},
    error: (line: string) => lines.push(line),
  };
  const service = stubService(overrides);
  const app = await appOf(service, {}, logger);
  await app.listen({ port: 0, host: '127.0.0.1' });
  const { port } = app.server.address() as { port: number };
  const post = (path: string, body: object, heard: (text: string) => void = () => {}): ClientRequest => {
    const headers = { ...OPERATE, 'content-type': 'application/json' };
    const request = send({ port, path, method: 'POST', headers }, (response) => {
      response
        .setEncoding('utf8')
        .on('data', heard)
        .on('error', () => {});
    });
    request.on('error', () => {});
    request.end(JSON.stringify(body));
    return request;
  };
  return { app, service, post };
}

const STREAM = { method: 'POST', url: '/generate', headers: OPERATE, payload: { prompt: 'Hi', stream: true } } as const;

it('sends each text when it is there', async () => {
  const [first, more] = [signal<string>(), signal()];
  const { post } = await listening({
    generate: async (_, { onText } = {}) => {
      onText?.('Hel');
      await more.happened;
      onText?.('lo');
      return ANSWER;
    },
  });
  const rest = signal<string>();
  let heard = '';
  post('/generate', STREAM.payload, (text) => {
    heard += text;
    first.set(heard);
    if (heard.includes('event: answer')) rest.set(heard);
  });
  expect(await first.happened).toBe('event: text\ndata: {"text":"Hel"}\n\n');
  more.set();
  expect((await rest.happened).split('\n\n')).toEqual([
    'event: text\ndata: {"text":"Hel"}',
    'event: text\ndata: {"text":"lo"}',
    'event: answer\ndata: {"text":"Hello","version":null,"finish_reason":"stop","prompt_tokens":3,"completion_tokens":2}',
    '',
  ]);
});

it('keeps texts with line breaks whole', async () => {
  const generate = async (_: unknown, { onText }: { onText?: (text: string) => void } = {}) => {
    onText?.('one\n\ndata: two\u2028\r');
    return ANSWER;
  };
  const { body } = await call(await appOf(stubService({ generate })), STREAM);
  const [event] = body.split('\n\n');
  expect(JSON.parse(event.replace('event: text\ndata: ', ''))).toEqual({ text: 'one\n\ndata: two\u2028\r' });
});

it('is an ordinary error before there is any text, and an event afterwards', async () => {
  const refuse =
    (text?: string) =>
    async (_: unknown, options: { onText?: (text: string) => void } = {}) => {
      if (text) options.onText?.(text);
      throw new LorakeetError('ERR_CONTEXT_FULL', 'prompt: got 9000 tokens, expected at most 2048 tokens');
    };
  const before = await call(await appOf(stubService({ generate: refuse() })), STREAM);
  expect([before.status, before.body.error.code, before.body.error.field]).toEqual([422, 'ERR_CONTEXT_FULL', 'prompt']);
  const after = await call(await appOf(stubService({ generate: refuse('Hel') })), STREAM);
  expect(after.status).toBe(200);
  const [, event] = after.body.split('\n\n');
  const error = { code: 'ERR_CONTEXT_FULL', field: 'prompt', request_id: after.headers['x-request-id'] };
  expect(JSON.parse(event.replace('event: error\ndata: ', ''))).toMatchObject({ error });
});

it('says nothing in a stream of what it did not foresee', async () => {
  const lines: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => lines.push(line) };
  const generate = async (_: unknown, { onText }: { onText?: (text: string) => void } = {}) => {
    onText?.('Hel');
    throw new TypeError('secret-in-a-message');
  };
  const { body } = await call(await appOf(stubService({ generate }), {}, logger), STREAM);
  expect(body).toContain('ERR_INTERNAL');
  expect(body).not.toContain('secret');
  expect(lines[0]).toContain('secret-in-a-message');
});

const WAITING: readonly [
  string,
  object,
  (until: (signal?: AbortSignal) => Promise<void>) => Partial<LearningService>,
][] = [
  [
    '/validation/golden-set',
    {},
    (until) => ({ validate: (_, { signal } = {}) => until(signal).then(() => goldenReport) }),
  ],
  ['/generate', { prompt: 'Hi' }, (until) => ({ generate: (_, { signal } = {}) => until(signal).then(() => ANSWER) })],
  [
    '/generate',
    { prompt: 'Hi', stream: true },
    (until) => ({
      generate: (_, { signal, onText } = {}) => {
        onText?.('Hel');
        return until(signal).then(() => ANSWER);
      },
    }),
  ],
];

it.each(WAITING)('%s %j ends when its client goes away, and not before', async (path, body, methods) => {
  const [begun, ended] = [signal<AbortSignal>(), signal<unknown>()];
  const lines: string[] = [];
  const until = (its?: AbortSignal) =>
    new Promise<void>((_, failed) => {
      begun.set(its as AbortSignal);
      its?.addEventListener('abort', () => {
        ended.set(its.reason);
        failed(its.reason);
      });
    });
  const { post, service } = await listening(methods(until), lines);
  const request = post(path, body);
  // the body has been read long since: that alone is no going away
  expect((await begun.happened).aborted).toBe(false);
  await new Promise((done) => setImmediate(() => setImmediate(done)));
  expect((await begun.happened).aborted).toBe(false);
  request.destroy();
  expect(await ended.happened).toMatchObject({ code: 'ERR_ABORTED' });
  expect(service.requests.map(({ route, status }) => [route, status])).toEqual([[path, 499]]);
  expect(lines).toEqual([expect.stringMatching(` ${path} 499 `)]);
});

it('answers 504 when the time is up', async () => {
  const never = new Promise<never>(() => {});
  const service = stubService({ health: () => never, overview: () => never });
  const app = await appOf(service, { 'service.requestTimeoutSeconds': 0.05 });
  const answers = await Promise.all(
    ['/health', '/overview'].map((url) => call(app, { method: 'GET', url, headers: OPERATE })),
  );
  expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual([
    [504, 'ERR_REQUEST_TIMEOUT'],
    [504, 'ERR_REQUEST_TIMEOUT'],
  ]);
  // what takes long by its nature has more time
  const validate = () => new Promise<typeof goldenReport>((done) => setTimeout(() => done(goldenReport), 100));
  const patient = await appOf(stubService({ validate }), { 'service.requestTimeoutSeconds': 0.05 });
  expect((await call(patient, { method: 'POST', url: '/validation/golden-set', headers: OPERATE })).status).toBe(200);
});
