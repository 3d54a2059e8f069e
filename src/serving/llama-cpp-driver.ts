/** llama.cpp's server: adapters are loaded at its start, and switched by their scales while it runs. */
import { type GgufBaseModel, writeGgufLora } from '../adapter/formats/gguf-lora.js';
import { fail, rejectUnknownKeys } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { compareVersions, isVersionNumber } from '../versions/version-number.js';
import { requireHeadName } from '../versions/version-store.js';
import { AdapterFiles, type AdapterFilesOptions, FILES_KEYS, modulesOf, refuseBytes } from './adapter-files.js';
import {
  type DeployOptions,
  type DeployRequest,
  type OperationOptions,
  requireDeployRequest,
  type ServingDriver,
  type ServingStatus,
} from './driver.js';
import { HTTP_KEYS, type HttpOptions, isRecord, ServingClient } from './http-client.js';
import { type Operation, Turns } from './operation.js';

export interface LlamaCppOptions extends HttpOptions, AdapterFilesOptions {
  /** Where the GGUF files of adapters are, as `name/v1.2.gguf`; it must exist, and the server must see it. */
  folder: string;
  /** The config.json of the base model, of which model_type and the numbers of heads are read. */
  baseModel: GgufBaseModel;
  /**
   * Starts the server anew with `--lora-scaled FILE:0` for each of these files, as it sees them; resolves when it has been
   * started, loaded or not. Default: none, and a version that the server was not started with is refused.
   */
  restart?: (files: string[]) => Promise<void>;
}

/** What GET /lora-adapters lists, of which more is ignored. */
interface ScaledAdapter {
  id: number;
  path: string;
  scale: number;
}

const KEYS = ['baseModel', 'restart', ...HTTP_KEYS, ...FILES_KEYS];
const ROUTE = '/lora-adapters';
const STARTING_PAUSE_MS = 100;

/**
 * Takes PEFT folders and modules, and writes them as GGUF. The scale of the version is set to 1 and that of the adapter's
 * other versions to 0, in one request; those of other adapters stay. Requests that name adapters themselves (`lora`) are
 * answered as they ask. The server must have been started with --no-cache-prompt: it keeps what it has computed of a prompt
 * when scales change, and would go on from there with the adapter before.
 */
export class LlamaCppDriver implements ServingDriver {
  readonly target: string;
  readonly #client: ServingClient;
  readonly #files: AdapterFiles;
  readonly #baseModel: GgufBaseModel;
  readonly #restart: LlamaCppOptions['restart'];
  readonly #turns = new Turns();

  /** Throws ERR_INVALID_CONFIG. */
  constructor(options: LlamaCppOptions) {
    if (!isRecord(options)) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
    rejectUnknownKeys('options', options, KEYS);
    const { folder, baseModel, restart } = options;
    if (folder === undefined) fail('ERR_INVALID_CONFIG', 'options.folder', folder, 'the path of a folder');
    if (!isRecord(baseModel)) fail('ERR_INVALID_CONFIG', 'options.baseModel', baseModel, 'a config.json');
    if (restart !== undefined && typeof restart !== 'function') {
      fail('ERR_INVALID_CONFIG', 'options.restart', restart, 'a function');
    }
    this.#client = new ServingClient(options);
    this.#files = new AdapterFiles(options);
    this.#baseModel = baseModel;
    this.#restart = restart;
    this.target = `llama.cpp at ${this.#client.url}`;
  }

