/** The table of routes → routes of fastify. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import type { LearningService } from '../engine/operations.js';
import { fromWire, toWire } from '../wire.js';
import { type KnownCaller, requireScope } from './access.js';
import { schemaOf } from './openapi.js';
import { HttpProblem, type ProblemBody } from './problems.js';
import type { Route, TimeLimit } from './route.js';
import { ROUTES } from './routes.js';
import type { RunningRequests } from './running-requests.js';

export interface Routing {
  service: LearningService;
  running: RunningRequests;
  limits: Readonly<Record<TimeLimit, number>>;
  limitRate: onRequestAsyncHookHandler;
  /** Whether the service knows tokens at all. */
  hasTokens: boolean;
  explain(error: unknown, request: FastifyRequest): ProblemBody;
}

/** Set before any of these is asked. */
export const callerOf = (request: FastifyRequest) => request.getDecorator<KnownCaller | undefined>('caller');

export function registerRoutes(app: FastifyInstance, routing: Routing): void {
  for (const route of ROUTES) {
    const requireCaller = async (request: FastifyRequest) => {
      if (route.scope !== 'open') requireScope(callerOf(request), route.scope);
    };
    app.route({
      method: route.method,
      url: route.url,
      schema: schemaOf(route),
      onRequest: [routing.limitRate, requireCaller],
      preValidation: async (request) => {
        if (route.body && request.body === undefined) request.body = {};
      },
      handler: (request, reply) =>
        routing.running.run(reply, routing.limits[route.timeLimit ?? 'request'], (signal) =>
          answer(route, request, reply, { ...routing, signal }),
        ),
    });
  }
  refuseOtherMethods(app, routing.limitRate);
}

type Surroundings = Routing & { signal: AbortSignal };

async function answer(route: Route, request: FastifyRequest, reply: FastifyReply, around: Surroundings) {
  const { service, signal, explain, hasTokens } = around;
  const caller = callerOf(request);
  reply.code(route.status ?? 200);
  if ('type' in route.answer && 'about' in route.answer) reply.type(route.answer.type);
  const result = await route.run({
    ...{ service, signal, reply, hasTokens },
    caller: { name: caller?.name ?? 'anybody' },
    scope: caller?.scope ?? 'read',
    path: fromWire(request.params),
    query: fromWire(request.query),
    body: route.raw ? request.body : fromWire(request.body),
    explain: (error) => explain(error, request),
  });
  return route.raw || result instanceof Readable ? result : toWire(result);
}

function refuseOtherMethods(app: FastifyInstance, limitRate: onRequestAsyncHookHandler): void {
  for (const url of new Set(ROUTES.map((route) => route.url))) {
    const own = ROUTES.filter((route) => route.url === url).map(({ method }) => method as string);
    if (own.includes('GET')) own.push('HEAD');
    const refuse = async () => {
      const message = `expected one of the methods ${own.join(', ')}`;
      throw new HttpProblem('ERR_METHOD_NOT_ALLOWED', message, { headers: { allow: own.join(', ') } });
    };
    const others = app.supportedMethods.filter((method) => !own.includes(method));
    app.route({ method: others, url, schema: { hide: true }, onRequest: [limitRate, refuse], handler: refuse });
  }
}
