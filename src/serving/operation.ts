/** One operation of a driver: its time limit, its abort, and its turn among the others. */
import { setTimeout as delay } from 'node:timers/promises';
import { requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { DeployOptions, OperationOptions } from './driver.js';

export const DEFAULT_TIMEOUT_MS = 120_000;
/** What setTimeout takes. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export function requireTimeout(name: string, value: unknown): number {
  return requireNumber(name, value, { above: 0, max: MAX_TIMEOUT_MS });
}

export class Operation {
  readonly #ended = new AbortController();
  readonly #what: string;
  #cancelled: LorakeetError | undefined;

  constructor(what: string) {
    this.#what = what;
  }

  /** Aborted, with the error to be thrown, when the time is over or the caller has aborted. */
  get signal(): AbortSignal {
    return this.#ended.signal;
  }

  /** Lets it end at its next check; what it is waiting for is waited for. */
  cancel(why: string): void {
    this.#cancelled ??= new LorakeetError('ERR_ABORTED', `${this.#what}: ${why}`);
  }

  end(error: LorakeetError): void {
    this.#ended.abort(error);
  }

  /** To be called before every step that changes something. */
  check(): void {
    this.signal.throwIfAborted();
    if (this.#cancelled) throw this.#cancelled;
  }

  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.signal }).catch(() => {});
    this.check();
  }
}

/**
 * Runs `work`, and rejects when its time is over even if `work` does not notice: with ERR_SERVING_UNAVAILABLE, and with
 * ERR_ABORTED when the caller aborts.
 */
export async function runOperation<T>(
  what: string,
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal }: OperationOptions,
  work: (operation: Operation) => Promise<T>,
): Promise<T> {
  requireTimeout('options.timeoutMs', timeoutMs);
  const operation = new Operation(what);
  const abort = () => operation.end(new LorakeetError('ERR_ABORTED', `${what}: aborted`, { cause: signal?.reason }));
  if (signal?.aborted) abort();
  signal?.addEventListener('abort', abort);
  const late = `${what}: not done within ${timeoutMs} ms`;
  const timer = setTimeout(() => operation.end(new LorakeetError('ERR_SERVING_UNAVAILABLE', late)), timeoutMs);
  try {
    operation.check();
    const ended = new Promise<never>((_, reject) => {
      operation.signal.addEventListener('abort', () => reject(operation.signal.reason));
    });
    return await Promise.race([work(operation), ended]);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', abort);
  }
}

/**
 * The turns of a driver's operations: one after the other. An operation that was given up still holds its turn until what it
 * was doing has ended, so that the next one finds a server at rest.
 */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  readonly #deploys = new Map<string, Set<Operation>>();

  take<T>(operation: Operation, work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(() => {
      operation.check();
      return work();
    });
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** As take(), after `confirm`, to come to nothing once cancelDeploys is called. */
  async takeToDeploy<T>(
    name: string,
    operation: Operation,
    { confirm }: DeployOptions,
    work: () => Promise<T>,
  ): Promise<T> {
    const deploys = this.#deploys.get(name) ?? new Set();
    this.#deploys.set(name, deploys.add(operation));
    try {
      return await this.take(operation, async () => {
        await confirm?.();
        operation.check();
        return work();
      });
    } finally {
      deploys.delete(operation);
      if (deploys.size === 0) this.#deploys.delete(name);
    }
  }

  cancelDeploys(name: string): void {
    for (const operation of this.#deploys.get(name) ?? []) operation.cancel('the adapter was disabled meanwhile');
  }
}
