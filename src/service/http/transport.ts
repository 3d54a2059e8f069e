/** Headers and bodies as such: what every answer carries, and what comes before there is a route. */
import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { bodyOf, HttpProblem, type HttpProblemCode, problemOf } from './problems.js';

/** Of everything that is not a page. */
const HEADERS = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

const REQUEST_ID = /^[\w.:-]{1,64}$/;

/** That of the client, where it has a form that can be logged. */
export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id'];
  return typeof given === 'string' && REQUEST_ID.test(given) ? given : randomUUID();
}

export function beginAnswer(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.headers(HEADERS).header('x-request-id', request.id);
}

/** For logs: without the query, which may hold what is nobody's business. */
export function pathOf({ url }: FastifyRequest): string {
  return url
    .split('?', 1)[0]
    .slice(0, 200)
    .replace(/[^\x21-\x7e]/g, '?');
}

/** An empty body is no body. Keys like __proto__ are refused, as fastify's own parser does. */
export function jsonParserOf(app: FastifyInstance) {
  const parse = app.getDefaultJsonParser('error', 'error');
  return (request: FastifyRequest, body: Buffer, done: (error: Error | null, value?: unknown) => void) => {
    if (body.length === 0) return done(null, undefined);
    if (!isUtf8(body)) return done(new HttpProblem('ERR_MALFORMED_JSON', 'the body is not UTF-8'));
    parse(request, body.toString('utf8'), (error: Error | null, value?: unknown) => {
      done(error && new HttpProblem('ERR_MALFORMED_JSON', `the body is not JSON: ${error.message}`), value);
    });
  };
}

const BROKEN: Readonly<Record<string, [HttpProblemCode, string]>> = {
  HPE_HEADER_OVERFLOW: ['ERR_HEADERS_TOO_LARGE', 'the headers are too large'],
  ERR_HTTP_REQUEST_TIMEOUT: ['ERR_REQUEST_INCOMPLETE', 'the request did not arrive in time'],
};

/** What Node could not read as a request: there is neither a request nor a reply. */
export function answerBrokenRequest(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  const [code, message] = BROKEN[error.code ?? ''] ?? ['ERR_BAD_REQUEST', 'the request is not well-formed HTTP'];
  const problem = problemOf(new HttpProblem(code, message));
  const id = randomUUID();
  const body = JSON.stringify(bodyOf(problem, id));
  const headers = {
    ...HEADERS,
    'x-request-id': id,
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(`HTTP/1.1 ${problem.status} Refused\r\n${lines.join('')}\r\n${body}`);
}
