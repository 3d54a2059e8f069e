import type { OpenAPIV3_1 } from 'openapi-types';
import { beforeAll, describe, expect, it } from 'vitest';
import { LorakeetError } from '../../../src/errors.js';
import { appOf, bearer, call, OPERATE, READ_TOKEN } from './apps.js';
import { checkerOf, documentOf, operationsOf } from './document.js';
import { stubService } from './stub-service.js';

const message = { role: 'user', content: 'Hi' };
const row = {
  ...{ id: 'chat-17', created_at: '2026-01-05T02:00:00+01:00', feedback_type: 'thumbs_down', reason: null },
  ...{
    request_data: { messages: [message], keepThis: { as_it: 1, isIt: 2 } },
    response_data: {},
    expected_answer: 'Hello',
  },
};

interface Case {
  route: string;
  scope: 'open' | 'read' | 'operate';
  /** Of a request that succeeds; default: none. */
  body?: object;
  status?: number;
  /** Bodies or queries that are wrong, and the field that is to be named. */
  wrong?: readonly [unknown, string][];
  /** A path or a body that names what is not there. */
  unknown?: { path?: string; body?: object };
  conflict?: { path?: string; body?: object };
  /** The method of the service that has to be asked, and with what. */
  asks?: readonly unknown[];
}

const caller = { name: 'ops' };
const thresholds = { max_regressions: 0, min_pass_rate: null };

