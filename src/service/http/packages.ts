/** The packages that HTTP needs, loaded when it is served. */
import { loadPackage } from '../optional-package.js';

/** Rejects with ERR_PACKAGE_MISSING. */
export async function loadHttpPackages() {
  const [{ default: fastify }, { default: rateLimit }, { default: swagger }, { default: swaggerUi }] =
    await Promise.all([
      loadPackage('HTTP', 'fastify', () => import('fastify')),
      loadPackage('HTTP', '@fastify/rate-limit', () => import('@fastify/rate-limit')),
      loadPackage('HTTP', '@fastify/swagger', () => import('@fastify/swagger')),
      loadPackage('HTTP', '@fastify/swagger-ui', () => import('@fastify/swagger-ui')),
    ]);
  return { fastify, rateLimit, swagger, swaggerUi };
}

export type HttpPackages = Awaited<ReturnType<typeof loadHttpPackages>>;
