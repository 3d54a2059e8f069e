/** JSON over HTTP with a server that may be slow, gone or wrong; what failed is told without what is secret. */
import { requireInteger, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { OperationOptions } from './driver.js';
import { type Operation, requireTimeout, runOperation } from './operation.js';

export interface HttpOptions {
  /** Of the server, such as http://10.0.0.7:8000; http or https, with a path in front of all others if need be. */
  url: string;
  /** Sent as bearer token; never part of a message. */
  token?: string;
  /** Of a whole operation; default 120000. */
  timeoutMs?: number;
  /** How often an operation is begun at most where the server cannot be reached or is busy; default 4. */
  attempts?: number;
  /** Before the second attempt; twice that before each later one, at most 5 s. Default 250. */
  retryDelayMs?: number;
}

export const HTTP_KEYS = ['url', 'token', 'timeoutMs', 'attempts', 'retryDelayMs'];

/** An answer with another status than 2xx: the cause of the LorakeetError that tells of it. */
export class ServingAnswerError extends Error {
  readonly status: number;
  /** When the server wants to be asked again. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, excerpt: string, retryAfterMs?: number) {
    super(`status ${status}: ${excerpt}`);
    this.name = 'ServingAnswerError';
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

const EXCERPT_CHARS = 200;
const MAX_ANSWER_BYTES = 2 ** 24;
const MAX_PAUSE_MS = 5000;
/** Nothing was done, and it may work later. */
const BUSY = [408, 425, 429, 502, 503, 504];

export class ServingClient {
  /** Without a slash at its end. */
  readonly url: string;
  readonly #timeoutMs: number | undefined;
  readonly #token: string | undefined;
  readonly #attempts: number;
  readonly #retryDelayMs: number;

  /** Throws ERR_INVALID_CONFIG. */
  constructor({ url, token, timeoutMs, attempts = 4, retryDelayMs = 250 }: HttpOptions) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    const plain = parsed && /^https?:$/.test(parsed.protocol) && parsed.search === '' && parsed.hash === '';
    // the value stays out of the message, as it may hold a password
    if (!plain || parsed.username !== '' || parsed.password !== '') {
      const expected = 'an http or https address without user, password, query and fragment';
      throw new LorakeetError('ERR_INVALID_CONFIG', `options.url: expected ${expected}`);
    }
    const sendable = typeof token === 'string' && /^[\x21-\x7e]+$/.test(token);
    if (token !== undefined && !sendable) {
      throw new LorakeetError('ERR_INVALID_CONFIG', 'options.token: expected a string of visible ASCII characters');
    }
    this.url = parsed.href.replace(/\/+$/, '');
    this.#timeoutMs = timeoutMs === undefined ? undefined : requireTimeout('options.timeoutMs', timeoutMs);
    this.#token = token;
    this.#attempts = requireInteger('options.attempts', attempts, 1, 100);
    this.#retryDelayMs = requireNumber('options.retryDelayMs', retryDelayMs, { min: 0, max: MAX_PAUSE_MS });
  }

  /** As runOperation, with the time limit of the options, else of this client. */
  run<T>(what: string, options: OperationOptions, work: (operation: Operation) => Promise<T>): Promise<T> {
    const { timeoutMs = this.#timeoutMs, signal } = options;
    return runOperation(`${what} at ${this.url}`, { timeoutMs, signal }, work);
  }

  /**
   * The text of a 2xx answer. Rejects with ERR_SERVING_UNAVAILABLE where there is none or one that says to come again,
   * ERR_SERVING_REFUSED for other answers, ERR_SERVING_MISMATCH for one of more than 16 MiB, and what ended the operation.
   */
  async request(operation: Operation, method: 'GET' | 'POST', path: string, body?: unknown): Promise<string> {
    const what = `${method} ${this.url}${path}`;
    let status: number;
    let text: string;
    let retryAfter: string | null;
    try {
      const response = await fetch(`${this.url}${path}`, {
        method,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(this.#token !== undefined && { authorization: `Bearer ${this.#token}` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
        redirect: 'manual',
        signal: operation.signal,
      });
      status = response.status;
      retryAfter = response.headers.get('retry-after');
      text = await readText(what, response);
    } catch (cause) {
      operation.signal.throwIfAborted();
      if (cause instanceof LorakeetError) throw cause;
      throw new LorakeetError('ERR_SERVING_UNAVAILABLE', `${what}: ${this.#reasonOf(cause)}`, { cause });
    }
    if (status >= 200 && status < 300) return text;
    const excerpt = this.excerpt(text);
    const seconds = retryAfter !== null && /^\d{1,4}$/.test(retryAfter) ? Number(retryAfter) : undefined;
    const cause = new ServingAnswerError(status, excerpt, seconds === undefined ? undefined : seconds * 1000);
    const code = BUSY.includes(status) ? 'ERR_SERVING_UNAVAILABLE' : 'ERR_SERVING_REFUSED';
    throw new LorakeetError(code, `${what}: status ${status}: ${excerpt}`, { cause });
  }

  /** As request(), parsed. Rejects with ERR_SERVING_MISMATCH for what is no JSON or what `isExpected` refuses, too. */
  async json<T>(
    operation: Operation,
    method: 'GET' | 'POST',
    path: string,
    isExpected: (value: unknown) => value is T,
    body?: unknown,
  ): Promise<T> {
    const text = await this.request(operation, method, path, body);
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    if (isExpected(value)) return value;
    const what = `${method} ${this.url}${path}: an answer in a form that it should not have`;
    throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}: ${this.excerpt(text)}`);
  }

  /** Calls `work` anew where the server cannot be reached or is busy, which `work` must allow for. */
  async retry<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      operation.check();
      try {
        return await work();
      } catch (error) {
        operation.check();
        if (!isUnavailable(error) || attempt >= this.#attempts) throw error;
        const doubled = this.#retryDelayMs * 2 ** (attempt - 1);
        await operation.pause(Math.min(MAX_PAUSE_MS, Math.max(doubled, retryAfterOf(error))));
      }
    }
  }

  /**
   * Calls `act` unless `reached` says that all is as it should be, and asks `reached` again. To begin anew is safe whatever
   * became of the attempt before, since `reached` is asked first.
   */
  bring(operation: Operation, what: string, reached: () => Promise<boolean>, act: () => Promise<void>): Promise<void> {
    return this.retry(operation, async () => {
      if (await reached()) return;
      operation.check();
      try {
        await act();
      } catch (error) {
        // somebody else may have done the same at the same time
        if (!isRefusal(error) || !(await reached())) throw error;
      }
      if (await reached()) return;
      throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}: ${this.url} agreed, and does something else`);
    });
  }

  /** The beginning of a text from the server, on one line, without the token. */
  excerpt(text: string): string {
    const open = this.#token === undefined ? text : text.replaceAll(this.#token, '***');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
    const line = open.replace(/[\s\u0000-\u001f\u007f-\u009f]+/g, ' ').trim();
    return JSON.stringify(line.length > EXCERPT_CHARS ? `${line.slice(0, EXCERPT_CHARS)}…` : line);
  }

  #reasonOf(error: unknown): string {
    const { cause, message } = error as { cause?: { code?: string; message?: string }; message?: string };
    return this.excerpt(cause?.code ?? cause?.message ?? message ?? String(error));
  }
}

export function isRefusal(error: unknown): error is LorakeetError {
  return error instanceof LorakeetError && error.code === 'ERR_SERVING_REFUSED';
}

function isUnavailable(error: unknown): error is LorakeetError {
  return error instanceof LorakeetError && error.code === 'ERR_SERVING_UNAVAILABLE';
}

function retryAfterOf({ cause }: LorakeetError): number {
  return cause instanceof ServingAnswerError ? (cause.retryAfterMs ?? 0) : 0;
}

async function readText(what: string, response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) {
      throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}: an answer of more than ${MAX_ANSWER_BYTES} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** For the checks of answers. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
