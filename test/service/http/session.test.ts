import { expect, it } from 'vitest';
import { appOf, bearer, call, OPERATE_TOKEN, READ_TOKEN } from './apps.js';
import { stubService } from './stub-service.js';

const session = (headers: Record<string, string>) => ({ method: 'GET' as const, url: '/session', headers });

it('GET /session says who calls and what the caller may do', async () => {
  const app = await appOf(stubService());
  const grafana = { name: 'grafana', scope: 'read', tokens: true };
  expect((await call(app, session(bearer(READ_TOKEN)))).body).toEqual(grafana);
  const ops = { name: 'ops', scope: 'operate', tokens: true };
  expect((await call(app, session(bearer(OPERATE_TOKEN)))).body).toEqual(ops);
});

it('GET /session of a service without tokens: everybody may do everything', async () => {
  const app = await appOf(stubService(), { 'service.tokens': [] });
  const anybody = { name: 'local', scope: 'operate', tokens: false };
  expect((await call(app, session({ host: '127.0.0.1:8003' }))).body).toEqual(anybody);
});
