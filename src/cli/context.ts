/** What a command works with: where it prints, what every command is told, and the service that it asks. */
import type { Readable, Writable } from 'node:stream';
import { LearningClient } from '../service/client/learning-client.js';

/** The world around the program, as the process has it. */
export interface Surroundings {
  stdin: Readable;
  stdout: Writable & { isTTY?: boolean };
  stderr: Writable & { isTTY?: boolean };
  env: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT and SIGTERM. */
  signal: AbortSignal;
}

/** Options of every command. */
export interface GlobalOptions {
  baseUrl?: string;
  token?: string;
  json?: boolean;
  /** Seconds. */
  timeout?: number;
}

export class Context {
  readonly surroundings: Surroundings;
  readonly #options: GlobalOptions;

  constructor(surroundings: Surroundings, options: GlobalOptions) {
    this.surroundings = surroundings;
    this.#options = options;
  }

  get signal(): AbortSignal {
    return this.surroundings.signal;
  }

  get isJson(): boolean {
    return this.#options.json === true;
  }

  /** Whether somebody said where the service is. */
  get namesService(): boolean {
    return this.#baseUrl !== undefined;
  }

  get #baseUrl(): string | undefined {
    return this.#options.baseUrl ?? (this.surroundings.env.LEARNING_ENGINE_URL || undefined);
  }

  /** Throws ERR_INVALID_CONFIG. */
  client(): LearningClient {
    const { token, timeout } = this.#options;
    return new LearningClient({
      baseUrl: this.#baseUrl,
      token: token ?? (this.surroundings.env.LEARNING_ENGINE_TOKEN || undefined),
      timeoutMs: timeout === undefined ? undefined : timeout * 1000,
    });
  }

  /** The result: with --json as JSON, else as lines. */
  print(json: unknown, lines: () => readonly string[]): void {
    const text = this.isJson ? JSON.stringify(json, null, 2) : lines().join('\n');
    this.surroundings.stdout.write(`${text}\n`);
  }

  /** For people, beside the result. */
  note(line: string): void {
    this.surroundings.stderr.write(`${line}\n`);
  }

  /** Part of the result that is no JSON; waits while the reader is slow. */
  async write(text: string | Uint8Array): Promise<void> {
    const { stdout } = this.surroundings;
    if (stdout.write(text) || stdout.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        stdout.off('drain', done);
        stdout.off('close', done);
        resolve();
      };
      stdout.on('drain', done);
      stdout.on('close', done);
    });
  }
}
