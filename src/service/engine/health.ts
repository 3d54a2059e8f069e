/** How the parts of the service are: asked of each, with little time to answer. */
import { setTimeout as delay } from 'node:timers/promises';
import { LIBRARY_VERSION } from '../../versions/publication.js';
import type { JobWorker } from '../jobs/worker.js';
import type { ComponentHealth, Health, ServingReport } from './operations.js';
import type { ServiceParts } from './parts.js';
import { Remembered } from './remembered.js';

export interface HealthParts
  extends Pick<ServiceParts, 'config' | 'feedback' | 'versions' | 'queue' | 'queueName' | 'model' | 'scheduler'> {
  worker: JobWorker | undefined;
  /** undefined where nothing is served. */
  serving: (() => Promise<ServingReport[]>) | undefined;
}

type Finding = Pick<ComponentHealth, 'status' | 'detail'>;

/** A health check must be quick: who has not answered by then is taken at its last word, unless that is too old. */
const PATIENCE_MS = 150;
const STALE_MS = 10_000;
const REMEMBER_MS = 1000;
/** A worker that has not looked for jobs for so long, though it has none, hangs. */
const IDLE_WORKER_MS = 60_000;
/** Without them there is neither an answer nor feedback. */
const VITAL = ['model', 'feedback', 'storage', 'serving'];

export class HealthChecks {
  readonly #parts: HealthParts;
  readonly #began = performance.now();
  readonly #probes: ReadonlyMap<string, Remembered<ComponentHealth>>;

  constructor(parts: HealthParts) {
    this.#parts = parts;
    const probes: Record<string, () => Promise<Finding> | Finding> = {
      model: () => this.#model(),
      feedback: () => this.#feedback(),
      storage: () => this.#storage(),
      jobs: () => this.#jobs(),
      worker: () => this.#worker(),
      scheduler: () => this.#scheduler(),
      serving: () => this.#serving(),
    };
    this.#probes = new Map(
      Object.entries(probes).map(([name, probe]) => [name, new Remembered(() => timed(probe), REMEMBER_MS)]),
    );
  }

  async check(): Promise<Health> {
    const found = await Promise.all(
      Array.from(this.#probes, async ([name, probe]) => [name, await patiently(probe)] as const),
    );
    const bad = found.filter(([, { status }]) => status === 'degraded' || status === 'down');
    const broken = bad.some(([name, { status }]) => status === 'down' && VITAL.includes(name));
    return {
      status: broken ? 'unhealthy' : bad.length > 0 ? 'degraded' : 'healthy',
      version: LIBRARY_VERSION,
      uptimeSeconds: (performance.now() - this.#began) / 1000,
      components: Object.fromEntries(found),
    };
  }

  #model(): Finding {
    const { model, config } = this.#parts;
    if (config.model.folder === undefined) return off('model.folder is not set');
    const { loaded } = model;
    if (!loaded) return off(`${model.name} is loaded when it is first needed`);
    const { name, device } = loaded.backend;
    return ok(`${model.name} on ${name} (${device})`);
  }

  /** Reads a row, if there is one. */
  async #feedback(): Promise<Finding> {
    await this.#parts.feedback.page({}, { limit: 1 });
    return ok(this.#parts.config.feedback.kind);
  }

  async #storage(): Promise<Finding> {
    const { versions } = await this.#parts.versions.state();
    return ok(`${this.#parts.config.storage.kind}, ${versions.length} versions`);
  }

  async #jobs(): Promise<Finding> {
    const { queued, running } = await this.#parts.queue.counts(this.#parts.queueName);
    return ok(`${running} running, ${queued} waiting`);
  }

  #worker(): Finding {
    const { worker } = this.#parts;
    if (!worker) return off('jobs.worker is false');
    const { running, lastLook } = worker;
    if (running !== undefined) return ok(`works on job ${running}`);
    if (!lastLook) return { status: 'degraded', detail: 'has not looked for jobs yet' };
    const agoMs = Date.now() - lastLook.at.getTime();
    if (lastLook.error !== undefined) return down(`cannot look for jobs: ${lastLook.error}`);
    return agoMs > IDLE_WORKER_MS ? down(`last looked for jobs at ${lastLook.at.toISOString()}`) : ok('waits for jobs');
  }

  #scheduler(): Finding {
    const { scheduler, config } = this.#parts;
    if (!config.schedule.enabled || !scheduler) return off('schedule.enabled is false');
    if (!scheduler.isRunning) return down('has been stopped');
    const next = scheduler.status()[0]?.nextRunAt;
    return ok(next ? `next run at ${next.toISOString()}` : 'no run ever comes due');
  }

  async #serving(): Promise<Finding> {
    const { serving, config, versions } = this.#parts;
    if (!serving) return off('other processes serve');
    const reports = await serving();
    if (reports.length === 0) return off('model.folder is not set: nothing is served');
    const { disabled, aliases } = await versions.state();
    const wanted = disabled || !config.lora.enabled ? null : (aliases.active ?? null);
    const right = reports.filter(({ version, settled }) => settled && version === wanted);
    const wrong = reports.find((report) => !right.includes(report));
    const what = wanted ?? 'the base model';
    if (!wrong) return ok(`${what} at ${reports.length} of ${reports.length}`);
    const is = wrong.error ?? `serves ${wrong.version ?? 'the base model'}`;
    const detail = `${what} at ${right.length} of ${reports.length}; ${wrong.target}: ${is}`;
    return { status: reports.every(({ error }) => error !== undefined) ? 'down' : 'degraded', detail };
  }
}

const ok = (detail: string): Finding => ({ status: 'ok', detail });
const off = (detail: string): Finding => ({ status: 'off', detail });
const down = (detail: string): Finding => ({ status: 'down', detail });

async function timed(probe: () => Promise<Finding> | Finding): Promise<ComponentHealth> {
  const began = performance.now();
  let finding: Finding;
  try {
    finding = await probe();
  } catch (error) {
    finding = down((error as Error).message);
  }
  return { ...finding, ms: performance.now() - began };
}

async function patiently(probe: Remembered<ComponentHealth>): Promise<ComponentHealth> {
  const given = new AbortController();
  const late = delay(PATIENCE_MS, undefined, { signal: given.signal }).then(
    () => probe.latest(STALE_MS) ?? { ...down(`no answer within ${PATIENCE_MS} ms`), ms: PATIENCE_MS },
    () => probe.get(),
  );
  try {
    return await Promise.race([probe.get(), late]);
  } finally {
    given.abort();
  }
}
