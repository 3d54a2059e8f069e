/** Checks of what a queue is given, the same for every implementation. */
import { describe, fail, requireInteger } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { type Claim, JOB_STATES, type JobRequest, type JobState, type Json } from './job.js';

const QUEUE = /^[\w.:/-]{1,100}$/;
const MAX_TEXT = 200;
const MAX_JSON_CHARACTERS = 2 ** 20;
const MAX_ERROR_CHARACTERS = 4000;
export const HOUR_MS = 3_600_000;

export type CompleteRequest = Required<Omit<JobRequest, 'idempotencyKey' | 'payload'>> & {
  idempotencyKey: string | null;
  payload: string;
};

export function requireRequest(request: JobRequest): CompleteRequest {
  if (typeof request !== 'object' || request === null)
    fail('ERR_INVALID_ARGUMENT', 'request', request, 'a job request');
  const { queue, payload = null, idempotencyKey, priority = 0, maxAttempts = 3, backOffMs = 10_000 } = request;
  return {
    queue: requireQueue('request.queue', queue),
    payload: requireJson('request.payload', payload),
    idempotencyKey: idempotencyKey === undefined ? null : requireText('request.idempotencyKey', idempotencyKey),
    priority: integer('request.priority', priority, -1000, 1000),
    maxAttempts: integer('request.maxAttempts', maxAttempts, 1, 100),
    backOffMs: integer('request.backOffMs', backOffMs, 0, HOUR_MS),
  };
}

export function requireQueue(name: string, value: unknown): string {
  if (typeof value === 'string' && QUEUE.test(value)) return value;
  fail('ERR_INVALID_ARGUMENT', name, value, 'letters, digits, _, ., :, / and -, at most 100');
}

/** Text that any database keeps as it is. */
export function requireText(name: string, value: unknown): string {
  const ok = typeof value === 'string' && value.length > 0 && value.length <= MAX_TEXT && !value.includes('\0');
  // a lone surrogate has no UTF-8
  if (ok && Buffer.from(value, 'utf8').toString('utf8') === value) return value;
  fail('ERR_INVALID_ARGUMENT', name, value, `1 to ${MAX_TEXT} characters, well-formed and without NUL`);
}

/** As text. Refuses what would come back as something else. */
export function requireJson(name: string, value: unknown): string {
  requireJsonValue(name, value, new Set());
  const text = JSON.stringify(value);
  if (text.length > MAX_JSON_CHARACTERS) {
    const got = `${text.length} characters of JSON`;
    throw new LorakeetError('ERR_INVALID_ARGUMENT', `${name}: got ${got}, expected at most ${MAX_JSON_CHARACTERS}`);
  }
  return text;
}

function requireJsonValue(name: string, value: unknown, above: Set<object>): void {
  if (value === null || typeof value === 'string' || typeof value === 'boolean') return;
  if (typeof value === 'number' && Number.isFinite(value)) return;
  const plain =
    typeof value === 'object' && [Object.prototype, Array.prototype, null].includes(Object.getPrototypeOf(value));
  if (!plain || above.has(value) || above.size > 100) fail('ERR_INVALID_ARGUMENT', name, value, 'a JSON value');
  above.add(value);
  for (const [key, one] of Object.entries(value)) {
    if (one !== undefined || Array.isArray(value)) requireJsonValue(`${name}.${key}`, one, above);
  }
  above.delete(value);
}

export function requireJsonOrNothing(name: string, value: Json | undefined): string | undefined {
  return value === undefined ? undefined : requireJson(name, value);
}

/** As much of it as is kept. */
export function requireError(value: unknown): string {
  if (typeof value !== 'string') fail('ERR_INVALID_ARGUMENT', 'error', value, 'a text');
  return Buffer.from(value.slice(0, MAX_ERROR_CHARACTERS).replaceAll('\0', ''), 'utf8').toString('utf8');
}

export function requireClaim(claim: Claim): Claim {
  const { id, token } = claim ?? {};
  if (typeof id !== 'string' || typeof token !== 'string') {
    fail('ERR_INVALID_ARGUMENT', 'claim', claim, 'what claim() has answered');
  }
  return { id: requireText('claim.id', id), token: requireText('claim.token', token) };
}

export function requireStates(states: readonly JobState[]): readonly JobState[] {
  const ok = Array.isArray(states) && states.length > 0 && states.every((state) => JOB_STATES.includes(state));
  if (ok) return states;
  const got = Array.isArray(states) ? `[${states.map(describe).join(', ')}]` : describe(states);
  throw new LorakeetError(
    'ERR_INVALID_ARGUMENT',
    `options.states: got ${got}, expected some of ${JOB_STATES.join(', ')}`,
  );
}

export function requireDate(name: string, value: unknown): number {
  if (value instanceof Date && Number.isFinite(value.getTime())) return value.getTime();
  fail('ERR_INVALID_ARGUMENT', name, value, 'a valid Date');
}

export function integer(name: string, value: unknown, min: number, max: number): number {
  return requireInteger(name, value, min, max, 'ERR_INVALID_ARGUMENT');
}
