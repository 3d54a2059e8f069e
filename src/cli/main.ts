#!/usr/bin/env node
/** The command line in a process of its own. */
import { exitCode } from './exit-codes.js';
import { runProgram } from './program.js';

const SIGNALS = { SIGINT: exitCode('interrupted'), SIGTERM: 143 };

// whoever reads the output may have seen enough: `lorakeet jobs list | head -1`
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
    process.exit();
  });
}

const interruption = new AbortController();
let signalled: number | undefined;
for (const [name, code] of Object.entries(SIGNALS)) {
  // the first lets the command end in order, the second ends it
  process.on(name, () => {
    if (signalled !== undefined) process.exit(code);
    signalled = code;
    interruption.abort();
  });
}

const { stdin, stdout, stderr, env } = process;
const code = await runProgram(process.argv.slice(2), { stdin, stdout, stderr, env, signal: interruption.signal });
process.exitCode = code === exitCode('interrupted') ? (signalled ?? code) : code;
