/** The program: its commands, its options, and how it ends. */
import { Command, CommanderError, Option } from 'commander';
import { LIBRARY_VERSION } from '../versions/publication.js';
import { addCommands } from './commands/index.js';
import { Context, type GlobalOptions, type Surroundings } from './context.js';
import { exitCode, exitCodeOf } from './exit-codes.js';
import { lineOf } from './failures.js';
import { oneLine } from './text.js';
import { number } from './values.js';

/** Does what a command is for; what it answers is the exit code, where it is a number. */
export type Work<O> = (context: Context, options: O, args: string[]) => Promise<unknown>;

/** Makes the action of a command. */
export type Act = <O>(work: Work<O>) => (this: Command) => Promise<void>;

/** Runs one command line; resolves with the exit code and throws nothing. */
export async function runProgram(args: readonly string[], surroundings: Surroundings): Promise<number> {
  let code = 0;
  const act: Act = (work) =>
    async function (this: Command) {
      const options = this.optsWithGlobals<GlobalOptions>();
      const answer = await work(new Context(surroundings, options), options as never, this.args);
      if (typeof answer === 'number') code = answer;
    };
  try {
    await createProgram(act, surroundings).parseAsync([...args], { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : exitCode('usage');
    report(error, surroundings);
    return exitCodeOf(error);
  }
}

export function createProgram(act: Act, { stdout, stderr }: Pick<Surroundings, 'stdout' | 'stderr'>): Command {
  const program = new Command('lorakeet')
    .description('Adapters of language models that learn from feedback: the service, and all that can be asked of it.')
    .version(LIBRARY_VERSION)
    .option('--base-url <url>', 'address of the service (LEARNING_ENGINE_URL; default http://localhost:8003)')
    .option('--token <token>', 'its bearer token; better in LEARNING_ENGINE_TOKEN, as others see command lines')
    .option('--json', 'the result as JSON on standard output, and nothing else there')
    .addOption(
      new Option('--timeout <seconds>', 'of a request (default 150; 3600 where a model answers)').argParser(
        number({ above: 0, max: 86_400 }),
      ),
    )
    .helpCommand('help [command]', 'what a command does and takes')
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
      outputError: (text, write) =>
        write(
          `lorakeet: ${oneLine(
            text
              .trim()
              .replace(/^error: /, '')
              .replace('\n(', ' ('),
          )}\n`,
        ),
    })
    .exitOverride();
  addCommands(program, act);
  return program;
}

/** One line; with LORAKEET_DEBUG the stack and the causes, too. */
function report(error: unknown, { stderr, env }: Surroundings): void {
  stderr.write(`lorakeet: ${lineOf(error)}\n`);
  if (env.LORAKEET_DEBUG) {
    for (let at = error; at instanceof Error; at = at.cause) stderr.write(`${at.stack}\n`);
  }
}
