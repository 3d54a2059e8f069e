/** feedback: rows of it to the service and from it, or to and from a store itself. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { writeAtomically } from '../../files/atomic-write.js';
import { FEEDBACK_TYPES, type FeedbackType } from '../../service/feedback/feedback.js';
import type { ImportReport } from '../../service/feedback/feedback-files.js';
import { exportFeedback, importFeedback } from '../../service/feedback/feedback-files.js';
import type { FeedbackStore, FeedbackWindow } from '../../service/feedback/feedback-store.js';
import { toWire } from '../../service/wire.js';
import type { Context } from '../context.js';
import { exitCode } from '../exit-codes.js';
import { addConfigOptions, type ConfigOptions, loadLocalConfig } from '../local-config.js';
import type { Act } from '../program.js';
import { openProgress } from '../progress.js';
import { counted, fields, oneLine, table } from '../text.js';
import { integer, time } from '../values.js';

interface AddOptions {
  type: FeedbackType;
  prompt: string;
  answer: string;
  expected?: string;
  reason?: string;
  intent?: string;
  project?: string;
  id?: string;
}

const DAY_MS = 86_400_000;

export function addFeedbackCommands(program: Command, act: Act): void {
  const feedback = program.command('feedback').description('judgements of answers, which are learnt from');

  feedback
    .command('add')
    .description('one judgement of one answer')
    .addOption(new Option('--type <type>', 'what it was judged').choices(FEEDBACK_TYPES).makeOptionMandatory())
    .requiredOption('--prompt <text>', 'what was asked')
    .requiredOption('--answer <text>', 'what was answered')
    .option('--expected <text>', 'what the answer should have been')
    .option('--reason <text>', 'why')
    .option('--intent <name>', 'for counts')
    .option('--project <name>', 'for counts')
    .option('--id <id>', 'what is added again under the same id has no effect (default: a random one)')
    .action(
      act<AddOptions>(async (context, { type, prompt, answer, expected, reason, intent, project, id }) => {
        const request = { messages: [{ role: 'user', content: prompt }] };
        const response = { choices: [{ message: { role: 'assistant', content: answer } }] };
        const row = { id, type, request, response, expectedAnswer: expected, reason, intent, project };
        const added = await context.client().appendFeedback([row], context);
        context.print(toWire(added), () => [
          added.added === 1 ? `added ${added.ids[0]}` : `was there: ${added.ids[0]}`,
        ]);
      }),
    );

  addConfigOptions(
    feedback
      .command('import <file>')
      .description('the rows of a JSONL file (- for standard input); importing it again adds nothing')
      .option('--max-bytes <number>', 'of the file (default 1 GiB)', integer(1, Number.MAX_SAFE_INTEGER)),
  ).action(
    act<ConfigOptions & { maxBytes?: number }>(async (context, options, [file]) => {
      const report = await withStore(context, options, (store) => importFrom(context, store, file, options.maxBytes));
      printImport(context, file, report);
      return report.rejected > 0 ? exitCode('failed') : exitCode('ok');
    }),
  );

  addWindow(
    addConfigOptions(
      feedback
        .command('export')
        .description('rows as JSONL, oldest first')
        .option('--output <file>', 'where to (default: standard output)'),
    ),
  ).action(
    act<ConfigOptions & WindowOptions & { output?: string }>(async (context, options) => {
      const window = windowOf(options);
      const rows = await withStore(context, options, (store) => exportTo(context, store, window, options.output));
      if (options.output === undefined) context.note(counted(rows, 'row'));
      else context.print({ rows, output: options.output }, () => [`${counted(rows, 'row')} in ${options.output}`]);
    }),
  );

  addWindow(
    addConfigOptions(feedback.command('count').description('how many rows there are, by type, intent and project')),
  ).action(
    act<ConfigOptions & WindowOptions>(async (context, options) => {
      const counts = await withStore(context, options, (store) => store.count(windowOf(options)));
      context.print(toWire(counts), () => {
        const groups = { type: counts.byType, intent: counts.byIntent, project: counts.byProject };
        const rows = Object.entries(groups).flatMap(([by, group]) =>
          Object.entries(group).map(([name, count]) => [by, name, count]),
        );
        return [...fields([['total', counts.total]]), '', ...table(['by', 'name', 'rows'], rows, 'no feedback')];
      });
    }),
  );
}

interface WindowOptions {
  since?: Date;
  until?: Date;
  days?: number;
}

function addWindow(command: Command): Command {
  return command
    .option('--since <time>', 'from this day or time on', time)
    .option('--until <time>', 'before this day or time', time)
    .addOption(new Option('--days <number>', 'of the last days').argParser(integer(1, 36_500)).conflicts('since'));
}

function windowOf({ since, until, days }: WindowOptions): FeedbackWindow {
  return { since: days === undefined ? since : new Date((until?.getTime() ?? Date.now()) - days * DAY_MS), until };
}

/** That of the service, or with --config or --set the one that they name. */
async function withStore<T>(
  context: Context,
  options: ConfigOptions,
  work: (store: FeedbackStore) => Promise<T>,
): Promise<T> {
  if (options.config === undefined && options.set === undefined) return work(context.client().feedbackStore(context));
  const { openFeedbackStore } = await import('../../service/stores.js');
  const store = await openFeedbackStore((await loadLocalConfig(context, options)).config);
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

async function exportTo(
  context: Context,
  store: FeedbackStore,
  window: FeedbackWindow,
  output?: string,
): Promise<number> {
  let rows = 0;
  const each = async (write: (line: Uint8Array) => Promise<void>) => {
    for await (const line of exportFeedback(store, window)) {
      context.signal.throwIfAborted();
      await write(Buffer.from(line));
      rows++;
    }
  };
  if (output === undefined) await each((line) => context.write(line));
  else await writeAtomically(output, each);
  return rows;
}

async function importFrom(
  { surroundings: { stdin, stderr } }: Context,
  store: FeedbackStore,
  file: string,
  maxBytes?: number,
): Promise<ImportReport> {
  const found = file === '-' ? undefined : await stat(file).catch(() => undefined);
  let read = 0;
  const counting = async function* (chunks: AsyncIterable<Uint8Array>) {
    for await (const chunk of chunks) {
      read += chunk.length;
      yield chunk;
    }
  };
  // the importer itself says why a file cannot be read
  const source = file === '-' ? stdin : found?.isFile() ? counting(createReadStream(file)) : file;
  const progress = await openProgress(stderr);
  const onProgress = ({ lines }: ImportReport) => {
    if (found) progress.update('import', read, found.size, counted(lines, 'line'));
    else progress.update('import', lines, 0);
  };
  try {
    return await importFeedback(store, source, { maxBytes, onProgress });
  } finally {
    progress.stop();
  }
}

function printImport(context: Context, file: string, report: ImportReport): void {
  const { lines, added, duplicates, rejected, errors } = report;
  for (const { line, message } of errors) context.note(`${file}:${line}: ${oneLine(message)}`);
  if (rejected > errors.length) context.note(`and ${rejected - errors.length} lines more`);
  context.print(toWire(report), () =>
    fields([
      ['lines', lines],
      ['added', added],
      ['there already', duplicates],
      ['rejected', rejected],
    ]),
  );
}
