/** Everything that an answer can say went wrong: codes, the status of each, and the one shape of their bodies. */
import { z } from 'zod';
import { LorakeetError, type LorakeetErrorCode } from '../../errors.js';
import { toSnake } from '../wire.js';
import { about, named } from './forms.js';

/** What is wrong with a request as such, beside the codes of docs/errors.md. */
export const HTTP_PROBLEMS = {
  ERR_BAD_REQUEST: [400, 'The request is not well-formed HTTP, or its path cannot be decoded.'],
  ERR_MALFORMED_JSON: [400, 'The body is not JSON in UTF-8, or has a key like __proto__.'],
  ERR_UNAUTHORIZED: [401, 'There is no bearer token, or none that the service knows.'],
  ERR_FORBIDDEN: [403, 'The token has not the scope, or a service without tokens is called by a page of another site.'],
  ERR_ROUTE_NOT_FOUND: [404, 'There is no such path.'],
  ERR_METHOD_NOT_ALLOWED: [405, 'The path has other methods, which the header Allow names.'],
  ERR_REQUEST_INCOMPLETE: [408, 'The request did not arrive within service.requestTimeoutSeconds.'],
  ERR_BODY_TOO_LARGE: [413, 'The body has more than service.bodyLimitBytes.'],
  ERR_URL_TOO_LONG: [414, 'A part of the path is too long.'],
  ERR_UNSUPPORTED_MEDIA_TYPE: [415, 'The body is no application/json.'],
  ERR_INVALID_REQUEST: [
    422,
    'A field of the body, the query or the path is missing, wrong or unknown; `field` names it.',
  ],
  ERR_RATE_LIMITED: [
    429,
    'The caller makes more than service.rateLimitPerSecond; the header Retry-After says when to come again.',
  ],
  ERR_HEADERS_TOO_LARGE: [431, 'The headers have more than 16 KiB.'],
  ERR_INTERNAL: [500, 'Something unforeseen; the log has more under the request_id.'],
  ERR_REQUEST_TIMEOUT: [504, 'The answer took longer than the route may. What was begun may still be done.'],
} as const satisfies Record<`ERR_${string}`, readonly [status: number, about: string]>;

export type HttpProblemCode = keyof typeof HTTP_PROBLEMS;
export type ProblemCode = HttpProblemCode | LorakeetErrorCode;

/** Of codes of docs/errors.md; any other is a 500. */
export const SERVICE_STATUSES: Partial<Record<LorakeetErrorCode, number>> = {
  ERR_INVALID_ARGUMENT: 422,
  ERR_INVALID_CONFIG: 422,
  ERR_NOT_FINITE: 422,
  ERR_OUT_OF_RANGE: 422,
  ERR_LENGTH_MISMATCH: 422,
  ERR_PATH_NOT_ALLOWED: 422,
  ERR_FILE_ACCESS: 422,
  ERR_FORMAT_CORRUPT: 422,
  ERR_FORMAT_UNSUPPORTED: 422,
  ERR_CONTEXT_FULL: 422,
  ERR_VERSION_NOT_FOUND: 404,
  ERR_JOB_NOT_FOUND: 404,
  ERR_VERSION_CONFLICT: 409,
  ERR_VERSION_UNAPPROVED: 409,
  ERR_VERSION_QUARANTINED: 409,
  ERR_VERSION_IN_USE: 409,
  ERR_ADAPTER_DISABLED: 409,
  ERR_NO_ROLLBACK_TARGET: 409,
  ERR_INVALID_STATE: 409,
  ERR_SERVING_REFUSED: 502,
  ERR_SERVING_MISMATCH: 502,
  ERR_SERVING_UNAVAILABLE: 503,
  ERR_STORE_UNAVAILABLE: 503,
  ERR_CLOSED: 503,
  ERR_QUEUE_FULL: 503,
  ERR_ABORTED: 503,
};

export const problemBody = named(
  'Error',
  z.object({
    error: z.object({
      code: about('Stable, unlike the message.', z.string()),
      message: z.string(),
      field: about('Of the body, the query or the path, where one is to blame.', z.string().optional()),
      request_id: about('Also in the header X-Request-Id and in the log.', z.string()),
    }),
  }),
);

export type ProblemBody = z.output<typeof problemBody>;

/** Thrown by the routes' own checks. */
export class HttpProblem extends Error {
  readonly code: HttpProblemCode;
  readonly field: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(code: HttpProblemCode, message: string, more: { field?: string; headers?: Record<string, string> } = {}) {
    super(message);
    this.name = 'HttpProblem';
    this.code = code;
    this.field = more.field;
    this.headers = more.headers ?? {};
  }
}

export interface Problem {
  status: number;
  code: ProblemCode;
  message: string;
  field?: string;
  headers: Readonly<Record<string, string>>;
}

const INTERNAL: Problem = {
  status: 500,
  code: 'ERR_INTERNAL',
  message: 'the service failed in a way that it did not foresee; its log has more under this request_id',
  headers: {},
};

export function statusOf(code: ProblemCode): number {
  if (Object.hasOwn(HTTP_PROBLEMS, code)) return HTTP_PROBLEMS[code as HttpProblemCode][0];
  return SERVICE_STATUSES[code as LorakeetErrorCode] ?? 500;
}

/** Whatever was thrown, by routes, service or fastify. What is unforeseen says nothing of itself. */
export function problemOf(error: unknown): Problem {
  if (error instanceof HttpProblem) {
    const { code, message, field, headers } = error;
    return { status: statusOf(code), code, message, field, headers };
  }
  if (error instanceof LorakeetError) {
    const status = statusOf(error.code);
    if (status === 500) return INTERNAL;
    const headers: Record<string, string> = status === 503 ? { 'retry-after': '1' } : {};
    return {
      status,
      code: error.code,
      message: error.message,
      field: status === 422 ? fieldOf(error.message) : undefined,
      headers,
    };
  }
  return FRAMEWORK[(error as { code?: string } | null)?.code ?? ''] ?? INTERNAL;
}

const framework = (code: HttpProblemCode, message: string): Problem => ({
  status: statusOf(code),
  code,
  message,
  headers: {},
});

/** By fastify's codes. */
const FRAMEWORK: Readonly<Record<string, Problem>> = {
  FST_ERR_CTP_INVALID_MEDIA_TYPE: framework('ERR_UNSUPPORTED_MEDIA_TYPE', 'the body is not application/json'),
  FST_ERR_CTP_BODY_TOO_LARGE: framework('ERR_BODY_TOO_LARGE', 'the body is larger than service.bodyLimitBytes'),
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: framework('ERR_BAD_REQUEST', 'the body is not as long as Content-Length says'),
  FST_ERR_BAD_URL: framework('ERR_BAD_REQUEST', 'the path cannot be decoded'),
  FST_ERR_MAX_PARAM_LENGTH: framework('ERR_URL_TOO_LONG', 'a part of the path is too long'),
};

/** Of a message like "request.datasetPath: got 3, expected text", as it is called on the wire. */
function fieldOf(message: string): string | undefined {
  const [, found] = /^(?:request\.|options\.)?([\w.[\]]+): /.exec(message) ?? [];
  return found === undefined ? undefined : toSnake(found);
}

export function bodyOf({ code, message, field }: Problem, requestId: string): ProblemBody {
  return { error: { code, message, ...(field !== undefined && { field }), request_id: requestId } };
}
