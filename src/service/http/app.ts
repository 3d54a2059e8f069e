/** The fastify app: everything between a request and the operation that it asks for. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { z } from 'zod';
import { LorakeetError } from '../../errors.js';
import { consoleLogger, type Logger } from '../../logger.js';
import type { ServiceConfig } from '../config/keys.js';
import type { LearningService } from '../engine/operations.js';
import { CallerList, requireOwnSite } from './access.js';
import { registerDocument, registerPage } from './openapi.js';
import { loadHttpPackages } from './packages.js';
import { registerDashboard } from './pages.js';
import { bodyOf, HttpProblem, problemOf } from './problems.js';
import type { TimeLimit } from './route.js';
import { callerOf, registerRoutes } from './routing.js';
import { RunningRequests } from './running-requests.js';
import { answerBrokenRequest, beginAnswer, jsonParserOf, pathOf, requestIdOf } from './transport.js';
import { checkerOf } from './validation.js';

export interface HttpAppOptions {
  /** Default: the console. */
  logger?: Logger;
}

/** What of the configuration the app goes by. */
export type HttpConfig = Pick<ServiceConfig, 'service' | 'serving'>;

export interface HttpApp {
  app: FastifyInstance;
  running: RunningRequests;
}

const MAX_PARAMETER_CHARACTERS = 1000;
const HOUR_MS = 3_600_000;
/** As web servers log it; nobody is there to read it. */
const CLIENT_WENT_AWAY = 499;

/**
 * The routes of docs/http-api.md as a fastify app, which does not listen yet and does not close the service. Rejects with
 * ERR_PACKAGE_MISSING without the packages that it needs.
 */
export async function createHttpApp(
  service: LearningService,
  config: HttpConfig,
  options: HttpAppOptions = {},
): Promise<FastifyInstance> {
  return (await buildApp(service, config, options)).app;
}

/** The same, with a hold on the requests that it answers. */
export async function buildApp(
  service: LearningService,
  config: HttpConfig,
  { logger = consoleLogger }: HttpAppOptions,
): Promise<HttpApp> {
  const packages = await loadHttpPackages();
  const settings = config.service;
  const requestMs = Math.ceil(settings.requestTimeoutSeconds * 1000);
  const limits: Record<TimeLimit, number> = {
    request: requestMs,
    serving: requestMs + Math.ceil(config.serving.timeoutSeconds * 1000),
    hour: Math.max(requestMs, HOUR_MS),
  };
  const callers = new CallerList(settings.tokens);
  const running = new RunningRequests();

  const problemFor = (error: unknown, request: FastifyRequest) => {
    const problem = problemOf(error);
    if (problem.status === 500) logger.error(`request ${request.id}: ${(error as Error)?.stack ?? error}`);
    return problem;
  };
  const answerProblem = (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    const problem = problemFor(error, request);
    reply.code(problem.status).headers(problem.headers).type('application/json; charset=utf-8');
    return reply.send(bodyOf(problem, request.id));
  };

  const app: FastifyInstance = packages.fastify({
    logger: false,
    bodyLimit: settings.bodyLimitBytes,
    genReqId: requestIdOf,
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAMETER_CHARACTERS },
    // of what is sent; what is answered has limits of its own
    requestTimeout: requestMs,
    http: { headersTimeout: requestMs, connectionsCheckingInterval: Math.min(requestMs, 1000) },
    frameworkErrors: (error, request, reply) => answerProblem(error, request, beginAnswer(request, reply)),
    clientErrorHandler: answerBrokenRequest,
  });
  app.setErrorHandler(answerProblem);
  app.setValidatorCompiler(({ schema, httpPart }) => validatorOf(schema as z.ZodType, httpPart ?? 'body'));
  app.setSerializerCompiler(() => JSON.stringify);
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, jsonParserOf(app));

  let closing = false;
  app.addHook('preClose', async () => {
    closing = true;
    // connections that are kept, or were opened and not used yet, would keep the service
    setImmediate(() => running.onIdle(() => app.server.closeAllConnections()));
  });
  app.decorateRequest('caller');
  app.addHook('onRequest', async (request, reply) => {
    beginAnswer(request, reply);
    running.add(reply);
    const beganAt = performance.now();
    reply.raw.once('close', () => {
      const durationMs = performance.now() - beganAt;
      const { method } = request;
      const status = reply.raw.writableEnded ? reply.statusCode : CLIENT_WENT_AWAY;
      service.requestFinished({
        method,
        route: request.is404 ? undefined : request.routeOptions.url,
        status,
        durationMs,
      });
      const by = callerOf(request)?.name ?? '-';
      logger.info(
        `${method} ${pathOf(request)} ${status} ${durationMs.toFixed(1)} ms, caller ${by}, request ${request.id}`,
      );
    });
    if (closing) throw new LorakeetError('ERR_CLOSED', 'the service is shutting down');
    if (callers.isOpen) requireOwnSite(request.headers);
    request.setDecorator('caller', callers.find(request.headers.authorization));
  });

  const quiet = { 'x-ratelimit-limit': false, 'x-ratelimit-remaining': false, 'x-ratelimit-reset': false };
  await app.register(packages.rateLimit, {
    global: false,
    max: settings.rateLimitPerSecond,
    timeWindow: 1000,
    addHeaders: quiet,
    addHeadersOnExceeding: quiet,
    keyGenerator: (request) => callerOf(request)?.name ?? `address ${request.ip}`,
    errorResponseBuilder: () =>
      new HttpProblem('ERR_RATE_LIMITED', `expected at most ${settings.rateLimitPerSecond} requests a second`),
  });
  const limitRate = app.rateLimit();
  app.setNotFoundHandler({ preHandler: limitRate }, async () => {
    throw new HttpProblem('ERR_ROUTE_NOT_FOUND', 'there is no such path');
  });
  await registerDocument(app, packages);

  registerRoutes(app, {
    ...{ service, running, limits, limitRate, hasTokens: !callers.isOpen },
    explain: (error, request) => bodyOf(problemFor(error, request), request.id),
  });
  registerDashboard(app, limitRate);
  await registerPage(app, packages);
  return { app, running };
}

/** As fastify has it: what is wrong is not thrown but returned. */
function validatorOf(schema: z.ZodType, part: string) {
  const check = checkerOf(part, schema);
  return (value: unknown) => {
    try {
      return { value: check(value) };
    } catch (error) {
      return { error: error as Error };
    }
  };
}
