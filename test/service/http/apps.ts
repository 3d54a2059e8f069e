/** Apps to call, with tokens of both scopes. */
import type { FastifyInstance, InjectOptions } from 'fastify';
import { afterEach } from 'vitest';
import { type Logger, silentLogger } from '../../../src/logger.js';
import { type LoadConfigOptions, loadConfig } from '../../../src/service/config/load.js';
import type { LearningService } from '../../../src/service/engine/operations.js';
import { createHttpApp } from '../../../src/service/http/app.js';

export const READ_TOKEN = 'read-3f9c1e77b0a24d58';
export const OPERATE_TOKEN = 'operate-77b0a24d583f';
export const TOKENS = [
  { name: 'grafana', token: READ_TOKEN, scope: 'read' },
  { name: 'ops', token: OPERATE_TOKEN, scope: 'operate' },
];

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
export const OPERATE = bearer(OPERATE_TOKEN);

export async function configOf(overrides: LoadConfigOptions['overrides'] = {}) {
  return (await loadConfig({ env: {}, overrides: { 'service.tokens': TOKENS, ...overrides } })).config;
}

const opened: FastifyInstance[] = [];

/** Closed after the test. */
export async function appOf(
  service: LearningService,
  overrides: LoadConfigOptions['overrides'] = {},
  logger: Logger = silentLogger,
): Promise<FastifyInstance> {
  const app = await createHttpApp(service, await configOf(overrides), { logger });
  opened.push(app);
  return app;
}

afterEach(async () => {
  await Promise.all(opened.splice(0).map((app) => app.close()));
});

/** Status, body and headers of a request. */
export async function call(app: FastifyInstance, request: InjectOptions) {
  const response = await app.inject(request);
  const isJson = /^application\/json/.test(String(response.headers['content-type']));
  const body = isJson && response.payload !== '' ? response.json() : response.payload;
  return { status: response.statusCode, headers: response.headers, body };
}
