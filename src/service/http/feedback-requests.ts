/** Wire forms of feedback: rows with the names of the columns in Postgres, as in files. */
import { z } from 'zod';
import { FEEDBACK_TYPES } from '../feedback/feedback.js';
import { type FEEDBACK_FIELDS, timeOf } from '../feedback/feedback-rows.js';
import { MAX_PAGE_ROWS } from '../feedback/feedback-store.js';
import { about, freeForm, instant, integerParameter, name, named, text } from './forms.js';

const MAX_ROWS = 10_000;

const time = z.string().refine(isTime, 'Invalid time: expected one like 2026-01-05T02:00:00Z, with a time zone');

type Columns = Record<keyof typeof FEEDBACK_FIELDS, z.ZodType>;

const row = named(
  'FeedbackRow',
  z.strictObject({
    id: about('A row that is there under this id already stays as it is. Default: a random one.', name.nullish()),
    created_at: about('With a time zone. Default: now.', time.nullish()),
    feedback_type: z.enum(FEEDBACK_TYPES),
    request_data: about('What was asked, with messages: [{ role, content }].', freeForm),
    response_data: about('What was answered, with choices: [{ message: { content } }].', freeForm),
    expected_answer: about('What the answer should have been.', text.nullish()),
    reason: text.nullish(),
    intent: about('Default: that of request_data or response_data.', name.nullish()),
    project: about('Default: that of request_data or response_data.', name.nullish()),
  } satisfies Columns),
);

const rows = named('FeedbackRows', z.strictObject({ feedback: z.array(row).min(1).max(MAX_ROWS) }));

/** One row, or several that are kept all or none. */
export const feedbackRequest = z.union([row, rows]);

const window = {
  since: about('From then on. Default: no limit.', time.optional()),
  until: about('Before then. Default: no limit.', time.optional()),
};

export const feedbackWindow = z.strictObject(window);

export const feedbackQuery = z.strictObject({
  ...window,
  limit: about(`1 to ${MAX_PAGE_ROWS}, default 100.`, integerParameter(1, MAX_PAGE_ROWS).optional()),
  after: about('next of the page before.', z.string().min(1).max(2000).optional()),
});

export const feedbackPage = named(
  'FeedbackPage',
  z.object({
    feedback: z.array(
      z.object({
        id: z.string(),
        created_at: instant,
        feedback_type: z.enum(FEEDBACK_TYPES),
        request_data: z.record(z.string(), z.unknown()),
        response_data: z.record(z.string(), z.unknown()),
        expected_answer: z.string().optional(),
        reason: z.string().optional(),
        intent: z.string(),
        project: z.string(),
      } satisfies Columns),
    ),
    next: about('To be given as after for the next page; not there on the last.', z.string().optional()),
  }),
);

function isTime(value: string): boolean {
  try {
    const year = timeOf(value).getUTCFullYear();
    return year >= 1970 && year < 9999;
  } catch {
    return false;
  }
}
