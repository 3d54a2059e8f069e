/** Feedback from and to JSONL files. */
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { type Feedback, type FeedbackInput, idOfContent, type JsonObject, requireFeedback } from './feedback.js';
import { type FeedbackStore, type FeedbackWindow, readFeedback } from './feedback-store.js';
import { type JsonLinesOptions, type JsonLinesSource, type LineError, readJsonLines } from './json-lines.js';

export interface ImportReport {
  /** Lines with something in them. */
  lines: number;
  /** Rows that were not there before. */
  added: number;
  /** Rows that were. */
  duplicates: number;
  /** Lines left out. */
  rejected: number;
  /** Why, of the first 100. */
  errors: LineError[];
}

export interface ImportOptions extends JsonLinesOptions {
  /** Called after every batch. */
  onProgress?: (report: Readonly<ImportReport>) => void;
}

/** How the fields are called in a file: as the columns in Postgres. */
const FIELDS = {
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

const BATCH_ROWS = 500;
export const MAX_LINE_ERRORS = 100;

/**
 * Appends every line that is feedback, and tells about every other one. A line without an id has one by its content, so that
 * importing a file again adds nothing; one without created_at is of now. Rejects with ERR_FILE_ACCESS, ERR_FORMAT_CORRUPT for
 * a file that is too large, and what the store rejects with; what was appended until then stays.
 */
export async function importFeedback(
  store: FeedbackStore,
  source: JsonLinesSource,
  options: ImportOptions = {},
): Promise<ImportReport> {
  rejectUnknownKeys('options', options, ['maxBytes', 'onProgress']);
  const { onProgress, ...lineOptions } = options;
  const report: ImportReport = { lines: 0, added: 0, duplicates: 0, rejected: 0, errors: [] };
  const refuse = (error: LineError) => {
    report.rejected++;
    if (report.errors.length < MAX_LINE_ERRORS) report.errors.push(error);
  };
  let batch: Feedback[] = [];
  const flush = async () => {
    const { added } = await store.append(batch);
    report.added += added;
    report.duplicates += batch.length - added;
    batch = [];
    onProgress?.(report);
  };
  for await (const { line, value, ...rest } of readJsonLines(source, lineOptions)) {
    report.lines++;
    if (value === undefined) {
      refuse({ line, message: (rest as LineError).message });
      continue;
    }
    try {
      batch.push(feedbackOfLine(value));
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      refuse({ line, message: error.message });
    }
    if (batch.length === BATCH_ROWS) await flush();
  }
  await flush();
  return report;
}

/** A line for each row, with its end. */
export async function* exportFeedback(store: FeedbackStore, window: FeedbackWindow = {}): AsyncGenerator<string> {
  for await (const feedback of readFeedback(store, window)) {
    const line = Object.entries(FIELDS).map(([name, key]) => [name, feedback[key]]);
    yield `${JSON.stringify(Object.fromEntries(line))}\n`;
  }
}

/** Throws ERR_INVALID_ARGUMENT naming the field. */
function feedbackOfLine(value: JsonObject): Feedback {
  const input: Record<string, unknown> = {};
  for (const [name, content] of Object.entries(value)) {
    if (!Object.hasOwn(FIELDS, name)) {
      fail('ERR_INVALID_ARGUMENT', name, content, `no such field (known: ${Object.keys(FIELDS).join(', ')})`);
    }
    if (content !== null) input[FIELDS[name as keyof typeof FIELDS]] = content;
  }
  if (typeof input.createdAt === 'string') input.createdAt = timeOf(input.createdAt);
  return requireFeedback('feedback', input as unknown as FeedbackInput, () => idOfContent(JSON.stringify(value)));
}

/** With a time zone: a time without would be another one on every machine. */
function timeOf(text: string): Date {
  const iso = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/.test(text);
  const time = new Date(
    text.replace(' ', 'T').replace(/([+-]\d\d)(\d\d)?$/, (_, hours, minutes = '00') => `${hours}:${minutes}`),
  );
  if (!iso || Number.isNaN(time.getTime())) {
    fail('ERR_INVALID_ARGUMENT', 'created_at', text, 'a time like 2026-01-05T02:00:00Z');
  }
  return time;
}
