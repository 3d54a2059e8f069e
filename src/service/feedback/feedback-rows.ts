/** Feedback as JSON: in files and in requests, with the names that the columns have in Postgres. */
import { fail } from '../../checks.js';
import { type Feedback, type FeedbackInput, idOfContent, type JsonObject, requireFeedback } from './feedback.js';

export const FEEDBACK_FIELDS = {
  id: 'id',
  created_at: 'createdAt',
  feedback_type: 'type',
  request_data: 'request',
  response_data: 'response',
  expected_answer: 'expectedAnswer',
  reason: 'reason',
  intent: 'intent',
  project: 'project',
} as const satisfies Record<string, keyof Feedback>;

/** For JSON.stringify, which writes the date and leaves out what is undefined. */
export function rowOfFeedback(feedback: FeedbackInput): JsonObject {
  const row = Object.entries(FEEDBACK_FIELDS).map(([name, key]) => [name, feedback[key]]);
  return Object.fromEntries(row);
}

/**
 * null is as if it were not there. A row without an id has one by its content, one without created_at is of now. Throws
 * ERR_INVALID_ARGUMENT naming the field.
 */
export function feedbackOfRow(row: JsonObject): Feedback {
  return requireFeedback('feedback', inputOfRow(row), () => idOfContent(JSON.stringify(row)));
}

/** Only names and the time are looked at: stores check the rest. Throws ERR_INVALID_ARGUMENT naming the field. */
export function inputOfRow(row: JsonObject): FeedbackInput {
  const input: Record<string, unknown> = {};
  for (const [name, content] of Object.entries(row)) {
    if (!Object.hasOwn(FEEDBACK_FIELDS, name)) {
      fail('ERR_INVALID_ARGUMENT', name, content, `no such field (known: ${Object.keys(FEEDBACK_FIELDS).join(', ')})`);
    }
    if (content !== null) input[FEEDBACK_FIELDS[name as keyof typeof FEEDBACK_FIELDS]] = content;
  }
  if (typeof input.createdAt === 'string') input.createdAt = timeOf(input.createdAt);
  return input as unknown as FeedbackInput;
}

/** With a time zone: a time without would be another one on every machine. Throws ERR_INVALID_ARGUMENT. */
export function timeOf(text: string): Date {
  const iso = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/.test(text);
  const time = new Date(
    text.replace(' ', 'T').replace(/([+-]\d\d)(\d\d)?$/, (_, hours, minutes = '00') => `${hours}:${minutes}`),
  );
  if (!iso || Number.isNaN(time.getTime())) {
    fail('ERR_INVALID_ARGUMENT', 'created_at', text, 'a time like 2026-01-05T02:00:00Z');
  }
  return time;
}
