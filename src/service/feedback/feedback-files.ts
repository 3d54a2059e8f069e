/** Feedback from and to JSONL files. */
import { rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { Feedback } from './feedback.js';
import { feedbackOfRow, rowOfFeedback } from './feedback-rows.js';
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
      batch.push(feedbackOfRow(value));
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
    yield `${JSON.stringify(rowOfFeedback(feedback))}\n`;
  }
}
