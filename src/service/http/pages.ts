/** The dashboard: files that need no token and hold no data. */
import type { FastifyInstance, onRequestAsyncHookHandler } from 'fastify';
import { DASHBOARD_CONTENT_SECURITY_POLICY, dashboardAssets } from '../dashboard/assets.js';

/** Throws ERR_FILE_ACCESS where the dashboard was not built. */
export function registerDashboard(app: FastifyInstance, limitRate: onRequestAsyncHookHandler): void {
  for (const { path, contentType, body, etag } of dashboardAssets()) {
    app.get(path, { schema: { hide: true }, onRequest: limitRate }, async (request, reply) => {
      const headers = {
        'cache-control': 'no-cache',
        etag,
        'content-security-policy': DASHBOARD_CONTENT_SECURITY_POLICY,
      };
      reply.headers(headers);
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      return reply.type(contentType).send(body);
    });
  }
}