  async deploy(request: DeployRequest, options: DeployOptions = {}): Promise<ServingStatus> {
    const { name, version, bytes } = requireDeployRequest(request);
    if (bytes) refuseBytes(this.target);
    return this.#client.run(`deploying ${name} ${version}`, options, (operation) =>
      this.#turns.takeToDeploy(name, operation, options, async () => {
        const scales = await this.#load(operation, request);
        await this.#apply(operation, name, version, scales);
        return this.#status(operation, name);
      }),
    );
  }

  async disable(name: string, options: OperationOptions = {}): Promise<ServingStatus> {
    requireHeadName(name);
    this.#turns.cancelDeploys(name);
    return this.#client.run(`disabling ${name}`, options, (operation) =>
      this.#turns.take(operation, async () => {
        await this.#apply(operation, name, null);
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

  /** Has the server hold the version, whatever its scale; the scales of all by their paths, as they were before. */
  async #load(operation: Operation, request: DeployRequest): Promise<ReadonlyMap<string, number>> {
    const { name, version } = request;
    const path = this.#files.serverPath(fileOf(name, version));
    const listed = await this.#client.retry(operation, () => this.#list(operation));
    const scales = new Map(listed.map((adapter) => [adapter.path, adapter.scale]));
    if (scales.has(path)) return scales;
    const modules = await modulesOf(this.target, request);
    const file = await this.#files.pathFor(fileOf(name, version));
    await writeGgufLora(file, modules, this.#baseModel, { name: `${name} ${version}` });
    operation.check();
    if (!this.#restart) {
      const what = `${this.target} loads adapters when it starts`;
      throw new LorakeetError(
        'ERR_SERVING_REFUSED',
        `${what}: start it anew with --lora-scaled ${path}:0 beside the others`,
      );
    }
    try {
      await this.#restart([...scales.keys(), path]);
    } catch (cause) {
      const what = `${this.target}: restart failed`;
      throw new LorakeetError('ERR_SERVING_UNAVAILABLE', `${what}: ${this.#client.excerpt(String(cause))}`, { cause });
    }
    const isLoaded = async () => (await this.#list(operation)).some((adapter) => adapter.path === path);
    // it refuses connections until it listens, and answers 503 while it loads the model
    while (!(await isLoaded().catch((error) => this.#requireStarting(operation, error)))) {
      await operation.pause(STARTING_PAUSE_MS);
    }
    return scales;
  }

  /** For the time of a start: only the time limit of the operation ends it. */
  #requireStarting(operation: Operation, error: unknown): false {
    operation.check();
    if (error instanceof LorakeetError && error.code === 'ERR_SERVING_UNAVAILABLE') return false;
    throw error;
  }

  /** Scale 1 for the version, 0 for the others of the adapter; for other adapters what `scales` has, else what they have. */
  #apply(
    operation: Operation,
    name: string,
    version: string | null,
    scales: ReadonlyMap<string, number> = new Map(),
  ): Promise<void> {
    const wanted = (adapter: ScaledAdapter) => {
      const own = this.#versionOf(name, adapter);
      if (own !== undefined) return own === version ? 1 : 0;
      return scales.get(adapter.path) ?? adapter.scale;
    };
    const isApplied = async () => (await this.#list(operation)).every((adapter) => adapter.scale === wanted(adapter));
    return this.#client.bring(operation, `the scales of ${name}`, isApplied, async () => {
      // those left out become 0
      const body = (await this.#list(operation)).map((adapter) => ({ id: adapter.id, scale: wanted(adapter) }));
      operation.check();
      await this.#client.request(operation, 'POST', ROUTE, body);
    });
  }

  async #status(operation: Operation, name: string): Promise<ServingStatus> {
    const own = (await this.#list(operation)).flatMap((adapter) => {
      const version = this.#versionOf(name, adapter);
      return version === undefined ? [] : [{ version, scale: adapter.scale }];
    });
    const loaded = own.map(({ version }) => version).sort(compareVersions);
    const applied = own.filter(({ scale }) => scale !== 0);
    const settled = applied.length === 0 || (applied.length === 1 && applied[0].scale === 1);
    return { name, version: settled && applied.length === 1 ? applied[0].version : null, loaded, settled };
  }

  #list(operation: Operation): Promise<ScaledAdapter[]> {
    return this.#client.json(operation, 'GET', ROUTE, areScaled);
  }

  #versionOf(name: string, { path }: ScaledAdapter): string | undefined {
    const start = this.#files.serverPath(`${name}/`);
    if (!path.startsWith(start) || !path.endsWith('.gguf')) return undefined;
    const version = path.slice(start.length, -'.gguf'.length);
    return isVersionNumber(version) ? version : undefined;
  }
}

function fileOf(name: string, version: string): string {
  return `${name}/${version}.gguf`;
}

function areScaled(value: unknown): value is ScaledAdapter[] {
  const isOne = (one: unknown) =>
    isRecord(one) && Number.isInteger(one.id) && typeof one.path === 'string' && typeof one.scale === 'number';
  return Array.isArray(value) && value.every(isOne);
}
