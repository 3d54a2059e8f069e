/** The program in this process, on streams of its own. */
import { Readable, Writable } from 'node:stream';
import { runProgram } from '../../src/cli/program.js';

export interface Ran {
  code: number;
  stdout: string;
  stderr: string;
}

export interface RunOptions {
  env?: Record<string, string>;
  stdin?: string;
  signal?: AbortSignal;
  /** Called with everything on standard error so far, whenever there is more. */
  onStderr?: (text: string) => void;
}

/** No variable of this process is seen. */
export async function run(args: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const { env = {}, stdin = '', signal = new AbortController().signal, onStderr } = options;
  const stdout = collector();
  const stderr = collector(onStderr);
  const surroundings = { stdin: Readable.from([Buffer.from(stdin)]), stdout, stderr, env, signal };
  const code = await runProgram(args, surroundings);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

/** As run(), with --json: the parsed output. Throws unless standard output is one JSON value. */
export async function runJson<T>(args: readonly string[], options: RunOptions = {}): Promise<Ran & { json: T }> {
  const ran = await run([...args, '--json'], options);
  return { ...ran, json: JSON.parse(ran.stdout) };
}

function collector(onText: (text: string) => void = () => {}) {
  let text = '';
  const write = (chunk: Buffer, _: unknown, done: () => void) => {
    text += chunk.toString();
    onText(text);
    done();
  };
  return Object.assign(new Writable({ write }), { text: () => text });
}
