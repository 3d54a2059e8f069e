/** The packages that HTTP needs, loaded when it is served. */
import { LorakeetError } from '../../errors.js';

const loadPackages = async () => ({
  fastify: (await import('fastify')).default,
  rateLimit: (await import('@fastify/rate-limit')).default,
  swagger: (await import('@fastify/swagger')).default,
  swaggerUi: (await import('@fastify/swagger-ui')).default,
});

export type HttpPackages = Awaited<ReturnType<typeof loadPackages>>;

export const HTTP_PACKAGES = ['fastify', '@fastify/rate-limit', '@fastify/swagger', '@fastify/swagger-ui'];

/** Rejects with ERR_HTTP_UNAVAILABLE. */
export async function requirePackages(load = loadPackages): Promise<HttpPackages> {
  return load().catch((cause) => {
    const text = `HTTP needs packages that are not all installed: npm install ${HTTP_PACKAGES.join(' ')}`;
    throw new LorakeetError('ERR_HTTP_UNAVAILABLE', text, { cause });
  });
}
