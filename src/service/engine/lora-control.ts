/**
 * Changing what is served. The store of versions says what is to be served; a change is made there first, by compare-and-set,
 * and then every replica is brought to it. The kill switch waits for nobody; the other operations of a process follow each other.
 */
import { LorakeetError, type LorakeetErrorCode } from '../../errors.js';
import type { Logger } from '../../logger.js';
import type { AdapterVersions } from '../../versions/adapter-versions.js';
import { ACTIVE } from '../../versions/head.js';
import type { VersionMove } from '../../versions/rules.js';
import type { ServiceConfig } from '../config/keys.js';
import type { LoraOperation, ServiceEvents } from './events.js';
import { type AuditedRequest, requireLoraRequest, requireQuarantineRequest } from './lora-requests.js';
import { LoraHistory, statusOf } from './lora-status.js';
import type { Caller, LoraRequest, LoraResult, LoraStatus, QuarantineRequest, ServingReport } from './operations.js';
import type { BaseModel } from './parts.js';
import { Remembered } from './remembered.js';
import type { Reached, Replica } from './replica.js';
import { requireServable } from './servable.js';

export interface LoraControlParts {
  config: ServiceConfig;
  versions: AdapterVersions;
  model: BaseModel;
  /** undefined: other processes serve, and follow the store by themselves. */
  replicas: readonly Replica[] | undefined;
  events: ServiceEvents;
  logger: Logger;
}

/** Nobody has refused: the replica, or the store, could not be asked, or somebody else was faster. It may work later. */
const UNREACHED: readonly LorakeetErrorCode[] = [
  ...(['ERR_SERVING_UNAVAILABLE', 'ERR_STORE_UNAVAILABLE', 'ERR_ABORTED', 'ERR_VERSION_CONFLICT'] as const),
];
const STATUS_MS = 1500;
const REMEMBER_MS = 1000;

