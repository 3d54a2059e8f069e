/**
 * The ground of the contract servers: HTTP with state, and with the failures of real servers. They answer as the sources of
 * the servers say, read in autumn 2026; they are not those servers. What a request may not have is refused, so that a slip
 * does not pass unseen.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { readPeft } from '../../src/adapter/formats/peft-reader.js';

export interface Fault {
  /** Which request, such as `POST /v1/load_lora_adapter`. */
  on: string;
  /** How many of them; default 1. */
  times?: number;
  /**
   * before: the connection breaks, nothing was done; after: it was done, then the connection breaks; lie: answers as if it
   * had been done; hang: no answer until the server is closed; slow: 40 ms late.
   */
  kind: 'before' | 'after' | 'lie' | 'hang' | 'slow' | 'status' | 'garbage';
  status?: number;
  body?: string;
  headers?: Record<string, string>;
}

export interface Answer {
  status?: number;
  /** Text is sent as it is, everything else as JSON. */
  body: unknown;
}

export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly body: unknown,
  ) {
    super(`status ${status}`);
  }
}

export abstract class ContractServer {
  /** Every request that came, such as `GET /v1/models`. */
  readonly requests: string[] = [];
  readonly faults: Fault[] = [];
  /** Asked of every request, where there is one. */
  token: string | undefined;
  #server: Server | undefined;
  #port = 0;
  readonly #sockets = new Set<Socket>();

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** On the port that it had before, if it had one. */
  async listen(): Promise<this> {
    const server = createServer((request, response) => void this.#handle(request, response));
    server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  /** As a process that was killed: what it held in memory is lost. */
  async die(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
    this.forget();
  }

  /** Throws Refusal. Whatever it does to its state is done when this resolves. */
  protected abstract answer(route: string, body: unknown, headers: IncomingMessage['headers']): Promise<Answer>;

  protected abstract forget(): void;

  /** What the server answers to a request without a token, or with a wrong one. */
  protected unauthorized(): Refusal {
    return new Refusal(401, { error: 'Unauthorized' });
  }

  /** What it answers to a body that is no JSON. */
  protected malformed(): Refusal {
    return new Refusal(400, { error: { message: 'JSON decode error', type: 'Bad Request', param: null, code: 400 } });
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const route = `${request.method} ${new URL(request.url ?? '/', 'http://localhost').pathname}`;
    this.requests.push(route);
    const fault = this.#takeFault(route);
    if (fault?.kind === 'hang') return;
    if (fault?.kind === 'before') {
      request.socket.destroy();
      return;
    }
    if (fault?.kind === 'slow') await delay(40);
    if (fault?.kind === 'status' || fault?.kind === 'garbage') {
      const { status = 200, body = '<html>Bad gateway</html>', headers = {} } = fault;
      response.writeHead(status, { 'content-type': 'text/html', ...headers }).end(body);
      return;
    }
    const { status = 200, body } = await this.#answerOrRefuse(route, Buffer.concat(chunks).toString(), request, fault);
    if (fault?.kind === 'after') {
      request.socket.destroy();
      return;
    }
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    response
      .writeHead(status, { 'content-type': typeof body === 'string' ? 'text/plain' : 'application/json' })
      .end(text);
  }

  async #answerOrRefuse(
    route: string,
    text: string,
    { headers }: IncomingMessage,
    fault: Fault | undefined,
  ): Promise<Answer> {
    try {
      if (this.token !== undefined && headers.authorization !== `Bearer ${this.token}`) throw this.unauthorized();
      let body: unknown;
      try {
        body = text === '' ? undefined : JSON.parse(text);
      } catch {
        throw this.malformed();
      }
      if (fault?.kind === 'lie') return { body: fault.body ?? 'Success' };
      return await this.answer(route, body, headers);
    } catch (error) {
      if (error instanceof Refusal) return error;
      return { status: 500, body: `Internal Server Error: ${(error as Error).message}` };
    }
  }

  #takeFault(route: string): Fault | undefined {
    const at = this.faults.findIndex(({ on }) => on === route);
    if (at < 0) return undefined;
    const fault = this.faults[at];
    if (fault.times !== undefined && fault.times > 1) this.faults[at] = { ...fault, times: fault.times - 1 };
    else this.faults.splice(at, 1);
    return fault;
  }
}

/** What a PEFT folder makes of an input: scaling · Σ loraB · Σ loraA of its modules; 0 for one that changes nothing. */
export async function effectOf(folder: string): Promise<number> {
  const { modules } = await readPeft(folder);
  const sum = (values: Float32Array) => values.reduce((total, value) => total + value, 0);
  let effect = 0;
  for (const { scaling, loraA, loraB } of modules.values()) effect += scaling * sum(loraB) * sum(loraA);
  return effect;
}

/** A string at `key` of a body, else what the server's validation says. */
export function textAt(body: unknown, key: string, refuse: (key: string) => Refusal): string {
  const value = (body as Record<string, unknown> | undefined)?.[key];
  if (typeof value !== 'string') throw refuse(key);
  return value;
}
