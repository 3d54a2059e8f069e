/** A program that computes what the kernels compute: bench/native/peers/main.cc, or anything that answers as it does. */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Operation, Shape } from '../model.js';

/** `users` users with `rows` rows each. */
export interface PeerProblem extends Shape {
  operation: Operation;
  users: number;
  rows: number;
}

/** What a peer answers for. Both methods reject with an Error where it fails. */
export interface PeerProgram {
  /** What it can do, with versions. */
  names(): Promise<Record<string, string>>;
  /** One call on the data given; see main.cc for both layouts. */
  check(peer: string, problem: PeerProblem, data: readonly Float32Array[]): Promise<Float32Array>;
  /** ns per user of each, measured in turn. */
  time(peers: readonly string[], problem: PeerProblem): Promise<number[]>;
  close(): Promise<void>;
}

export class PeerProcess implements PeerProgram {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #chunks: AsyncIterator<Buffer>;
  #received = Buffer.alloc(0);
  #complaints = '';
  #startError: Error | undefined;

  constructor(command: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(command, args, { env: { ...process.env, ...env } });
    this.#child.on('error', (error) => {
      this.#startError = error;
    });
    this.#child.stdin.on('error', () => {}); // the missing answer tells
    this.#child.stderr.on('data', (text) => {
      this.#complaints = `${this.#complaints}${text}`.slice(-500);
    });
    this.#chunks = this.#child.stdout[Symbol.asyncIterator]();
  }

  async names(): Promise<Record<string, string>> {
    this.#child.stdin.write('names\n');
    return parseNames(await this.#line());
  }

  check(peer: string, problem: PeerProblem, data: readonly Float32Array[]): Promise<Float32Array> {
    return this.#ask('check', [peer], problem, data);
  }

  async time(peers: readonly string[], problem: PeerProblem): Promise<number[]> {
    const times = Array.from(await this.#ask('time', peers, problem));
    if (times.length !== peers.length || !times.every((ns) => ns > 0 && Number.isFinite(ns))) {
      throw new Error(`${peers.join()}: got ${JSON.stringify(times)}, expected one positive time for each`);
    }
    return times;
  }

  async close(): Promise<void> {
    this.#child.stdin.end();
    if (this.#child.pid !== undefined && this.#child.exitCode === null) await once(this.#child, 'exit');
  }

  async #ask(
    verb: string,
    peers: readonly string[],
    { operation, dim, rank, users, rows }: PeerProblem,
    data: readonly Float32Array[] = [],
  ): Promise<Float32Array> {
    this.#child.stdin.write(`${[verb, peers.join(), operation, dim, rank, users, rows].join(' ')}\n`);
    for (const part of data) this.#child.stdin.write(Buffer.from(part.buffer, part.byteOffset, part.byteLength));
    const line = await this.#line();
    if (!/^\d+$/.test(line)) throw new Error(`${peers.join()}: ${line.replace(/^error /, '')}`);
    const bytes = await this.#bytes(4 * Number(line));
    return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
  }

  async #line(): Promise<string> {
    let end = this.#received.indexOf('\n');
    while (end < 0) {
      await this.#receive();
      end = this.#received.indexOf('\n');
    }
    return (await this.#bytes(end + 1)).toString().trim();
  }

  async #bytes(count: number): Promise<Buffer> {
    while (this.#received.length < count) await this.#receive();
    const bytes = this.#received.subarray(0, count);
    this.#received = this.#received.subarray(count);
    return bytes;
  }

  async #receive(): Promise<void> {
    const { value, done } = await this.#chunks.next();
    if (done) throw new Error(this.#startError?.message ?? `it ended without an answer: ${this.#complaints.trim()}`);
    this.#received = Buffer.concat([this.#received, value]);
  }
}

/** `a=1.0<tab>b=2.0` */
export function parseNames(line: string): Record<string, string> {
  const pairs = line.split('\t').map((pair) => /^([\w-]+)=(.*)$/.exec(pair));
  if (pairs.includes(null)) throw new Error(`got ${JSON.stringify(line)}, expected name=version`);
  return Object.fromEntries(pairs.map((pair) => pair!.slice(1)));
}
