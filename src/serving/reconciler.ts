/** reconcile() again and again, so that a server that was restarted, or forgotten, serves what the store says. */
import { LorakeetError } from '../errors.js';
import { consoleLogger, type Logger } from '../logger.js';
import type { AdapterVersions } from '../versions/adapter-versions.js';
import type { ServingDriver } from './driver.js';
import { requireTimeout } from './operation.js';
import { type Reconciled, type ReconcileOptions, reconcile } from './reconcile.js';

export interface ReconcilerOptions extends Omit<ReconcileOptions, 'signal'> {
  /** From the end of one round to the next; default 10000. */
  everyMs?: number;
  /** Default: the console. */
  logger?: Logger;
}

export class Reconciler {
  readonly #versions: AdapterVersions;
  readonly #driver: ServingDriver;
  readonly #options: Omit<ReconcileOptions, 'signal'>;
  readonly #everyMs: number;
  readonly #logger: Logger;
  readonly #stopped = new AbortController();
  #running: Promise<Reconciled> | undefined;
  #waiting: Promise<Reconciled> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #last: { at: Date; result?: Reconciled; error?: unknown } | undefined;
  #lastMessage = '';

  /** Throws ERR_INVALID_CONFIG. */
  constructor(versions: AdapterVersions, driver: ServingDriver, options: ReconcilerOptions = {}) {
    const { everyMs = 10_000, logger = consoleLogger, ...rest } = options;
    this.#versions = versions;
    this.#driver = driver;
    this.#options = rest;
    this.#everyMs = requireTimeout('options.everyMs', everyMs);
    this.#logger = logger;
  }

  /** How the last round ended; undefined before the first. */
  get last(): { at: Date; result?: Reconciled; error?: unknown } | undefined {
    return this.#last;
  }

  /** Runs rounds from now on; what fails is logged, once for each reason, and tried again in the next. */
  start(): void {
    this.#requireOpen();
    if (this.#timer) return;
    const round = async () => {
      await this.now().catch(() => {});
      if (this.#stopped.signal.aborted) return;
      // does not keep the process alive
      this.#timer = setTimeout(round, this.#everyMs).unref();
    };
    this.#timer = setTimeout(round, 0);
  }

  /** A round that begins after this call: calls that come while one waits share it. Rejects as reconcile(), with ERR_CLOSED. */
  async now(): Promise<Reconciled> {
    this.#requireOpen();
    if (!this.#running) return this.#begin();
    this.#waiting ??= this.#running
      .catch(() => {})
      .then(() => {
        this.#waiting = undefined;
        this.#requireOpen();
        return this.#begin();
      });
    return this.#waiting;
  }

  /** Ends the rounds, and the one that runs; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopped.abort();
    clearTimeout(this.#timer);
    await this.#running?.catch(() => {});
  }

  #begin(): Promise<Reconciled> {
    this.#running = this.#round().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #round(): Promise<Reconciled> {
    try {
      const options = { ...this.#options, signal: this.#stopped.signal };
      const result = await reconcile(this.#versions, this.#driver, options);
      this.#last = { at: new Date(), result };
      this.#lastMessage = '';
      if (result.changed) {
        const served = result.status.version ?? 'the base model';
        this.#logger.info(`serving: ${this.#driver.target} serves ${result.status.name}: ${served}`);
      }
      return result;
    } catch (error) {
      if (this.#stopped.signal.aborted) throw error;
      this.#last = { at: new Date(), error };
      const message = (error as Error).message;
      if (message !== this.#lastMessage) this.#logger.warn(`serving: ${this.#versions.adapter}: ${message}`);
      this.#lastMessage = message;
      throw error;
    }
  }

  #requireOpen(): void {
    if (this.#stopped.signal.aborted) throw new LorakeetError('ERR_CLOSED', 'the reconciler has been stopped');
  }
}
