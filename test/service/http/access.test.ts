import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/service/config/secret.js';
import { CallerList, requireOwnSite, requireScope } from '../../../src/service/http/access.js';
import { appOf, call, OPERATE_TOKEN } from './apps.js';
import { stubService } from './stub-service.js';

const token = (name: string, text: string, scope: 'read' | 'operate') => ({ name, token: new Secret(text), scope });

describe('callers', () => {
  const callers = new CallerList([
    token('grafana', 'aaaaaaaaaaaaaaaa', 'read'),
    token('ops', 'bbbbbbbbbbbbbbbb', 'operate'),
  ]);

  it.each<[string | undefined, string | undefined]>([
    [undefined, undefined],
    ['', undefined],
    ['aaaaaaaaaaaaaaaa', undefined],
    ['Bearer', undefined],
    ['Bearer ', undefined],
    ['Bearer aaaaaaaaaaaaaaa', undefined],
    ['Bearer aaaaaaaaaaaaaaaaa', undefined],
    ['Bearer AAAAAAAAAAAAAAAA', undefined],
    ['Bearer aaaaaaaaaaaaaaaa bbbbbbbbbbbbbbbb', undefined],
    ['Basic aaaaaaaaaaaaaaaa', undefined],
    ['Bearer aaaaaaaaaaaaaaaa', 'grafana'],
    ['bearer  bbbbbbbbbbbbbbbb ', 'ops'],
  ])('%j is %s', (authorization, name) => {
    expect(callers.find(authorization)?.name).toBe(name);
  });

  it('may do what their scope says', () => {
    const [reader, operator] = ['read', 'operate'].map((scope) => ({
      name: scope,
      scope: scope as 'read' | 'operate',
    }));
    expect(() => requireScope(reader, 'read')).not.toThrow();
    expect(() => requireScope(operator, 'read')).not.toThrow();
    expect(() => requireScope(operator, 'operate')).not.toThrow();
    expect(() => requireScope(reader, 'operate')).toThrow(expect.objectContaining({ code: 'ERR_FORBIDDEN' }));
    expect(() => requireScope(undefined, 'read')).toThrow(expect.objectContaining({ code: 'ERR_UNAUTHORIZED' }));
  });
});

describe('without tokens', () => {
  it.each<[string | undefined, boolean]>([
    ['localhost', true],
    ['LOCALHOST:8003', true],
    ['127.0.0.1:8003', true],
    ['127.8.9.1', true],
    ['[::1]:8003', true],
    [undefined, false],
    ['', false],
    ['evil.example', false],
    ['evil.example:8003', false],
    ['localhost.evil.example', false],
    ['127.0.0.1.evil.example', false],
    ['evil.example:127.0.0.1', false],
    ['localhost:8003:1', false],
    ['localhost@evil.example', false],
    ['[::1', false],
    ['[evil.example]', false],
    ['10.0.0.1', false],
  ])('the host %j is fine: %s', (host, fine) => {
    const check = () => requireOwnSite({ host });
    if (fine) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'ERR_FORBIDDEN' }));
  });

  it.each<[string, boolean]>([
    ['http://localhost:8003', true],
    ['https://localhost:8003', false],
    ['http://localhost:3000', false],
    ['http://evil.example', false],
    ['null', false],
  ])('a page of %j may call: %s', (origin, fine) => {
    const check = () => requireOwnSite({ host: 'localhost:8003', origin });
    if (fine) expect(check).not.toThrow();
    else expect(check).toThrow(expect.objectContaining({ code: 'ERR_FORBIDDEN' }));
  });

  it('whoever is on the machine may do everything, and no page of strangers anything', async () => {
    const service = stubService();
    const app = await appOf(service, { 'service.tokens': [] });
    const ask = (headers: Record<string, string>) =>
      call(app, { method: 'POST', url: '/lora/disable', headers: { host: 'localhost:8003', ...headers } });
    expect((await ask({ host: 'rebound.example:8003' })).status).toBe(403);
    expect((await ask({ origin: 'http://evil.example' })).status).toBe(403);
    expect(service.calls).toEqual([]);
    expect((await ask({})).status).toBe(200);
    expect((await ask({ origin: 'http://localhost:8003' })).status).toBe(200);
    expect(service.calls[0].given[1]).toEqual({ name: 'local' });
    const page = await call(app, { method: 'GET', url: '/', headers: { host: 'rebound.example' } });
    expect(page.status).toBe(403);
  });
});

it('with tokens no site is special', async () => {
  const app = await appOf(stubService());
  const headers = { host: 'lorakeet.example', origin: 'http://any.example', authorization: `Bearer ${OPERATE_TOKEN}` };
  expect((await call(app, { method: 'GET', url: '/jobs', headers })).status).toBe(200);
});
