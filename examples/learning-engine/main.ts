/** The entry of `npm start`: MovieLens, then the service until it is told to end; exit codes. */
import { constants } from 'node:os';
import { join } from 'node:path';
import { type Logger, LorakeetError } from 'lorakeet';
import { runJob } from '../movielens/job.js';
import { UserError } from '../movielens/user-error.js';
import { HELP, parseOptions, type StartOptions } from './options.js';
import { quickStart } from './quick-start.js';
import { startService, tryService } from './start.js';

/** Every request is a line of information: here only what is amiss is said. */
const logger: Logger = {
  debug() {},
  info() {},
  warn: (message) => process.stderr.write(`${message}\n`),
  error: (message) => process.stderr.write(`${message}\n`),
};

try {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) process.stdout.write(HELP);
  else if (await replayRatings(options.folder)) await runService(options);
} catch (error) {
  if (error instanceof UserError) {
    process.stderr.write(`${error.message}\n(--help lists the flags)\n`);
    process.exitCode = 2;
  } else if (error instanceof LorakeetError) {
    process.stderr.write(`${error.code}: ${error.message}\n`);
    process.exitCode = 1;
  } else {
    throw error;
  }
}

/** Whether it came to its end: a signal stops it, to be resumed. */
async function replayRatings(folder: string): Promise<boolean> {
  const abort = new AbortController();
  let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined;
  const handlers = (['SIGINT', 'SIGTERM'] as const).map((name) => {
    const stop = () => {
      stoppedBy = name;
      abort.abort();
    };
    // once: a second Ctrl-C ends the process at once
    process.once(name, stop);
    return () => process.off(name, stop);
  });
  const { stdout, stderr } = process;
  const complete = await runJob(['--store', folder], { stdout, stderr, signal: abort.signal });
  for (const remove of handlers) remove();
  if (!complete && stoppedBy) process.exitCode = 128 + constants.signals[stoppedBy];
  return complete;
}

async function runService(options: StartOptions): Promise<void> {
  const served = await startService(options, logger);
  const { url } = served;
  console.log(`
The learning engine service is at ${url}, with a model of Shakespeare's plays (2 million parameters): a page to watch and
steer it at that address, its HTTP API at ${url}/docs. What it keeps is in ${join(options.folder, 'learning-engine')}.

An answer that somebody liked, a training of some seconds, and, when that is done, what the model says now:

${quickStart(url)}
`);
  if (options.once) {
    try {
      console.log(`it answers: ${JSON.stringify(await tryService(url))}`);
    } finally {
      await served.close();
    }
  } else {
    console.log('Ctrl-C ends it.');
    await served.closed;
  }
}
