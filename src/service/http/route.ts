/** One route: what it takes, who may call it, what it does. The table of all is in routes.ts. */
import type { FastifyReply } from 'fastify';
import type { z } from 'zod';
import type { Scope } from '../config/kinds.js';
import type { Caller, LearningService } from '../engine/operations.js';
import type { ProblemBody, ProblemCode } from './problems.js';
import type { Unwired } from './wire-shape.js';

/** What a route works with; fields as TypeScript has them. */
export interface RouteContext<Path, Query, Body> {
  service: LearningService;
  caller: Caller;
  /** What the caller may do. */
  scope: Scope;
  /** false: everybody who reaches the service may do everything. */
  hasTokens: boolean;
  path: Path;
  query: Query;
  body: Body;
  /** Ends when the client goes away, when time is up, and when the service shuts down and has waited long enough. */
  signal: AbortSignal;
  /** For another status or type than usual. */
  reply: FastifyReply;
  /** The body that says of an error what may be said; what is unforeseen is logged. */
  explain(error: unknown): ProblemBody;
}

/** How long it may take: service.requestTimeoutSeconds; serving.timeoutSeconds and that; an hour. */
export type TimeLimit = 'request' | 'serving' | 'hour';

interface RouteOptions {
  method: 'GET' | 'POST';
  /** As fastify writes it: /jobs/:id. */
  url: string;
  summary: string;
  /** open: without a token too. */
  scope: Scope | 'open';
  /** Default request. */
  timeLimit?: TimeLimit;
  /** Default 200. */
  status?: number;
  /** That run() may set; the answer has the same form then. */
  otherStatus?: number;
  /** The wire form of what run() answers, or what kind of text that is. */
  answer: z.ZodType | { type: string; about: string };
  /** What the events say where the answer may also come as server-sent events. */
  events?: string;
  /** Codes beside those that any route may answer. */
  problems?: readonly ProblemCode[];
}

export interface Route extends RouteOptions {
  /** Body and answer have the names of the wire as they are. */
  raw?: boolean;
  path?: z.ZodType;
  query?: z.ZodType;
  body?: z.ZodType;
  run(context: RouteContext<unknown, unknown, unknown>): Promise<unknown>;
}

type Given<T, Raw = false> = T extends z.ZodType ? (Raw extends true ? z.output<T> : Unwired<z.output<T>>) : undefined;

/** Lets run() know the types of what its schemas accept. */
export function route<
  P extends z.ZodType | undefined = undefined,
  Q extends z.ZodType | undefined = undefined,
  B extends z.ZodType | undefined = undefined,
  R extends boolean = false,
>(
  definition: RouteOptions & {
    path?: P;
    query?: Q;
    body?: B;
    raw?: R;
    run(context: RouteContext<Given<P>, Given<Q>, Given<B, R>>): Promise<unknown>;
  },
): Route {
  return definition as Route;
}
