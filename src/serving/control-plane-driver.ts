/** A control plane in front of a model server: one adapter at a time, by reload and rollback endpoints. */
import { join } from 'node:path';
import { CONFIG_FILE, readPeft } from '../adapter/formats/peft-reader.js';
import type { LoraModules } from '../adapter/lora-module.js';
import { fail, rejectUnknownKeys } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { accessFile } from '../files/random-access.js';
import { isVersionNumber } from '../versions/version-number.js';
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
import { HTTP_KEYS, type HttpOptions, isRecord, ServingAnswerError, ServingClient } from './http-client.js';
import { type Operation, Turns } from './operation.js';

export interface ControlPlaneOptions extends HttpOptions, AdapterFilesOptions {
  /** Where adapters are written, the one that changes nothing included; it must exist, and the server must see it. */
  folder: string;
  /** The name of the one adapter that it serves. */
  adapter: string;
  /** Default /internal/lora/reload */
  reloadPath?: string;
  /** Default /internal/lora/rollback */
  rollbackPath?: string;
  /** Default /internal/lora/state */
  statePath?: string;
  /** Takes the adapter away, if the control plane has such an endpoint. Default: none, see ControlPlaneDriver. */
  disablePath?: string;
}

interface ActiveAdapter {
  path: string;
  version: string;
}

const KEYS = ['adapter', 'reloadPath', 'rollbackPath', 'statePath', 'disablePath', ...HTTP_KEYS, ...FILES_KEYS];
/** The version of the adapter that changes nothing. */
const BASE = 'base';

/**
 * Takes PEFT folders and modules. The control plane has no endpoint that takes an adapter away: disable() reloads one whose
 * loraB is 0, under the version `base`, with which the model answers as without any. deploy() writes it before anything
 * else, so that it is there whenever it is needed.
 */
export class ControlPlaneDriver implements ServingDriver {
  readonly target: string;
  readonly #client: ServingClient;
  readonly #files: AdapterFiles;
  readonly #adapter: string;
  readonly #paths: { reload: string; rollback: string; state: string; disable: string | undefined };
  readonly #turns = new Turns();

