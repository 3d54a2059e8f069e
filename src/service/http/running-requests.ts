/** Requests that are being answered: each may take so long, ends when its client goes away, and can be ended. */
import type { FastifyReply } from 'fastify';
import { LorakeetError } from '../../errors.js';
import { HttpProblem } from './problems.js';

export class RunningRequests {
  readonly #running = new Set<AbortController>();
  readonly #answering = new Set<FastifyReply>();
  #whenIdle = () => {};

  /** To be told of every request, also of those that are refused. */
  add(reply: FastifyReply): void {
    this.#answering.add(reply);
    reply.raw.once('close', () => {
      this.#answering.delete(reply);
      if (this.#answering.size === 0) this.#whenIdle();
    });
  }

  /** Calls back once, when nobody waits for an answer. */
  onIdle(callback: () => void): void {
    this.#whenIdle = callback;
    if (this.#answering.size === 0) callback();
  }

  /** Rejects when it is over before `work` is; `work` is told by its signal. */
  async run<T>(reply: FastifyReply, limitMs: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const controller = new AbortController();
    const { signal } = controller;
    this.#running.add(controller);
    const timer = setTimeout(() => {
      const message = `it takes longer than the ${limitMs / 1000} s that this route may take`;
      controller.abort(new HttpProblem('ERR_REQUEST_TIMEOUT', message));
    }, limitMs);
    reply.raw.once('close', () => {
      clearTimeout(timer);
      this.#running.delete(controller);
      if (!reply.raw.writableEnded) controller.abort(new LorakeetError('ERR_ABORTED', 'the client went away'));
    });
    const over = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
    });
    return Promise.race([work(signal), over]);
  }

  endAll(): void {
    for (const controller of this.#running) {
      controller.abort(new LorakeetError('ERR_CLOSED', 'the service is shutting down'));
    }
  }
}
