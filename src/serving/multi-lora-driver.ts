/** vLLM, SGLang, MAX and mistral.rs: servers that load adapters while they run, under names of their own. */
import { fail, rejectUnknownKeys, requireInteger, requireOneOf } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { consoleLogger, type Logger } from '../logger.js';
import { compareVersions } from '../versions/version-number.js';
import { requireHeadName } from '../versions/version-store.js';
import { AdapterFiles, type AdapterFilesOptions, FILES_KEYS, rankOf, refuseBytes } from './adapter-files.js';
import {
  type DeployOptions,
  type DeployRequest,
  type OperationOptions,
  requireDeployRequest,
  type ServingDriver,
  type ServingStatus,
} from './driver.js';
import { HTTP_KEYS, type HttpOptions, isRecord, isRefusal, ServingAnswerError, ServingClient } from './http-client.js';
import {
  DIALECT_NAMES,
  DIALECTS,
  type Dialect,
  type DialectName,
  isListing,
  type Listing,
} from './multi-lora-dialects.js';
import { type Operation, Turns } from './operation.js';
import { servedName, versionServed } from './served-name.js';

export interface MultiLoraOptions extends HttpOptions, AdapterFilesOptions {
  dialect: DialectName;
  /** What the server was started with (--max-lora-rank): adapters of a higher rank are refused before it is asked. */
  maxRank?: number;
  /** Where warnings go: a version that was replaced and could not be unloaded. Default: the console. */
  logger?: Logger;
}

const KEYS = ['dialect', 'maxRank', 'logger', ...HTTP_KEYS, ...FILES_KEYS];

/**
 * Each version is loaded under a name of its own, `name@v1.2`: a name that is loaded anew has been seen to go on with cached
 * answers of the old weights. route() says which name requests go to; it moves once the new version is listed, and then the
 * others are unloaded. Takes PEFT folders, which the server must see, and modules, which it writes as such.
 */
export class MultiLoraDriver implements ServingDriver {
  readonly target: string;
  readonly #client: ServingClient;
  readonly #dialect: Dialect;
  readonly #files: AdapterFiles;
  readonly #maxRank: number | undefined;
  readonly #logger: Logger;
  readonly #turns = new Turns();
  /** The version that requests for a name go to; null: the base. */
  readonly #routes = new Map<string, string | null>();
  /** How often deploy and disable have moved one. */
  #moves = 0;
  #base: string | undefined;

  /** Throws ERR_INVALID_CONFIG. */
  constructor(options: MultiLoraOptions) {
    if (!isRecord(options)) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
    rejectUnknownKeys('options', options, KEYS);
    const dialect = requireOneOf('options.dialect', options.dialect, DIALECT_NAMES);
    this.#dialect = DIALECTS[dialect];
    this.#client = new ServingClient(options);
    this.#files = new AdapterFiles(options);
    const { maxRank } = options;
    this.#maxRank = maxRank === undefined ? undefined : requireInteger('options.maxRank', maxRank, 1, 2 ** 20);
    this.#logger = options.logger ?? consoleLogger;
    this.target = `${dialect} at ${this.#client.url}`;
  }

  /**
   * What to put into the field `model` of requests to the server so that the version deployed last answers, or the base
   * model; undefined where the base model is meant and the server has not told its name. As this driver knows it: deploy,
   * disable and status bring it up to date.
   */
  route(name: string): string | undefined {
    const version = this.#routes.get(requireHeadName(name));
    return version ? this.#dialect.modelField(servedName(name, version), this.#base) : this.#base;
  }