  /** Throws ERR_INVALID_CONFIG, ERR_PATH_NOT_ALLOWED. */
  constructor(options: ControlPlaneOptions) {
    if (!isRecord(options)) fail('ERR_INVALID_CONFIG', 'options', options, 'an object');
    rejectUnknownKeys('options', options, KEYS);
    const { folder, reloadPath, rollbackPath, statePath, disablePath } = options;
    if (folder === undefined) fail('ERR_INVALID_CONFIG', 'options.folder', folder, 'the path of a folder');
    for (const [name, path] of Object.entries({ reloadPath, rollbackPath, statePath, disablePath })) {
      const ok = path === undefined || (typeof path === 'string' && /^\/[\x21-\x7e]*$/.test(path));
      if (!ok) fail('ERR_INVALID_CONFIG', `options.${name}`, path, 'a path that begins with /');
    }
    this.#client = new ServingClient(options);
    this.#files = new AdapterFiles(options);
    this.#adapter = requireHeadName(options.adapter);
    this.#paths = {
      reload: reloadPath ?? '/internal/lora/reload',
      rollback: rollbackPath ?? '/internal/lora/rollback',
      state: statePath ?? '/internal/lora/state',
      disable: disablePath,
    };
    this.target = `control plane at ${this.#client.url}`;
  }

  async deploy(request: DeployRequest, options: DeployOptions = {}): Promise<ServingStatus> {
    const { name, version, bytes } = requireDeployRequest(request);
    if (bytes) refuseBytes(this.target);
    this.#requireOwn(name);
    const path = this.#files.serverPathOf(request);
    return this.#client.run(`deploying ${name} ${version}`, options, (operation) =>
      this.#turns.takeToDeploy(name, operation, options, async () => {
        await this.#reload(operation, { path, version }, async () => {
          if (this.#paths.disable === undefined) await this.#writeBase(await modulesOf(this.target, request));
          await this.#files.write(request);
        });
        return this.#status(operation);
      }),
    );
  }

  async disable(name: string, options: OperationOptions = {}): Promise<ServingStatus> {
    this.#requireOwn(name);
    this.#turns.cancelDeploys(name);
    return this.#client.run(`disabling ${name}`, options, (operation) =>
      this.#turns.take(operation, async () => {
        const { disable } = this.#paths;
        const active = await this.#client.retry(operation, () => this.#active(operation));
        if (active === undefined || (disable === undefined && active.version === BASE)) return this.#status(operation);
        if (disable === undefined) {
          await this.#requireBase(active);
          await this.#reload(operation, { path: this.#basePath, version: BASE }, async () => {});
        } else {
          const isGone = async () => (await this.#active(operation)) === undefined;
          await this.#client.bring(operation, `disabling ${name}`, isGone, async () => {
            await this.#client.request(operation, 'POST', disable, {});
          });
        }
        return this.#status(operation);
      }),
    );
  }

  async status(name: string, options: OperationOptions = {}): Promise<ServingStatus> {
    this.#requireOwn(name);
    return this.#client.run(`the status of ${name}`, options, (operation) =>
      this.#client.retry(operation, () => this.#status(operation)),
    );
  }

  /**
   * Has the control plane go back to what it served before, as it remembers that: for when nobody else does. It goes to and
   * fro between two versions when repeated, so it is asked once only; when that fails, status() tells what has become of it.
   * Also rejects with ERR_NO_ROLLBACK_TARGET where there was nothing before.
   */
  async rollbackToPrevious(options: OperationOptions = {}): Promise<ServingStatus> {
    return this.#client.run(`rolling back ${this.#adapter}`, options, (operation) =>
      this.#turns.takeToDeploy(this.#adapter, operation, {}, async () => {
        try {
          await this.#client.request(operation, 'POST', this.#paths.rollback, {});
        } catch (error) {
          const { cause, message } = error as LorakeetError;
          if (!(cause instanceof ServingAnswerError) || cause.status !== 409) throw error;
          throw new LorakeetError('ERR_NO_ROLLBACK_TARGET', message, { cause });
        }
        return this.#status(operation);
      }),
    );
  }

  #reload(operation: Operation, wanted: ActiveAdapter, prepare: () => Promise<void>): Promise<void> {
    const isActive = async () => {
      const active = await this.#active(operation);
      return active?.version === wanted.version && active.path === wanted.path;
    };
    return this.#client.bring(operation, `reloading ${wanted.version}`, isActive, async () => {
      await prepare();
      operation.check();
      const body = { adapter_path: wanted.path, adapter_version: wanted.version };
      await this.#client.request(operation, 'POST', this.#paths.reload, body);
    });
  }

  async #status(operation: Operation): Promise<ServingStatus> {
    const active = await this.#active(operation);
    const version = active && isVersionNumber(active.version) ? active.version : null;
    const settled = active === undefined || active.version === BASE || version !== null;
    return { name: this.#adapter, version, loaded: version === null ? [] : [version], settled };
  }

  /** undefined: the base model. */
  async #active(operation: Operation): Promise<ActiveAdapter | undefined> {
    const state = await this.#client.json(operation, 'GET', this.#paths.state, isRecord);
    const { active_adapter: active } = isRecord(state.state) ? state.state : state;
    if (active === undefined || active === null) return undefined;
    const given = isRecord(active) ? active : {};
    const path = given.path ?? given.adapter_path;
    const version = given.version ?? given.adapter_version;
    if (typeof path === 'string' && typeof version === 'string') return { path, version };
    const what = `GET ${this.#client.url}${this.#paths.state}: active_adapter`;
    const got = this.#client.excerpt(JSON.stringify(active));
    throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}: got ${got}, expected a path and a version`);
  }

  get #basePath(): string {
    return this.#files.serverPath(`${this.#adapter}/${BASE}`);
  }

  /** The adapter that changes nothing must be there; made of the active one's modules where it is not. */
  async #requireBase(active: ActiveAdapter): Promise<void> {
    try {
      const config = join(this.#files.fromServer(this.#basePath), CONFIG_FILE);
      await (await accessFile(config)).close();
    } catch {
      const { modules } = await readPeft(this.#files.fromServer(active.path));
      await this.#writeBase(modules);
    }
  }

  async #writeBase(modules: LoraModules): Promise<void> {
    const without = Array.from(modules, ([path, { inFeatures, outFeatures, loraA }]) => {
      const loraB = new Float32Array(outFeatures);
      return [
        path,
        { rank: 1, inFeatures, outFeatures, scaling: 1, loraA: loraA.slice(0, inFeatures), loraB },
      ] as const;
    });
    await this.#files.writeModules(`${this.#adapter}/${BASE}`, new Map(without));
  }

  #requireOwn(name: string): void {
    requireHeadName(name);
    if (name !== this.#adapter) fail('ERR_INVALID_ARGUMENT', 'name', name, `${this.#adapter}, the one that is served`);
  }
}
