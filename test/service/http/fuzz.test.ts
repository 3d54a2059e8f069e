/**
 * Whatever is asked, in whatever form: an answer that the document has, never a 500, and none that hangs. LORAKEET_FUZZ=20000
 * asks so often, LORAKEET_FUZZ_SEED=7 other things.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance, InjectOptions } from 'fastify';
import { expect, it } from 'vitest';
import { createHttpApp } from '../../../src/service/http/app.js';
import {
  configOf as engineConfig,
  newFolder,
  openService,
  openVersions,
  publishSome,
  startVllm,
} from '../engine/fixtures.js';
import { appOf, OPERATE, TOKENS } from './apps.js';
import { checkerOf, documentOf, type Operation, operationsOf } from './document.js';
import { RequestGenerator } from './generator.js';
import { stubService } from './stub-service.js';

const REQUESTS = Number(process.env.LORAKEET_FUZZ ?? 400);
const SEED = Number(process.env.LORAKEET_FUZZ_SEED ?? 1);
/** Of the limit of requests, so that what hangs is a 504. */
const SECONDS = 20;

interface Asked {
  request: InjectOptions;
  status: number;
  problem: string;
}

/** Asks every operation in turn; what was answered, and what was wrong with that. */
async function ask(app: FastifyInstance, lines: readonly string[]): Promise<Asked[]> {
  const document = await documentOf(app);
  const operations = operationsOf(document);
  const check = checkerOf(document);
  const generator = new RequestGenerator(document, SEED);
  const asked: Asked[] = [];
  for (let i = 0; i < REQUESTS; i++) {
    const operation = operations[i % operations.length];
    const oddness = generator.pick([0, 0.05, 0.2, 0.5]);
    const request = generator.request(operation, oddness);
    const seen = lines.length;
    const response = await app.inject({ ...request, headers: { ...OPERATE, ...request.headers } });
    const problem = problemOf(operation, response, check) || lines.slice(seen).join('; ');
    asked.push({ request, status: response.statusCode, problem });
  }
  return asked;
}

type Response = Awaited<ReturnType<FastifyInstance['inject']>> extends infer R ? Exclude<R, undefined> : never;

function problemOf(operation: Operation, response: Response, check: ReturnType<typeof checkerOf>): string {
  const status = response.statusCode;
  if (status === 500 || status === 504) return response.payload;
  const type = String(response.headers['content-type']);
  if (!type.startsWith('application/json')) return type.startsWith('text/') ? '' : `type ${type}`;
  const body = response.json();
  // a path that was changed leads elsewhere, or nowhere; what is no HTTP is nobody's
  if (status >= 400 && typeof body.error?.code === 'string' && typeof body.error.request_id === 'string') return '';
  return check(operation, status, 'application/json', body);
}

const told = ({ request, status, problem }: Asked) =>
  `${request.method} ${request.url} ${JSON.stringify(request.headers)} ${String(request.payload).slice(0, 500)}\n→ ${status}: ${problem}`;

it(`answers ${REQUESTS} requests of any form`, async () => {
  const folder = newFolder();
  const allowed = join(folder, 'allowed');
  mkdirSync(allowed);
  writeFileSync(join(allowed, 'v1.0'), '{"input":"a","output":"b"}\n');
  await publishSome(await openVersions(folder), 2);
  const server = await startVllm();
  const config = await engineConfig(folder, {
    ...{ 'service.tokens': TOKENS, 'service.allowedFolders': [allowed], 'service.requestTimeoutSeconds': SECONDS },
    ...{
      'service.rateLimitPerSecond': 1e6,
      'serving.driver': 'vllm',
      'serving.urls': [server.url],
      'serving.timeoutSeconds': 2,
    },
  });
  const lines: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => lines.push(line) };
  const service = await openService(config);
  const app = await createHttpApp(service, config, { logger });
  try {
    const asked = await ask(app, lines);
    expect(asked.filter(({ problem }) => problem !== '').map(told)).toEqual([]);
    // requests of both kinds came through: the generator knows what fits and what does not
    const share = (from: number, to: number) =>
      asked.filter(({ status }) => status >= from && status < to).length / asked.length;
    expect(share(200, 300)).toBeGreaterThan(0.15);
    expect(share(400, 500)).toBeGreaterThan(0.3);
    expect(await service.health()).toMatchObject({ version: expect.any(String) });
  } finally {
    await app.close();
  }
}, 600_000);

it('would find what is not foreseen', async () => {
  const lines: string[] = [];
  const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => lines.push(line) };
  const app = await appOf(
    stubService({
      train: async ({ days = 7 }) => {
        throw new RangeError(`days ${days}`);
      },
      overview: async () => ({ model: null }) as never,
    }),
    { 'service.rateLimitPerSecond': 1e6 },
    logger,
  );
  const found = (await ask(app, lines)).filter(({ problem }) => problem !== '');
  expect(found.some(({ request }) => String(request.url).startsWith('/train'))).toBe(true);
  expect(found.some(({ request }) => String(request.url).startsWith('/overview'))).toBe(true);
  expect(found.every(({ request }) => /^\/(train|overview)/.test(String(request.url)))).toBe(true);
}, 600_000);