const CASES: readonly Case[] = [
  { route: 'GET /health/live', scope: 'open' },
  { route: 'GET /health/ready', scope: 'open', asks: ['health'] },
  { route: 'GET /health', scope: 'read', asks: ['health'] },
  { route: 'GET /session', scope: 'read' },
  { route: 'GET /overview', scope: 'read', asks: ['overview'] },
  { route: 'GET /metrics', scope: 'read', asks: ['metrics'] },
  {
    ...{ route: 'POST /generate', scope: 'operate', body: { prompt: [message], max_new_tokens: 3, top_k: 2 } },
    wrong: [
      [{}, 'prompt'],
      [{ prompt: 5 }, 'prompt'],
      [{ prompt: [{ role: 'user' }] }, 'prompt[0].content'],
      [{ prompt: 'x', temperature: -1 }, 'temperature'],
      [{ prompt: 'x', stop: ['\0'] }, 'stop[0]'],
      [{ prompt: 'x', tempature: 1 }, 'tempature'],
    ],
    asks: ['generate', { prompt: [message], maxNewTokens: 3, topK: 2 }, { signal: expect.any(AbortSignal) }],
  },
  {
    ...{ route: 'POST /feedback', scope: 'operate', body: row, status: 201 },
    wrong: [
      [{}, 'feedback'],
      [{ ...row, feedback_type: 'meh' }, 'feedback_type'],
      [{ ...row, created_at: '2026-01-05T02:00:00' }, 'created_at'],
      [{ ...row, created_at: '1969-12-31T23:59:59Z' }, 'created_at'],
      [{ ...row, type: 'thumbs_up' }, 'type'],
      [{ ...row, id: ' ' }, 'id'],
      [{ feedback: [row, { ...row, request_data: [] }] }, 'feedback[1].request_data'],
      [{ feedback: [row, { ...row, request_data: { text: '\ud800' } }] }, 'feedback[1].request_data'],
      [{ feedback: [] }, 'feedback'],
    ],
    asks: [
      'appendFeedback',
      [
        {
          ...{
            id: 'chat-17',
            createdAt: new Date('2026-01-05T01:00:00Z'),
            type: 'thumbs_down',
            expectedAnswer: 'Hello',
          },
          ...{ request: row.request_data, response: {} },
        },
      ],
    ],
  },
  {
    ...{ route: 'GET /feedback', scope: 'read' },
    wrong: [
      ['limit=0', 'limit'],
      ['limit=5&limit=6', 'limit'],
      ['since=yesterday', 'since'],
      ['since=2026-01-05T02:00:00Z&offset=1', 'offset'],
    ],
    asks: ['feedback', {}, { limit: 100, after: undefined }],
  },
  { route: 'GET /feedback/count', scope: 'read', wrong: [['until=', 'until']], asks: ['countFeedback', {}] },
  {
    ...{ route: 'POST /train', scope: 'operate', status: 202 },
    body: { days: 3, ewc_lambda: 0, golden_thresholds: thresholds, audit_context: { a_b: { cD: 1 } } },
    wrong: [
      [{ days: 0 }, 'days'],
      [{ days: '3' }, 'days'],
      [{ ewc_lambda: 99 }, 'ewc_lambda'],
      [{ force: 'yes' }, 'force'],
      [{ golden_thresholds: { min_pass_rate: 2 } }, 'golden_thresholds.min_pass_rate'],
      [{ golden_thresholds: { typo: 1 } }, 'golden_thresholds.typo'],
      [{ validation_metrics: { loss: 'low' } }, 'validation_metrics.loss'],
      [{ dayz: 3 }, 'dayz'],
      [[], 'body'],
      [null, 'body'],
    ],
    asks: [
      'train',
      {
        ...{ days: 3, ewcLambda: 0, goldenThresholds: { maxRegressions: 0, minPassRate: null } },
        auditContext: { a_b: { cD: 1 } },
      },
      caller,
    ],
  },
  {
    ...{ route: 'POST /train/jsonl', scope: 'operate', status: 202, body: { dataset_path: 'data/x.jsonl', epochs: 2 } },
    wrong: [
      [{}, 'dataset_path'],
      [{ dataset_path: 'x\0' }, 'dataset_path'],
      [{ dataset_path: 'x', learning_rate: 0 }, 'learning_rate'],
    ],
    asks: ['trainFile', { datasetPath: 'data/x.jsonl', epochs: 2 }, caller],
  },
  {
    ...{ route: 'POST /fisher/calculate', scope: 'operate', status: 202, body: { num_samples: 5 } },
    wrong: [[{ num_samples: 0.5 }, 'num_samples']],
    unknown: { body: { adapter_version: 'v404' } },
    asks: ['calculateFisher', { numSamples: 5 }, caller],
  },
  { route: 'GET /training/status', scope: 'read', asks: ['trainingStatus'] },
  {
    ...{ route: 'POST /validation/golden-set', scope: 'operate', body: { adapter_version: 'v1.0', thresholds } },
    wrong: [[{ thresholds: { max_unsafe_cases: -1 } }, 'thresholds.max_unsafe_cases']],
    unknown: { body: { adapter_version: 'v404' } },
    asks: [
      'validate',
      { adapterVersion: 'v1.0', thresholds: { maxRegressions: 0, minPassRate: null } },
      { signal: expect.any(AbortSignal) },
    ],
  },
  {
    ...{ route: 'GET /jobs', scope: 'read' },
    wrong: [
      ['state=lost', 'state'],
      ['limit=1001', 'limit'],
      ['before=x', 'before'],
    ],
    asks: ['jobs', {}],
  },
  { route: 'GET /jobs/job-1', scope: 'read', unknown: { path: '/jobs/job-9' }, asks: ['job', 'job-1'] },
  {
    ...{ route: 'POST /jobs/job-1/cancel', scope: 'operate', asks: ['cancelJob', 'job-1'] },
    ...{ unknown: { path: '/jobs/job-9/cancel' }, conflict: { path: '/jobs/job-2/cancel' } },
  },
  { route: 'GET /adapters', scope: 'read', asks: ['adapters'] },
  { route: 'GET /adapters/v1.1', scope: 'read', unknown: { path: '/adapters/v404' }, asks: ['adapter', 'v1.1'] },
  {
    ...{ route: 'POST /adapters/v1.1/deploy', scope: 'operate', body: { expect: null } },
    wrong: [
      [{ override: 1 }, 'override'],
      [{ adapter_version: 'v1.1' }, 'adapter_version'],
    ],
    ...{ unknown: { path: '/adapters/v404/deploy' }, conflict: { path: '/adapters/v409/deploy' } },
    asks: ['activate', { reason: 'manual_deploy', expect: null, adapterVersion: 'v1.1' }, caller],
  },
  ...(['quarantine', 'release'] as const).map(
    (method): Case => ({
      ...{ route: `POST /adapters/v1.1/${method}`, scope: 'operate', body: { reason: 'judged again' } },
      wrong: [
        [{}, 'reason'],
        [{ reason: '' }, 'reason'],
        [{ reason: 'x', override: true }, 'override'],
      ],
      ...{ unknown: { path: `/adapters/v404/${method}` }, conflict: { path: `/adapters/v409/${method}` } },
      asks: [method, { adapterVersion: 'v1.1', reason: 'judged again' }, caller],
    }),
  ),
  { route: 'GET /lora/status', scope: 'read', asks: ['loraStatus'] },
  ...(['activate', 'enable', 'promote'] as const).map(
    (method): Case => ({
      ...{ route: `POST /lora/${method}`, scope: 'operate', body: { adapter_version: 'v1.1', reason: 'good' } },
      wrong: [
        [{}, 'adapter_version'],
        [{ adapter_version: 7 }, 'adapter_version'],
        [{ adapter_version: 'v1.1', reason: '' }, 'reason'],
      ],
      ...{ unknown: { body: { adapter_version: 'v404' } }, conflict: { body: { adapter_version: 'v409' } } },
      asks: [method, { adapterVersion: 'v1.1', reason: 'good' }, caller],
    }),
  ),
  ...(['disable', 'rollback'] as const).map(
    (method): Case => ({
      ...{ route: `POST /lora/${method}`, scope: 'operate' },
      wrong: [[{ expected: 'v1' }, 'expected']],
      ...{ unknown: { body: { adapter_version: 'v404' } }, conflict: { body: { expect: 'v0.1' } } },
      asks: [method, {}, caller],
    }),
  ),
];

const parse = ({ route }: Case) => {
  const [method, url] = route.split(' ') as ['GET' | 'POST', string];
  return { method, url, path: url.replace(/^(\/jobs|\/adapters)\/[^/]+/, (_, head) => `${head}/{x}`) };
};
const sameForm = (path: string) => path.replace(/\{\w+\}/, '{x}');

