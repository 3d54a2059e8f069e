/** Requests to a learning engine service: one answer each, or an error that says what happened without what is secret. */
import * as http from 'node:http';
import * as https from 'node:https';
import { text as textOf } from 'node:stream/consumers';
import { requireNumber } from '../../checks.js';
import { ERROR_CODES, LorakeetError, type LorakeetErrorCode } from '../../errors.js';

export const DEFAULT_BASE_URL = 'http://localhost:8003';
const DEFAULT_TIMEOUT_MS = 150_000;
const MAX_TIMEOUT_MS = 86_400_000;
const EXCERPT_CHARS = 200;
/** Nothing was done, and it may work later. */
const BUSY = [408, 425, 429, 502, 503, 504];

export interface ClientOptions {
  /** Of the service; default http://localhost:8003. */
  baseUrl?: string;
  /** Sent as bearer token; never part of a message. */
  token?: string;
  /** Of a request, up to a day; default 150,000, as deployments may take 120 s, and an hour where a model answers. */
  timeoutMs?: number;
}

export interface CallOptions {
  signal?: AbortSignal;
  /** Instead of that of the client. */
  timeoutMs?: number;
}

export interface RequestOptions extends CallOptions {
  /** Of undefined ones nothing is sent; a list stands several times. */
  query?: Readonly<Record<string, string | number | readonly string[] | undefined>>;
  /** Sent as JSON. */
  body?: unknown;
  accept?: string;
  /** Where neither the call nor the client has another. */
  usualTimeoutMs?: number;
  /** Statuses that are an answer as well, beside 2xx. */
  expected?: readonly number[];
}

/** An answer with a status that is an error: the cause of the LorakeetError that tells of it. */
export class ServiceAnswerError extends Error {
  readonly status: number;
  /** As the service names it, which may know more than this version. */
  readonly code: string | undefined;
  readonly field: string | undefined;
  readonly requestId: string | undefined;

  constructor(status: number, message: string, { code, field, request_id }: Partial<ErrorBody> = {}) {
    super(message);
    this.name = 'ServiceAnswerError';
    this.status = status;
    this.code = code;
    this.field = field;
    this.requestId = request_id;
  }
}

export interface ErrorBody {
  code: string;
  message: string;
  field?: string;
  request_id?: string;
}

export class Transport {
  /** Without a slash at its end. */
  readonly baseUrl: string;
  readonly #token: string | undefined;
  readonly #timeoutMs: number | undefined;

  /** Throws ERR_INVALID_CONFIG. */
  constructor({ baseUrl = DEFAULT_BASE_URL, token, timeoutMs }: ClientOptions) {
    const parsed = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
    const plain = parsed && /^https?:$/.test(parsed.protocol) && parsed.search === '' && parsed.hash === '';
    // the value stays out of the message, as it may hold a password
    if (!plain || parsed.username !== '' || parsed.password !== '') {
      const expected = 'an http or https address without user, password, query and fragment';
      throw new LorakeetError('ERR_INVALID_CONFIG', `options.baseUrl: expected ${expected}`);
    }
    if (token !== undefined && !(typeof token === 'string' && /^[\x21-\x7e]+$/.test(token))) {
      throw new LorakeetError('ERR_INVALID_CONFIG', 'options.token: expected a string of visible ASCII characters');
    }
    this.baseUrl = parsed.href.replace(/\/+$/, '');
    this.#token = token;
    this.#timeoutMs = timeoutMs === undefined ? undefined : requireTimeout(timeoutMs);
  }

  /** Rejects as `open`, and with ERR_SERVICE_REFUSED for an answer that is no JSON. */
  async json(method: string, path: string, options: RequestOptions = {}): Promise<unknown> {
    const text = await this.text(method, path, options);
    try {
      return JSON.parse(text);
    } catch (cause) {
      const what = `${method} ${this.baseUrl}${path}: expected JSON, got ${this.#excerpt(text)}`;
      throw new LorakeetError('ERR_SERVICE_REFUSED', `${what}; is it a lorakeet service?`, { cause });
    }
  }

  async text(method: string, path: string, options: RequestOptions = {}): Promise<string> {
    return this.open(method, path, options, textOf);
  }

