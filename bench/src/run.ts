/** `npm run bench`: see options.ts for the command line and docs/benchmarks.md for what the results mean. */
import { runCommand } from './command.js';

process.exitCode = await runCommand(process.argv.slice(2));