let document: OpenAPIV3_1.Document;
let problemWith: ReturnType<typeof checkerOf>;
beforeAll(async () => {
  document = await documentOf(await appOf(stubService()));
  problemWith = checkerOf(document);
});

describe.each(CASES)('$route', (one) => {
  const { method, url, path } = parse(one);
  const { scope, body, status = 200, wrong = [], unknown, conflict, asks } = one;
  const request = { method, url, headers: OPERATE, ...(body && { payload: body }) };

  it('answers as the document says', async () => {
    const service = stubService();
    const app = await appOf(service);
    const operation = operationsOf(document).find((it) => it.method === method && sameForm(it.path) === path);
    if (!operation) throw new Error('not in the document');
    const answer = await call(app, request);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    const type = String(answer.headers['content-type']);
    const documented = type.startsWith('text') ? type : 'application/json';
    expect(problemWith(operation, status, documented, answer.body)).toBe('');
    expect(service.calls).toEqual(asks ? [{ method: asks[0], given: asks.slice(1) }] : []);
  });

  it('asks for a token, and for one that it knows', async () => {
    const service = stubService();
    const app = await appOf(service);
    for (const headers of [{}, bearer('operate-77b0a24d583'), { authorization: 'Basic b3BzOm9wcw==' }]) {
      const { status: got, body: error, headers: sent } = await call(app, { ...request, headers });
      if (scope === 'open') expect(got).toBe(status);
      else {
        expect(got).toBe(401);
        expect(error.error.code).toBe('ERR_UNAUTHORIZED');
        expect(sent['www-authenticate']).toMatch(/^Bearer/);
        expect(service.calls).toEqual([]);
      }
    }
  });

  it(`${scope === 'operate' ? 'refuses' : 'accepts'} a token that may only read`, async () => {
    const service = stubService();
    const { status: got, body: answer } = await call(await appOf(service), { ...request, headers: bearer(READ_TOKEN) });
    expect(got).toBe(scope === 'operate' ? 403 : status);
    if (scope === 'operate') {
      expect(answer.error.code).toBe('ERR_FORBIDDEN');
      expect(service.calls).toEqual([]);
    }
  });

  if (wrong.length > 0)
    it('names the field that is wrong', async () => {
      const service = stubService();
      const app = await appOf(service);
      for (const [given, field] of wrong) {
        const sent =
          method === 'GET'
            ? { ...request, url: `${url}?${given}` }
            : {
                ...request,
                payload: JSON.stringify(given),
                headers: { ...OPERATE, 'content-type': 'application/json' },
              };
        const { status: got, body: answer } = await call(app, sent);
        expect(got, JSON.stringify(given)).toBe(422);
        expect(answer.error, JSON.stringify(given)).toMatchObject({ code: 'ERR_INVALID_REQUEST', field });
        expect(answer.error.message).toContain(field);
      }
      expect(service.calls).toEqual([]);
    });

  if (unknown)
    it('does not know what is not there', async () => {
      const sent = { ...request, url: unknown.path ?? url, ...(unknown.body && { payload: unknown.body }) };
      const { status: got, body: answer } = await call(await appOf(stubService()), sent);
      expect(got).toBe(404);
      expect(answer.error.code).toMatch(/^ERR_(VERSION|JOB)_NOT_FOUND$/);
    });

  if (conflict)
    it('refuses what does not fit what is', async () => {
      const sent = { ...request, url: conflict.path ?? url, ...(conflict.body && { payload: conflict.body }) };
      const { status: got, body: answer } = await call(await appOf(stubService()), sent);
      expect(got).toBe(409);
      expect(answer.error.code).toMatch(/^ERR_(VERSION_UNAPPROVED|VERSION_CONFLICT|INVALID_STATE)$/);
    });

  if (asks)
    it('says nothing of what it did not foresee', async () => {
      const lines: string[] = [];
      const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => lines.push(line) };
      const broken = async () => {
        throw new TypeError('secret-in-a-message');
      };
      const app = await appOf(stubService({ [String(asks[0])]: broken }), {}, logger);
      const { status: got, body: answer } = await call(app, request);
      expect(got).toBe(500);
      expect(JSON.stringify(answer)).not.toMatch(/secret|TypeError|\.ts/);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain('secret-in-a-message');
      expect(lines[0]).toContain(answer.error.request_id);
    });

  if (asks)
    it('says so where a store cannot be reached', async () => {
      const broken = async () => {
        throw new LorakeetError('ERR_STORE_UNAVAILABLE', 'postgres: cannot be reached');
      };
      const {
        status: got,
        body: answer,
        headers,
      } = await call(await appOf(stubService({ [String(asks[0])]: broken })), request);
      expect([got, answer.error.code, headers['retry-after']]).toEqual([503, 'ERR_STORE_UNAVAILABLE', '1']);
    });
});

it('are all in the document, and the document has no other', () => {
  const documented = operationsOf(document).map(({ method, path }) => `${method} ${sameForm(path)}`);
  const tried = CASES.map(parse).map(({ method, path }) => `${method} ${path}`);
  expect(documented.sort()).toEqual(tried.sort());
});