  async deploy(request: DeployRequest, options: DeployOptions = {}): Promise<ServingStatus> {
    const { name, version, bytes } = requireDeployRequest(request);
    if (bytes) refuseBytes(this.target);
    const path = this.#files.serverPathOf(request);
    return this.#client.run(`deploying ${name} ${version}`, options, (operation) =>
      this.#turns.takeToDeploy(name, operation, options, async () => {
        await this.#requireRank(request);
        const served = servedName(name, version);
        // where the server does not tell the path, the name stands for it
        const isOwn = ({ adapters }: Listing) => adapters.has(served) && (adapters.get(served) ?? path) === path;
        const isLoaded = async () => isOwn(await this.#list(operation));
        await this.#client.bring(operation, `loading ${served}`, isLoaded, async () => {
          await this.#files.write(request);
          const listing = await this.#list(operation);
          if (listing.adapters.has(served) && !isOwn(listing)) await this.#unload(operation, served);
          operation.check();
          const body = { lora_name: served, lora_path: path, ...this.#dialect.loadWith };
          await this.#post(operation, this.#dialect.load, body);
        });
        operation.check();
        this.#move(name, version);
        await this.#unloadOthers(operation, name, version);
        return this.#status(operation, name);
      }),
    );
  }

  async disable(name: string, options: OperationOptions = {}): Promise<ServingStatus> {
    requireHeadName(name);
    // at once, also if the server cannot be reached: from here on route() leads to the base
    this.#move(name, null);
    this.#turns.cancelDeploys(name);
    return this.#client.run(`disabling ${name}`, options, (operation) =>
      this.#turns.take(operation, async () => {
        this.#move(name, null);
        const loaded = async () => this.#versionsOf(name, await this.#list(operation));
        const isGone = async () => (await loaded()).length === 0;
        await this.#client.bring(operation, `unloading ${name}`, isGone, async () => {
          for (const version of await loaded()) await this.#unload(operation, servedName(name, version));
        });
        return this.#status(operation, name);
      }),
    );
  }

  async status(name: string, options: OperationOptions = {}): Promise<ServingStatus> {
    requireHeadName(name);
    return this.#client.run(`the status of ${name}`, options, (operation) =>
      this.#client.retry(operation, () => this.#status(operation, name)),
    );
  }

  async #status(operation: Operation, name: string): Promise<ServingStatus> {
    const moves = this.#moves;
    const loaded = this.#versionsOf(name, await this.#list(operation));
    // a driver that has just begun takes over what an earlier one has left, if that is clear
    const route = this.#routes.has(name) ? this.#routes.get(name) : loaded.length === 1 ? loaded[0] : null;
    const version = route && loaded.includes(route) ? route : null;
    // unless the listing is older than the route
    if (moves === this.#moves) this.#routes.set(name, version);
    return { name, version, loaded, settled: loaded.every((one) => one === version) };
  }

  #move(name: string, version: string | null): void {
    this.#moves++;
    this.#routes.set(name, version);
  }

  #versionsOf(name: string, { adapters }: Listing): string[] {
    const versions = [...adapters.keys()].flatMap((served) => versionServed(name, served) ?? []);
    return versions.sort(compareVersions);
  }

  async #list(operation: Operation): Promise<Listing> {
    const { data } = await this.#client.json(operation, 'GET', this.#dialect.list, isListing);
    const listing = this.#dialect.readListing(data);
    if (listing) {
      this.#base = listing.base ?? this.#base;
      return listing;
    }
    const what = `GET ${this.#client.url}${this.#dialect.list}`;
    throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}: models in a form that they should not have`);
  }

  /** What was replaced is no longer routed to: that it cannot be unloaded is no failure of the deploy. */
  async #unloadOthers(operation: Operation, name: string, version: string): Promise<void> {
    try {
      for (const other of this.#versionsOf(name, await this.#list(operation))) {
        if (other !== version) await this.#unload(operation, servedName(name, other));
      }
    } catch (error) {
      operation.check();
      if (!(error instanceof LorakeetError)) throw error;
      this.#logger.warn(`serving: ${name} ${version} is served; an earlier version is still loaded: ${error.message}`);
    }
  }

  async #unload(operation: Operation, served: string): Promise<void> {
    try {
      await this.#post(operation, this.#dialect.unload, { lora_name: served });
    } catch (error) {
      if (!isRefusal(error) || (await this.#list(operation)).adapters.has(served)) throw error;
    }
  }

  async #post(operation: Operation, path: string, body: object): Promise<void> {
    try {
      if (!this.#dialect.saysSuccess) {
        await this.#client.request(operation, 'POST', path, body);
        return;
      }
      const answer = await this.#client.json(operation, 'POST', path, isRecord, body);
      if (answer.success === true) return;
      const excerpt = this.#client.excerpt(String(answer.error_message));
      throw new LorakeetError('ERR_SERVING_REFUSED', `POST ${this.#client.url}${path}: ${excerpt}`);
    } catch (error) {
      const { cause, message } = error as LorakeetError;
      const isAbsent = cause instanceof ServingAnswerError && [404, 405, 501].includes(cause.status);
      if (!isRefusal(error) || !isAbsent) throw error;
      const hint = `if it does not know the route: ${this.#dialect.switchedOnBy} switches it on`;
      throw new LorakeetError('ERR_SERVING_REFUSED', `${message} (${hint})`, { cause });
    }
  }

  async #requireRank(request: DeployRequest): Promise<void> {
    if (this.#maxRank === undefined) return;
    const rank = await rankOf(request);
    if (rank <= this.#maxRank) return;
    const what = `${request.name} ${request.version}: got rank ${rank}`;
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `${what}, expected at most ${this.#maxRank}, which the server takes`,
    );
  }
}
