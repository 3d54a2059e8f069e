/** One server that answers, and what keeps it at what the store says. */
import { LorakeetError } from '../../errors.js';
import type { Logger } from '../../logger.js';
import type { OperationOptions, ServingDriver, ServingStatus } from '../../serving/driver.js';
import { type ReconcileOptions, reconcile, sourceOf } from '../../serving/reconcile.js';
import { Reconciler } from '../../serving/reconciler.js';
import type { AdapterVersions } from '../../versions/adapter-versions.js';
import type { ServiceConfig } from '../config/keys.js';
import type { ServingReport } from './operations.js';

/** What became of an operation at one replica; `error`: it is not as it should be. */
export interface Reached {
  report: ServingReport;
  error?: unknown;
}

export class Replica {
  readonly #driver: ServingDriver;
  readonly #versions: AdapterVersions;
  readonly #reconciling: Pick<ReconcileOptions, 'adapters' | 'load'>;
  readonly #reconciler: Reconciler;

  constructor(driver: ServingDriver, versions: AdapterVersions, { lora, serving }: ServiceConfig, logger: Logger) {
    this.#driver = driver;
    this.#versions = versions;
    // what the gate has judged, to the bit
    const exact = serving.driver === 'in-process';
    this.#reconciling = { adapters: lora.enabled, load: (version) => sourceOf(version, { exact }) };
    const [everyMs, timeoutMs] = [serving.reconcileSeconds * 1000, serving.timeoutSeconds * 1000];
    this.#reconciler = new Reconciler(versions, driver, { everyMs, timeoutMs, ...this.#reconciling, logger });
  }

  get target(): string {
    return this.#driver.target;
  }

  /** Compares it with the store from now on. */
  start(): void {
    this.#reconciler.start();
  }

  stop(): Promise<void> {
    return this.#reconciler.stop();
  }

  /** To what the store says now. The three below never reject. */
  async bring(options: OperationOptions): Promise<Reached> {
    const reached = await this.#reach(options, async () => {
      const { status } = await reconcile(this.#versions, this.#driver, { ...options, ...this.#reconciling });
      return status;
    });
    if (!(reached.error instanceof LorakeetError) || reached.error.code !== 'ERR_SERVING_MISMATCH') return reached;
    // what was replaced cannot always be unloaded: the version is served all the same, and the next round tries again
    const now = await this.status(options);
    const wanted = (await this.#versions.state()).aliases.active ?? null;
    if (now.error || now.report.version !== wanted) return reached;
    return { report: { ...now.report, error: reached.error.message } };
  }

  disable(options: OperationOptions): Promise<Reached> {
    return this.#reach(options, () => this.#driver.disable(this.#versions.adapter, options));
  }

  status(options: OperationOptions): Promise<Reached> {
    return this.#reach(options, () => this.#driver.status(this.#versions.adapter, options));
  }

  async #reach({ signal, timeoutMs }: OperationOptions, work: () => Promise<ServingStatus>): Promise<Reached> {
    const { target } = this;
    try {
      const { version, settled } = await work();
      return { report: { target, version, settled } };
    } catch (cause) {
      const late = `${target}: not done within ${timeoutMs} ms`;
      const error = signal?.aborted ? new LorakeetError('ERR_SERVING_UNAVAILABLE', late, { cause }) : cause;
      return { report: { target, version: null, settled: false, error: (error as Error).message }, error };
    }
  }
}
