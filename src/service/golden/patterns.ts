/**
 * Regular expressions that somebody wrote into a suite. Some take longer than the universe lasts, so that they run in a
 * thread of their own, each with a deadline; meanwhile this one goes on.
 */
import { Worker } from 'node:worker_threads';
import { LorakeetError } from '../../errors.js';

export interface PatternQuestion {
  pattern: string;
  text: string;
}

/** 'undecided': not answered within the deadline, or too large for the engine of regular expressions. */
export type PatternAnswer = 'found' | 'absent' | 'undecided';

export interface PatternOptions {
  /** For each question. Default 1000. */
  deadlineMs?: number;
  signal?: AbortSignal;
}

// only a script of node:vm has a deadline, which ends a search as well
const WORKER = `
const { parentPort, workerData: { questions, deadlineMs } } = require('node:worker_threads');
const { createContext, Script } = require('node:vm');
const context = createContext({});
const search = new Script("new RegExp(pattern, 'mu').test(text)");
parentPort.postMessage(questions.map(({ pattern, text }) => {
  Object.assign(context, { pattern, text });
  try {
    return search.runInContext(context, { timeout: deadlineMs }) ? 'found' : 'absent';
  } catch {
    return 'undecided';
  }
}));
`;

/** Rejects with ERR_ABORTED, and with ERR_OUT_OF_MEMORY where a search needs too much of it. */
export async function searchPatterns(
  questions: readonly PatternQuestion[],
  { deadlineMs = 1000, signal }: PatternOptions = {},
): Promise<PatternAnswer[]> {
  if (questions.length === 0) return [];
  const worker = new Worker(WORKER, {
    eval: true,
    workerData: { questions, deadlineMs },
    resourceLimits: { maxOldGenerationSizeMb: 256 },
    env: {},
    execArgv: [],
  });
  let stop = () => {};
  try {
    return await new Promise<PatternAnswer[]>((resolve, reject) => {
      stop = () => reject(new LorakeetError('ERR_ABORTED', 'the search was aborted', { cause: signal?.reason }));
      if (signal?.aborted) stop();
      signal?.addEventListener('abort', stop);
      worker.once('message', resolve);
      worker.once('error', (cause) => {
        reject(new LorakeetError('ERR_OUT_OF_MEMORY', `the patterns of the suite: ${cause.message}`, { cause }));
      });
    });
  } finally {
    signal?.removeEventListener('abort', stop);
    await worker.terminate();
  }
}
