/** A process that answers each line of JSON on its standard input with one on its standard output. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';

export class LineWorker {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: AsyncIterator<string>;
  #complaints = '';
  #startError: Error | undefined;

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ['pipe', 'pipe', 'pipe'] });
    this.#child.on('error', (error) => {
      this.#startError = error;
    });
    this.#child.stdin.on('error', () => {}); // the missing answer tells
    this.#child.stderr.on('data', (text) => {
      this.#complaints = `${this.#complaints}${text}`.slice(-2000);
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** Rejects with what the process said last where it ends without an answer. */
  async ask<Answer>(question: object): Promise<Answer> {
    this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) {
      const lines = this.#complaints.trim().split('\n');
      const reason = lines.findLast((line) => /^\w*Error/.test(line)) ?? lines.at(-1);
      throw this.#startError ?? new Error(reason || 'it ended without an answer');
    }
    return JSON.parse(value) as Answer;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null) {
      await once(this.#child, 'exit');
    }
  }
}

/** The side of the process: `answer` gives what goes back for each question. */
export async function answerLines(answer: (question: never) => Promise<object>): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    process.stdout.write(`${JSON.stringify(await answer(JSON.parse(line) as never))}\n`);
  }
}
