/** One judgement of one answer: its shape, its checks, and where it says what it is about. */
import { createHash, randomUUID } from 'node:crypto';
import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { fail, rejectUnknownKeys, requireOneOf } from '../../checks.js';
import { LorakeetError } from '../../errors.js';

export const FEEDBACK_TYPES = ['thumbs_up', 'thumbs_down'] as const;
export type FeedbackType = (typeof FEEDBACK_TYPES)[number];

export type JsonObject = { readonly [key: string]: unknown };

/** As callers give it. */
export interface FeedbackInput {
  /** 1 to 200 characters. What is appended again under the same id has no effect. Default: a random one. */
  id?: string;
  /** Default: now. */
  createdAt?: Date;
  type: FeedbackType;
  /** What was asked, with `messages`: [{ role, content }, …]. */
  request: JsonObject;
  /** What was answered, with `choices`: [{ message: { content } }], as OpenAI's API has it. */
  response: JsonObject;
  /** What the answer should have been. */
  expectedAnswer?: string;
  reason?: string;
  /** Default: what the request or the response says it is, else `unknown`. */
  intent?: string;
  project?: string;
}

/** As stores keep it. */
export interface Feedback extends FeedbackInput {
  id: string;
  createdAt: Date;
  intent: string;
  project: string;
}

const KEYS: readonly (keyof FeedbackInput)[] = [
  ...(['id', 'createdAt', 'type', 'request', 'response', 'expectedAnswer', 'reason', 'intent', 'project'] as const),
];
export const UNKNOWN = 'unknown';
const MAX_NAME_CHARACTERS = 200;
const MAX_DEPTH = 32;
const MAX_BYTES = 2 ** 20;
const FIRST_TIME = Date.UTC(1970, 0);
/** Years of five digits are written in ways of their own. */
export const END_OF_TIME = Date.UTC(9999, 0);

/** With every default filled in. Throws ERR_INVALID_ARGUMENT naming `name` and the field. */
export function requireFeedback(
  name: string,
  value: FeedbackInput,
  defaultId = () => randomUUID() as string,
): Feedback {
  if (!isJsonObject(value)) fail('ERR_INVALID_ARGUMENT', name, value, 'feedback');
  const { createdAt = new Date(), type, request, response, expectedAnswer, reason } = value as unknown as FeedbackInput;
  asArgument(() => {
    rejectUnknownKeys(name, value, KEYS);
    requireOneOf(`${name}.type`, type, FEEDBACK_TYPES);
  });
  const time = createdAt instanceof Date ? createdAt.getTime() : NaN;
  if (!(time >= FIRST_TIME && time < END_OF_TIME)) {
    fail('ERR_INVALID_ARGUMENT', `${name}.createdAt`, createdAt, 'a Date from 1970 to 9998');
  }
  for (const [key, content] of Object.entries({ request, response })) {
    if (!isJsonObject(content)) fail('ERR_INVALID_ARGUMENT', `${name}.${key}`, content, 'a JSON object');
    requireJson(`${name}.${key}`, content, 1);
  }
  for (const [key, text] of Object.entries({ expectedAnswer, reason })) {
    if (text !== undefined) requireText(`${name}.${key}`, text, MAX_BYTES);
  }
  const feedback: Feedback = {
    id: requireName(`${name}.id`, value.id) ?? defaultId(),
    createdAt: new Date(time),
    type,
    request: copyOf(request),
    response: copyOf(response),
    ...(expectedAnswer !== undefined && { expectedAnswer }),
    ...(reason !== undefined && { reason }),
    intent: requireName(`${name}.intent`, value.intent) ?? intentOf(request, response),
    project: requireName(`${name}.project`, value.project) ?? projectOf(request, response),
  };
  const bytes = Buffer.byteLength(JSON.stringify(feedback));
  if (bytes > MAX_BYTES) fail('ERR_INVALID_ARGUMENT', name, bytes, `at most ${MAX_BYTES} bytes of JSON`);
  return feedback;
}

export function requireFeedbackList(feedback: readonly FeedbackInput[]): Feedback[] {
  if (!Array.isArray(feedback)) fail('ERR_INVALID_ARGUMENT', 'feedback', feedback, 'an array');
  return Array.from(feedback, (one, i) => requireFeedback(`feedback[${i}]`, one));
}

/** The same content has the same id, so that importing a file twice is importing it once. */
export function idOfContent(content: string): string {
  return `sha256-${createHash('sha256').update(content).digest('hex')}`;
}

/** request.intent, request.metadata.intent, response.intent, what routed the request; else `unknown`. */
export function intentOf(request: JsonObject, response: JsonObject): string {
  const candidates = [request.intent, memberOf(request.metadata, 'intent'), response.intent];
  return candidates.map(nameOf).find(Boolean) ?? routedIntent(response['x-routing-metadata']) ?? UNKNOWN;
}

/** request.project, request.metadata.project, response.project; else `unknown`. */
export function projectOf(request: JsonObject, response: JsonObject): string {
  const candidates = [request.project, memberOf(request.metadata, 'project'), response.project];
  return candidates.map(nameOf).find(Boolean) ?? UNKNOWN;
}

/** An object, or the JSON of one. */
function routedIntent(metadata: unknown): string | undefined {
  if (typeof metadata !== 'string') return nameOf(memberOf(metadata, 'intent'));
  try {
    return nameOf(memberOf(JSON.parse(metadata), 'intent'));
  } catch {
    return undefined;
  }
}

function memberOf(value: unknown, key: string): unknown {
  return isJsonObject(value) ? value[key] : undefined;
}

/** Postgres takes neither NUL nor half a character. */
const isText = (value: string) => !/[\0\p{Surrogate}]/u.test(value);

/** What can be the name of a group in counts. */
function nameOf(value: unknown): string | undefined {
  const fits = typeof value === 'string' && value.trim() !== '' && value.length <= MAX_NAME_CHARACTERS && isText(value);
  return fits ? value : undefined;
}

function requireName(name: string, value: unknown): string | undefined {
  if (value === undefined || nameOf(value) !== undefined) return value as string | undefined;
  return fail('ERR_INVALID_ARGUMENT', name, value, `text of 1 to ${MAX_NAME_CHARACTERS} characters`);
}

function requireText(name: string, value: unknown, maxLength: number): void {
  if (typeof value !== 'string' || value.length > maxLength || !isText(value)) {
    fail('ERR_INVALID_ARGUMENT', name, value, `text of at most ${maxLength} characters, without NUL`);
  }
}

function requireJson(name: string, value: unknown, depth: number): void {
  if (depth > MAX_DEPTH) fail('ERR_INVALID_ARGUMENT', name, value, `at most ${MAX_DEPTH} levels`);
  if (typeof value === 'string') requireText(name, value, MAX_BYTES);
  if (typeof value === 'string' || value === null || typeof value === 'boolean' || Number.isFinite(value)) return;
  const plain = Array.isArray(value) || (isJsonObject(value) && isPlain(value));
  if (!plain) fail('ERR_INVALID_ARGUMENT', name, value, 'what JSON can express');
  for (const [key, inner] of Object.entries(value as object)) {
    requireText(`a key of ${name}`, key, MAX_BYTES);
    requireJson(`${name}.${key}`, inner, depth + 1);
  }
}

/** What the caller does with its own afterwards is of no effect. */
function copyOf(value: JsonObject): JsonObject {
  return JSON.parse(JSON.stringify(value));
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** The shared checks speak of configuration. */
function asArgument(check: () => void): void {
  try {
    check();
  } catch (error) {
    throw new LorakeetError('ERR_INVALID_ARGUMENT', (error as Error).message);
  }
}