  /**
   * What `read` makes of the answer, within the time limit. Rejects with ERR_SERVICE_UNAVAILABLE where there is no answer or
   * one that says to come again, ERR_ABORTED, the code that the service answers with, else ERR_SERVICE_REFUSED.
   */
  async open<T>(
    method: string,
    path: string,
    options: RequestOptions,
    read: (response: http.IncomingMessage) => Promise<T>,
  ): Promise<T> {
    const { signal, body, accept = 'application/json', expected = [], usualTimeoutMs = DEFAULT_TIMEOUT_MS } = options;
    const timeoutMs = options.timeoutMs ?? this.#timeoutMs ?? usualTimeoutMs;
    const timeout = AbortSignal.timeout(requireTimeout(timeoutMs));
    const what = `${method} ${this.baseUrl}${path}`;
    const headers = {
      accept,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
    };
    try {
      const response = await send(`${this.baseUrl}${path}${queryOf(options.query)}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, timeout]) : timeout,
      });
      const status = response.statusCode as number;
      const isAnswer = (status >= 200 && status < 300) || expected.includes(status);
      if (!isAnswer) throw this.#errorOf(what, status, await textOf(response));
      return await read(response);
    } catch (cause) {
      if (cause instanceof LorakeetError) throw cause;
      if (signal?.aborted) throw new LorakeetError('ERR_ABORTED', `${what}: aborted`, { cause: signal.reason });
      const why = timeout.aborted ? `no answer within ${timeoutMs / 1000} s` : this.#reasonOf(cause);
      throw new LorakeetError('ERR_SERVICE_UNAVAILABLE', `${what}: ${why}`, { cause });
    }
  }

  #errorOf(what: string, status: number, text: string): LorakeetError {
    const body = errorBodyOf(text);
    if (body) return errorOfBody(status, { ...body, message: this.#withoutToken(body.message) });
    const told = `status ${status}: ${this.#excerpt(text)}`;
    return new LorakeetError(codeOf(status), `${what}: ${told}`, { cause: new ServiceAnswerError(status, told) });
  }

  #reasonOf(error: unknown): string {
    const { code, message } = error as { code?: string; message?: string };
    return this.#withoutToken(code ?? message ?? String(error));
  }

  #excerpt(text: string): string {
    const line = this.#withoutToken(text).replace(/\s+/g, ' ').trim();
    return JSON.stringify(line.length > EXCERPT_CHARS ? `${line.slice(0, EXCERPT_CHARS)}…` : line);
  }

  #withoutToken(text: string): string {
    return this.#token === undefined ? text : text.replaceAll(this.#token, '***');
  }
}

/** Not fetch, which gives up after five minutes without an answer; judging a version may take longer. */
function send(
  url: string,
  { body, ...options }: { method: string; headers: http.OutgoingHttpHeaders; body?: string; signal: AbortSignal },
): Promise<http.IncomingMessage> {
  const { request } = url.startsWith('https:') ? https : http;
  return new Promise((answer, refuse) => {
    request(url, options, answer).on('error', refuse).end(body);
  });
}

/** What a service says of an error, as the error that it is there. */
export function errorOfBody(status: number, body: ErrorBody): LorakeetError {
  const known = Object.hasOwn(ERROR_CODES, body.code) ? (body.code as LorakeetErrorCode) : codeOf(status);
  return new LorakeetError(known, body.message, { cause: new ServiceAnswerError(status, body.message, body) });
}

function codeOf(status: number): LorakeetErrorCode {
  return BUSY.includes(status) ? 'ERR_SERVICE_UNAVAILABLE' : 'ERR_SERVICE_REFUSED';
}

function requireTimeout(timeoutMs: number): number {
  return requireNumber('options.timeoutMs', timeoutMs, { above: 0, max: MAX_TIMEOUT_MS });
}

function queryOf(query: RequestOptions['query'] = {}): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    const values = value === undefined ? [] : Array.isArray(value) ? value : [value];
    for (const one of values) parameters.append(name, String(one));
  }
  return parameters.size === 0 ? '' : `?${parameters}`;
}

/** undefined for what another server than ours has answered. */
function errorBodyOf(text: string): ErrorBody | undefined {
  try {
    const { error } = JSON.parse(text) as { error?: ErrorBody };
    return typeof error?.code === 'string' && typeof error.message === 'string' ? error : undefined;
  } catch {
    return undefined;
  }
}
