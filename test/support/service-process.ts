/** The service in processes of its own, from dist/, as people start it: `lorakeet serve`, `lorakeet work`, and commands. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { root } from './imports.js';

const MAIN = join(root, 'dist/cli/main.js');
const START_TIMEOUT_MS = 60_000;

export interface ServiceProcessOptions {
  /** Default: the command line's. */
  program?: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  /** A line that says that it has started, such as /listening on/. */
  started: RegExp;
}

export class ServiceProcess {
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  output = '';

  private constructor({ program = MAIN, args, env }: ServiceProcessOptions) {
    if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: npm run build`);
    this.#child = spawn(process.execPath, [program, ...args], { env: plainEnv(env), stdio: ['pipe', 'pipe', 'pipe'] });
    this.#ended = new Promise((done) => this.#child.once('exit', done));
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (data) => {
        this.output += data;
      });
    }
  }

  /** Resolves when it says that it has started; rejects with what it says if it ends before. */
  static async start(options: ServiceProcessOptions): Promise<ServiceProcess> {
    const one = new ServiceProcess(options);
    const end = Date.now() + START_TIMEOUT_MS;
    while (!options.started.test(one.output)) {
      if (one.hasEnded || Date.now() > end) {
        await one.kill();
        throw new Error(`${options.args.join(' ')} has not started:\n${one.output}`);
      }
      await delay(20);
    }
    return one;
  }

  get hasEnded(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** A line on its standard input. */
  tell(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** kill -9 */
  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  /** SIGTERM; the exit code. */
  async stop(): Promise<number | null> {
    this.#child.kill('SIGTERM');
    await this.#ended;
    return this.#child.exitCode;
  }
}

export interface CommandResult {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** One command of the command line. */
export async function runCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<CommandResult> {
  const child = spawn(process.execPath, [MAIN, ...args], { env: plainEnv(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const result: CommandResult = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (data) => {
    result.stdout += data;
  });
  child.stderr.on('data', (data) => {
    result.stderr += data;
  });
  result.code = await new Promise((done) => child.once('close', done));
  return result;
}

/** Without the settings of whoever runs the tests, as another machine has none. */
function plainEnv(env: Readonly<Record<string, string>>): Record<string, string | undefined> {
  const { PATH, HOME, TMPDIR, LORAKEET_BACKEND } = process.env;
  return { PATH, HOME, TMPDIR, LORAKEET_BACKEND, ...env };
}
