/** Requests to the service that served this page. */
import { readToken } from './session.js';

/** The service has answered, and refused. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly field?: string,
  ) {
    super(message);
  }
}

/** No answer, or none that is the service's. */
export class Unreachable extends Error {}

const READ_TIMEOUT_MS = 15_000;
/** An activation may take serving.timeoutSeconds. */
const CHANGE_TIMEOUT_MS = 300_000;

/** Rejects with ApiError and Unreachable; a status other than 2xx that is `expected` has an answer too. */
export async function read<T>(path: string, expected?: number): Promise<T> {
  const response = await send(path, {}, AbortSignal.timeout(READ_TIMEOUT_MS), expected);
  return (await parse(response)) as T;
}

/** Rejects with ApiError and Unreachable: then it may have happened all the same. */
export async function change<T>(path: string, body: object): Promise<T> {
  const response = await send(path, post(body), AbortSignal.timeout(CHANGE_TIMEOUT_MS));
  return (await parse(response)) as T;
}

/** Events of text/event-stream as they come; rejects as read, and as fetch when it is aborted. */
export async function* stream<T>(path: string, body: object, signal: AbortSignal): AsyncGenerator<T> {
  const response = await send(path, post(body), signal);
  if (!response.body) throw new Unreachable('the answer is empty');
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (rest + value).split(/\r?\n\r?\n/);
    rest = events.pop() ?? '';
    for (const event of events) {
      const data = event.split(/\r?\n/).filter((line) => line.startsWith('data:'));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(5)).join('\n')) as T;
    }
  }
}

function post(body: object): RequestInit {
  return { method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
}

async function send(path: string, init: RequestInit, signal: AbortSignal, expected?: number): Promise<Response> {
  const token = readToken();
  const headers = { ...init.headers, ...(token ? { authorization: `Bearer ${token}` } : {}) };
  let response: Response;
  try {
    response = await fetch(path, { ...init, headers, signal, cache: 'no-store', credentials: 'omit' });
  } catch (error) {
    if ((error as Error).name === 'AbortError') throw error;
    throw new Unreachable((error as Error).name === 'TimeoutError' ? 'no answer in time' : 'no connection');
  }
  if (response.ok || (response.status === expected && isJson(response))) return response;
  const { error } = ((await parse(response)) ?? {}) as { error?: { code: string; message: string; field?: string } };
  if (!error) throw new Unreachable(`HTTP ${response.status}`);
  throw new ApiError(response.status, error.code, error.message, error.field);
}

const isJson = ({ headers }: Response) => headers.get('content-type')?.startsWith('application/json') ?? false;

/** undefined in place of what is no JSON, such as the page of a proxy, where that is an error anyway. */
async function parse(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    if (response.ok) throw new Unreachable('the answer is no JSON');
    return undefined;
  }
}
