import { expect, it } from 'vitest';
import { appOf, call } from './apps.js';
import { stubService } from './stub-service.js';

const POLICY = /default-src 'none'.*frame-ancestors 'none'/;

it.each([
  ['/', /<title>[^<]*lorakeet/i],
  ['/docs', /id="swagger-ui"/],
])('%s is a page of its own files, and needs no token', async (url, content) => {
  const service = stubService();
  const app = await appOf(service);
  const page = await call(app, { method: 'GET', url });
  expect(page.status).toBe(200);
  expect(page.body).toMatch(content);
  expect(page.headers['content-security-policy']).toMatch(POLICY);
  expect(page.headers['content-security-policy']).not.toMatch(/script-src[^;]*unsafe|https?:/);
  const named = [...page.body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => path as string);
  expect(named.length).toBeGreaterThan(1);
  for (const path of named) {
    const { origin, pathname } = new URL(path, 'http://localhost/');
    expect(origin).toBe('http://localhost');
    const asset = await call(app, { method: 'GET', url: pathname });
    expect([path, asset.status]).toEqual([path, 200]);
    expect(asset.headers['x-content-type-options']).toBe('nosniff');
  }
  expect(service.calls).toEqual([]);
});

it('is not sent again while it is the same', async () => {
  const app = await appOf(stubService());
  const { headers } = await call(app, { method: 'GET', url: '/' });
  const again = await call(app, { method: 'GET', url: '/', headers: { 'if-none-match': String(headers.etag) } });
  expect([again.status, again.body]).toEqual([304, '']);
});

it('has nothing beside what belongs to it', async () => {
  const app = await appOf(stubService());
  for (const url of ['/docs/static/../../package.json', '/docs/static/%2e%2e/%2e%2e/package.json', '/dashboard/../x']) {
    const { status, body } = await call(app, { method: 'GET', url });
    expect([url, status]).toEqual([url, 404]);
    expect(body.error.code).toBe('ERR_ROUTE_NOT_FOUND');
  }
});
