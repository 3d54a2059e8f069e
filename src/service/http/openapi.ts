/** The OpenAPI document, and the page that shows it. */
import type { FastifyInstance } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';
import { z } from 'zod';
import { LIBRARY_VERSION } from '../../versions/publication.js';
import { ComponentSchemas } from './component-schemas.js';
import { about } from './forms.js';
import type { HttpPackages } from './packages.js';
import { type ProblemCode, problemBody, statusOf } from './problems.js';
import type { Route } from './route.js';

const DOCUMENT: Partial<OpenAPIV3_1.Document> = {
  openapi: '3.1.0',
  info: {
    title: 'lorakeet',
    version: LIBRARY_VERSION,
    description:
      'The learning engine service: feedback, training, versions, what is served. Errors have one shape; codes are in docs/http-api.md and docs/errors.md.',
    license: { name: 'MIT', identifier: 'MIT' },
  },
  components: { securitySchemes: { bearer: { type: 'http', scheme: 'bearer' } } },
};

/** Of the page at /docs. Its icons are data:, and it sets styles of its own. */
const PAGE_POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** To be registered before the routes. */
export async function registerDocument(app: FastifyInstance, { swagger }: HttpPackages): Promise<void> {
  const components = new ComponentSchemas();
  await app.register(swagger, {
    openapi: DOCUMENT as never,
    transform: ({ schema, url }) => ({ schema: describe(schema as unknown as RouteSchema, components), url }),
    transformObject: (document) => {
      const { openapiObject } = document as { openapiObject: OpenAPIV3_1.Document };
      return { ...openapiObject, components: { ...openapiObject.components, schemas: components.all } } as never;
    },
  });
}

interface RouteSchema {
  [name: string]: unknown;
  response?: Record<string, { description: string; content: Record<string, { schema: z.ZodType }> }>;
}

function describe({ response, ...schema }: RouteSchema, components: ComponentSchemas) {
  if (!response) return schema;
  const parts = Object.entries(schema).map(([name, part]) => [
    name,
    part instanceof z.ZodType ? components.of(part, 'input') : part,
  ]);
  const answers = Object.entries(response).map(([status, { description, content }]) => {
    const forms = Object.entries(content).map(([type, { schema }]) => [
      type,
      { schema: components.of(schema, 'output') },
    ]);
    return [status, { description, content: Object.fromEntries(forms) }];
  });
  return { ...Object.fromEntries(parts), response: Object.fromEntries(answers) };
}

/** The page is open: it says what the documentation says. */
export async function registerPage(app: FastifyInstance, { swaggerUi }: HttpPackages): Promise<void> {
  await app.register(swaggerUi, {
    routePrefix: '/docs',
    staticCSP: PAGE_POLICY,
    uiConfig: { docExpansion: 'list', deepLinking: false, persistAuthorization: false },
    uiHooks: { onRequest: app.rateLimit() },
  });
}

/** Answers that any route may give. */
const ANYWHERE: readonly ProblemCode[] = ['ERR_RATE_LIMITED', 'ERR_INTERNAL', 'ERR_CLOSED', 'ERR_REQUEST_TIMEOUT'];
const WITH_TOKEN: readonly ProblemCode[] = ['ERR_UNAUTHORIZED', 'ERR_FORBIDDEN'];
const WITH_FIELDS: readonly ProblemCode[] = ['ERR_INVALID_REQUEST'];
const WITH_BODY: readonly ProblemCode[] = ['ERR_MALFORMED_JSON', 'ERR_BODY_TOO_LARGE', 'ERR_UNSUPPORTED_MEDIA_TYPE'];
/** Whatever asks the stores. */
const WITH_STORES: readonly ProblemCode[] = ['ERR_STORE_UNAVAILABLE'];

export function problemsOf({ scope, path, query, body, problems = [] }: Route): ProblemCode[] {
  const all = [
    ...problems,
    ...(scope === 'open' ? [] : [...WITH_TOKEN, ...WITH_STORES]),
    ...(path || query || body ? WITH_FIELDS : []),
    ...(body ? WITH_BODY : []),
    ...ANYWHERE,
  ];
  return [...new Set(all)];
}

/** What fastify is told of a route, for the document. */
export function schemaOf(route: Route): RouteSchema {
  const { summary, scope, path, query, body, status = 200, otherStatus, answer, events } = route;
  const codes = problemsOf(route);
  const problems = [...new Set(codes.map(statusOf))].map((code) => {
    const description = codes.filter((one) => statusOf(one) === code).join(', ');
    const schema = code === otherStatus ? z.union([answer as z.ZodType, problemBody]) : problemBody;
    return [code, { description, content: { 'application/json': { schema } } }] as const;
  });
  const isSchema = answer instanceof z.ZodType;
  const content = {
    ...(isSchema ? { 'application/json': { schema: answer } } : { [answer.type]: { schema: z.string() } }),
    ...(events && { 'text/event-stream': { schema: about(events, z.string()) } }),
  };
  return {
    summary,
    security: scope === 'open' ? [] : [{ bearer: [] }],
    ...(path && { params: path }),
    ...(query && { querystring: query }),
    ...(body && { body }),
    response: Object.fromEntries([[status, { description: isSchema ? 'done' : answer.about, content }], ...problems]),
  };
}
