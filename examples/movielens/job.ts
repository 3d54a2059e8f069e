/** The main job from flags to report: replay, or go on where an earlier run stopped, or show what a complete one found. */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { type AdapterPool, createAdapterPool, type Logger } from 'lorakeet';
import { type History, replayBaselines } from './baselines.js';
import { isBackgroundUser, readRatings } from './data.js';
import { fitItemFeatures } from './features.js';
import { HELP, type JobOptions, parseOptions } from './options.js';
import { createProgress } from './progress.js';
import { ADAPTER_SETTINGS, itemTable, type ReplayedBatch, replayAdapters } from './replay.js';
import { renderReport } from './report.js';
import { formatCount, formatSummary, type RunResult, summarize } from './results.js';
import { type Progress, type RunSettings, Store, type StoredRun } from './store.js';
import { UserError } from './user-error.js';

const require = createRequire(import.meta.url);

/** A crash loses what was replayed since the last save. */
const SAVE_EVERY_MS = 500;

export interface JobContext {
  stdout: NodeJS.WriteStream | { write(text: string): unknown; isTTY?: false };
  stderr: { write(text: string): unknown };
  /** Aborted: stop after the current batch and save. */
  signal?: AbortSignal;
  /** Called after every batch. */
  onBatch?: (replayed: ReplayedBatch) => void;
}

/** Runs the job; resolves to whether it is complete (false: the signal stopped it, and it can be resumed). */
export async function runJob(args: readonly string[], context: JobContext): Promise<boolean> {
  const print = (line: string) => context.stdout.write(`${line}\n`);
  const options = parseOptions(args);
  if (options.help) {
    context.stdout.write(HELP);
    return true;
  }
  const folder = options.data ?? shippedData();
  const { ratings, sha256 } = readRatings(folder);
  const background = ratings.filter(({ user }) => isBackgroundUser(user, options.seed));
  const heldOut = ratings.filter(({ user }) => !isBackgroundUser(user, options.seed));
  if (background.length === 0) throw new UserError('the split leaves no background user; give another --seed');
  const features = fitItemFeatures(background);
  const histories = chooseUsers(replayBaselines(heldOut, features), options.users);
  const items = itemTable(features);
  const events = histories.reduce((sum, history) => sum + history.items.length, 0);
  print(
    `data     ${shown(folder)}: ${formatCount(events)} ratings of ${histories.length} held-out users, seed ${options.seed}`,
  );

  const logger = warningsOnly(context);
  const pool = createAdapterPool({
    ...ADAPTER_SETTINGS,
    backend: options.backend,
    items,
    capacity: histories.length,
    logger,
  });
  try {
    const { name, device, reason } = pool.backend;
    print(`backend  ${name}${device === name ? '' : ` (${device})`}: ${reason}`);
    const store = await Store.open(options.store);
    try {
      const settings = runSettings(sha256, options.seed, histories.length, pool.backend);
      const run = options.reset ? store.reset(store.run(settings)) : store.run(settings);
      const replay: Replay = { context, pool, items, histories, store, run };
      if (run.finished) print('         complete already: these are the stored results (start anew with --reset)');
      else if (!(await replayAndSave(replay))) return false;
      finish(options, context, store, { seed: options.seed, backend: { name, device, reason }, ...store.result(run) });
      return true;
    } finally {
      store.close();
    }
  } finally {
    await pool.close();
  }
}

export function runSettings(data: string, seed: number, users: number, backend: RunSettings['backend']): RunSettings {
  const { name, device } = backend;
  const { version } = require('lorakeet/package.json') as { version: string };
  return { version, data, seed, users, backend: { name, device }, adapter: ADAPTER_SETTINGS };
}

interface Replay {
  context: JobContext;
  pool: AdapterPool;
  items: Float32Array;
  histories: readonly History[];
  store: Store;
  run: StoredRun;
}

/** Replays what the run has not replayed yet, saving as it goes; resolves to whether it reached the end. */
async function replayAndSave({ context, pool, items, histories, store, run }: Replay): Promise<boolean> {
  const batches = Math.max(...histories.map((history) => history.items.length));
  if (run.adapters) {
    pool.restore(run.adapters);
    context.stdout.write(`resuming after event batch ${formatCount(run.position)} of ${formatCount(batches)}\n`);
  }
  const total = histories.reduce((sum, history) => sum + history.items.length, 0);
  const before = histories.reduce((sum, history) => sum + Math.min(history.items.length, run.position), 0);
  const display = createProgress(context.stdout, total, before);
  let position = run.position;
  let unsaved: ReplayedBatch[] = [];
  let savedAt = Number.NEGATIVE_INFINITY;
  const save = (finished: boolean) => {
    store.save(run, progressOf(unsaved, histories, { position, finished, adapters: pool.snapshot() }));
    unsaved = [];
    savedAt = performance.now();
  };
  try {
    for await (const replayed of replayAdapters(pool, items, histories, position)) {
      position = replayed.batch + 1;
      unsaved.push(replayed);
      display.add(replayed);
      context.onBatch?.(replayed);
      // small batches are learned without a break: signals and the progress bar need their turn
      await nextTurn();
      if (context.signal?.aborted) break;
      if (performance.now() - savedAt >= SAVE_EVERY_MS) save(false);
    }
    save(position === batches);
  } finally {
    display.stop();
  }
  if (position === batches) return true;
  context.stdout.write(
    `stopped after event batch ${formatCount(position)} of ${formatCount(batches)} and saved; the same command resumes there\n`,
  );
  return false;
}

function progressOf(
  replayed: readonly ReplayedBatch[],
  histories: readonly History[],
  state: Pick<Progress, 'position' | 'finished' | 'adapters'>,
): Progress {
  return {
    ...state,
    batches: replayed.map(({ batch, users, seconds }) => ({ batch, users: users.length, seconds })),
    events: replayed.flatMap(({ batch: event, users, errors }) =>
      users.map((index, row) => {
        const { user, biasErrors, ridgeErrors } = histories[index];
        return { event, user, bias: biasErrors[event], ridge: ridgeErrors[event], adapter: errors[row] };
      }),
    ),
  };
}

function finish(options: JobOptions, context: JobContext, store: Store, result: RunResult): void {
  const summary = summarize(result);
  const report = join(options.store, 'report.html');
  writeFile(report, renderReport(summary, result));
  if (options.json !== undefined) writeFile(options.json, `${JSON.stringify(summary, null, 2)}\n`);
  context.stdout.write(
    `\n${formatSummary(summary, result)}\nreport   ${shown(report)}\nstore    ${shown(store.path)}\n`,
  );
}

function chooseUsers(histories: History[], count: number | undefined): History[] {
  if (histories.length === 0)
    throw new UserError('the split holds out no user with a movie that others rated; give another --seed');
  if (count === undefined) return histories;
  if (count > histories.length)
    throw new UserError(`--users: got ${count}, but the split holds out ${histories.length} users`);
  return histories.slice(0, count);
}

/** data/movielens-small of the repository, wherever this file was compiled to. */
export function shippedData(): string {
  return join(dirname(require.resolve('lorakeet/package.json')), 'data', 'movielens-small');
}

/** The path as one would type it here. */
function shown(path: string): string {
  const local = relative(process.cwd(), path);
  return local === '' ? '.' : local.startsWith('..') ? path : local;
}

function writeFile(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new UserError(`cannot write ${path}: ${(error as Error).message}`);
  }
}

function warningsOnly({ stderr }: JobContext): Logger {
  const warn = (message: string) => stderr.write(`${message}\n`);
  return { debug() {}, info() {}, warn, error: warn };
}