export class LoraControl {
  readonly #parts: LoraControlParts;
  readonly #history: LoraHistory;
  readonly #serving: Remembered<ServingReport[]>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(parts: LoraControlParts) {
    this.#parts = parts;
    this.#history = new LoraHistory(parts.versions);
    this.#serving = new Remembered(() => this.#askReplicas(), REMEMBER_MS);
  }

  activate(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    return this.#tell('activate', () => this.#inTurn(() => this.#deploy('activate', request, caller)), ofResult);
  }

  enable(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    return this.#tell('enable', () => this.#inTurn(() => this.#deploy('enable', request, caller)), ofResult);
  }

  rollback(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    return this.#tell('rollback', () => this.#inTurn(() => this.#rollBack(request, caller)), ofResult);
  }

  disable(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    return this.#tell('disable', () => this.#disable(request, caller), ofResult);
  }

  promote(request: LoraRequest, caller: Caller): Promise<LoraStatus> {
    return this.#tell('promote', () => this.#inTurn(() => this.#promote(request, caller)), ofStatus);
  }

  quarantine(request: QuarantineRequest, caller: Caller): Promise<LoraStatus> {
    return this.#tell('quarantine', () => this.#inTurn(() => this.#isolate('quarantine', request, caller)), ofStatus);
  }

  release(request: QuarantineRequest, caller: Caller): Promise<LoraStatus> {
    return this.#tell('release', () => this.#inTurn(() => this.#isolate('release', request, caller)), ofStatus);
  }

  async loraStatus(): Promise<LoraStatus> {
    return this.#statusWith(await this.serving());
  }

  /** What the replicas serve, asked at most every second. */
  serving(): Promise<ServingReport[]> {
    return this.#serving.get();
  }

  /** lora.initialVersion, where nothing was ever active. What keeps it from that is logged, and not fatal. */
  async activateInitial(): Promise<void> {
    const { config, versions, logger } = this.#parts;
    const { enabled, initialVersion } = config.lora;
    if (!enabled || initialVersion === undefined) return;
    const { disabled, aliases } = await versions.state();
    if (disabled || aliases[ACTIVE] !== undefined) return;
    const request = { adapterVersion: initialVersion, reason: 'lora.initialVersion', expect: null };
    try {
      await this.activate(request, { name: 'configuration' });
    } catch (error) {
      if ((error as LorakeetError).code === 'ERR_VERSION_CONFLICT') return; // another process was first
      logger.error(`lora.initialVersion: ${initialVersion} is not activated: ${(error as Error).message}`);
    }
  }

  /** Never rejects: what cannot be reached now is brought there by its reconciler. */
  async bringAll(): Promise<void> {
    await this.#bring(this.#limitMs);
  }

  async #deploy(operation: 'activate' | 'enable', request: LoraRequest, caller: Caller): Promise<LoraResult> {
    const began = performance.now();
    const { version, options } = requireLoraRequest(request, caller, { named: true });
    this.#requireServing();
    const { versions, model, config } = this.#parts;
    const target = await requireServable(versions, version as string, { model, driver: config.serving.driver });
    const move = await versions[operation](target, options);
    return this.#carryOut(operation, move, options, began);
  }

  async #rollBack(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    const began = performance.now();
    const { version, options } = requireLoraRequest(request, caller);
    this.#requireServing();
    const { versions } = this.#parts;
    const to = version === undefined ? undefined : await versions.resolve(version);
    const move = await versions.rollback({ ...options, ...(to !== undefined && { to }) });
    return this.#carryOut('rollback', move, options, began);
  }

  /** An adapterVersion says what it is meant for, as `expect` does. */
  async #disable(request: LoraRequest, caller: Caller): Promise<LoraResult> {
    const began = performance.now();
    const { version, options } = requireLoraRequest(request, caller);
    const { override: _, ...audit } = options;
    const { versions, logger } = this.#parts;
    const expect = audit.expect === undefined ? version : audit.expect;
    const move = await versions.disable({ ...audit, ...(expect !== undefined && { expect }) });
    const reached = await this.#all((replica) => replica.disable({ timeoutMs: this.#limitMs }));
    for (const { report, error } of reached) {
      if (error) logger.error(`lora: the kill switch is on, but ${report.target} could not be told: ${report.error}`);
    }
    return this.#resultOf(move, reached, began);
  }

  async #promote(request: LoraRequest, caller: Caller): Promise<LoraStatus> {
    const { version, options } = requireLoraRequest(request, caller, { named: true });
    const { override: _, ...audit } = options;
    const { versions } = this.#parts;
    await versions.promote(await versions.resolve(version as string), audit);
    return this.loraStatus();
  }

  /** Whether a version may be served; what is served stays, as the active version cannot go into quarantine. */
  async #isolate(operation: 'quarantine' | 'release', request: QuarantineRequest, caller: Caller): Promise<LoraStatus> {
    const { version, actor, reason } = requireQuarantineRequest(request, caller);
    const { versions } = this.#parts;
    await versions[operation](await versions.resolve(version), { actor, reason });
    return this.loraStatus();
  }

  /** Brings the replicas to what the store says since the move, or takes the move back. */
  async #carryOut(
    operation: LoraOperation,
    move: VersionMove,
    options: AuditedRequest['options'],
    began: number,
  ): Promise<LoraResult> {
    const { logger } = this.#parts;
    const reached = await this.#bring(this.#limitMs - (performance.now() - began));
    const failure = failureOf(operation, reached);
    if (failure) {
      await this.#takeBack(operation, move, options.actor, failure);
      // those that cannot be reached are seen to by their reconcilers
      await this.#bring(this.#limitMs, (_, i) => !isUnreached(reached[i]));
      throw failure.error;
    }
    const result = await this.#resultOf(move, reached, began);
    if (result.status.active !== move.to) throw await this.#overtaken(operation, move, result.status);
    const { fromVersion, toVersion, durationMs, targetMs, withinTarget } = result;
    const what = `lora: ${operation} from ${fromVersion ?? 'the base model'} to ${toVersion} by ${options.actor}`;
    logger.info(`${what} took ${Math.round(durationMs)} ms`);
    if (!withinTarget)
      logger.warn(`${what} has not reached every replica within ${targetMs} ms (serving.timeoutSeconds)`);
    return result;
  }

  /** Never rejects: what is told is why it came to this. */
  async #takeBack(operation: LoraOperation, move: VersionMove, actor: string, failure: Reached): Promise<void> {
    const { versions, logger } = this.#parts;
    const why = `${operation} of ${move.to}: ${failure.report.target}: ${failure.report.error}`;
    logger.error(`lora: ${why}`);
    try {
      await versions.undo(move, { actor, reason: why.slice(0, 4096) });
    } catch (error) {
      // changed by somebody else since, which holds; or the store has failed, and the reconcilers go on trying
      logger.error(`lora: ${operation} of ${move.to} could not be taken back: ${(error as Error).message}`);
    }
  }

  async #overtaken(operation: LoraOperation, move: VersionMove, status: LoraStatus): Promise<LorakeetError> {
    const { versions } = this.#parts;
    const { disabled } = await versions.state();
    const what = `${operation} of ${move.to}: meanwhile`;
    if (disabled) return new LorakeetError('ERR_ADAPTER_DISABLED', `${what} the kill switch was turned on`);
    const is = status.active ?? 'the base model';
    return new LorakeetError('ERR_VERSION_CONFLICT', `${what} somebody else has made ${is} active`);
  }

  async #resultOf(move: VersionMove, reached: readonly Reached[], began: number): Promise<LoraResult> {
    const serving = reached.map(({ report }) => report);
    this.#serving.set(serving);
    const durationMs = performance.now() - began;
    const targetMs = this.#limitMs;
    const withinTarget = durationMs <= targetMs && reached.every(({ error }) => error === undefined);
    return {
      status: await this.#statusWith(serving),
      fromVersion: move.from,
      toVersion: move.to,
      ...{ durationMs, targetMs, withinTarget },
    };
  }

  async #statusWith(serving: ServingReport[]): Promise<LoraStatus> {
    const state = await this.#parts.versions.state();
    const history = await this.#history.upTo(state.sequence);
    return statusOf(state, history, serving, this.#parts.config.lora.enabled);
  }

  #bring(withinMs: number, which: (replica: Replica, i: number) => boolean = () => true): Promise<Reached[]> {
    const timeoutMs = Math.max(1, Math.ceil(withinMs));
    const signal = AbortSignal.timeout(timeoutMs);
    const replicas = (this.#parts.replicas ?? []).filter(which);
    return Promise.all(replicas.map((replica) => replica.bring({ timeoutMs, signal })));
  }

  #all(work: (replica: Replica) => Promise<Reached>): Promise<Reached[]> {
    return Promise.all((this.#parts.replicas ?? []).map(work));
  }

  async #askReplicas(): Promise<ServingReport[]> {
    const reached = await this.#all((replica) => replica.status({ timeoutMs: STATUS_MS }));
    return reached.map(({ report }) => report);
  }

  get #limitMs(): number {
    return this.#parts.config.serving.timeoutSeconds * 1000;
  }

  #requireServing(): void {
    const { config, replicas } = this.#parts;
    const refuse = (why: string) => {
      throw new LorakeetError('ERR_INVALID_STATE', `${why}: no version can be served`);
    };
    if (!config.lora.enabled) refuse('lora.enabled is false');
    if (replicas?.length === 0) refuse('model.folder is not set');
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  async #tell<T>(operation: LoraOperation, work: () => Promise<T>, statusOf: (result: T) => LoraStatus): Promise<T> {
    const { events } = this.#parts;
    const began = performance.now();
    try {
      const result = await work();
      events.loraFinished({ operation, durationMs: performance.now() - began, status: statusOf(result) });
      return result;
    } catch (error) {
      const code = error instanceof LorakeetError ? error.code : 'unexpected';
      events.loraFinished({ operation, durationMs: performance.now() - began, code });
      throw error;
    }
  }
}

const ofResult = ({ status }: LoraResult) => status;
const ofStatus = (status: LoraStatus) => status;

function isUnreached({ error }: Reached): boolean {
  return error instanceof LorakeetError && UNREACHED.includes(error.code);
}

/**
 * A replica that refuses is one; so are all replicas together that cannot be reached, as nothing would be served. A rollback
 * stands in that case: whoever leaves a version does not want it back, and the reconcilers go on trying.
 */
function failureOf(operation: LoraOperation, reached: readonly Reached[]): Reached | undefined {
  const failed = reached.filter(({ error }) => error !== undefined);
  const refused = failed.find((one) => !isUnreached(one));
  if (refused) return refused;
  return operation !== 'rollback' && failed.length > 0 && failed.length === reached.length ? failed[0] : undefined;
}
