/** The entry of `npm run movielens`: signals, messages, exit codes. */
import { constants } from 'node:os';
import { LorakeetError } from 'lorakeet';
import { runJob } from './job.js';
import { UserError } from './user-error.js';

const abort = new AbortController();
let stoppedBy: 'SIGINT' | 'SIGTERM' | undefined;
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  // once: a second Ctrl-C ends the process at once
  process.once(name, () => {
    stoppedBy = name;
    abort.abort();
  });
}

try {
  const complete = await runJob(process.argv.slice(2), {
    stdout: process.stdout,
    stderr: process.stderr,
    signal: abort.signal,
  });
  if (!complete && stoppedBy) process.exitCode = 128 + constants.signals[stoppedBy];
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
