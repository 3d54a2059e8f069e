/** The in-process server: a language model that answers with the versions of adapters deployed to it. */
import { readPeft } from '../adapter/formats/peft-reader.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { LanguageAdapter } from '../llm/language-adapter.js';
import type { Generated, GenerateOptions, LanguageModel, Prompt, Scored } from '../llm/language-model.js';
import { requireHeadName } from '../versions/version-store.js';
import {
  type DeployOptions,
  type DeployRequest,
  requireDeployRequest,
  type ServingDriver,
  type ServingStatus,
} from './driver.js';
import { type Operation, runOperation, Turns } from './operation.js';

/** A version that is served, or that requests are still being answered with. */
interface Version {
  version: string;
  adapter: LanguageAdapter;
  readers: number;
  retired: boolean;
}

export interface ServeOptions extends Omit<GenerateOptions, 'adapter'> {
  /** Of the adapter to answer with; default: the base model. A name under which nothing is deployed is the base model, too. */
  name?: string;
}

/** An answer, and by which version it is; null: the base model. */
export type Served<T> = T & { version: string | null };

/**
 * A swap is one step between two requests: those that have begun end with the version that they began with, and a version
 * that was replaced gives its memory back when its last reader leaves. Takes all forms of weights.
 */
export class LanguageModelServer implements ServingDriver {
  readonly target = 'the model in this process';
  readonly #model: LanguageModel;
  readonly #served = new Map<string, Version>();
  readonly #turns = new Turns();
  /** Adapters in memory. */
  #adapters = 0;
  #open = true;

  /** The model stays the caller's, who closes it after this. */
  constructor(model: LanguageModel) {
    this.#model = model;
  }

  /** Versions in memory: those served, and those replaced that requests are still being answered with. */
  get versions(): number {
    return this.#adapters;
  }

  /** As LanguageModel.generate. */
  async generate(prompt: Prompt, { name, ...options }: ServeOptions = {}): Promise<Served<Generated>> {
    return this.#read(name, (adapter) => this.#model.generate(prompt, { ...options, adapter }));
  }

  /** As LanguageModel.stream; the version is that of the moment when its first piece is asked for. */
  async *stream(
    prompt: Prompt,
    { name, ...options }: Omit<ServeOptions, 'onText'> = {},
  ): AsyncGenerator<string, Served<Generated>> {
    const version = this.#enter(name);
    try {
      const generated = yield* this.#model.stream(prompt, { ...options, adapter: version?.adapter });
      return { ...generated, version: version?.version ?? null };
    } finally {
      this.#leave(version);
    }
  }

  /** As LanguageModel.score. */
  async score(
    prompt: string,
    completion: string,
    { name, signal }: { name?: string; signal?: AbortSignal } = {},
  ): Promise<Served<Scored>> {
    return this.#read(name, (adapter) => this.#model.score(prompt, completion, { adapter, signal }));
  }

  /** Also rejects with ERR_ADAPTER_MISMATCH for an adapter of another model, ERR_CLOSED, and as the weights are read. */
  async deploy(request: DeployRequest, options: DeployOptions = {}): Promise<ServingStatus> {
    const { name, version } = requireDeployRequest(request);
    this.#requireOpen();
    this.#requireModel(request);
    return runOperation(`deploying ${name} ${version}`, options, (operation) =>
      this.#turns.takeToDeploy(name, operation, options, async () => {
        if (this.#served.get(name)?.version !== version) await this.#swap(operation, request);
        return this.#statusOf(name);
      }),
    );
  }

  async disable(name: string): Promise<ServingStatus> {
    requireHeadName(name);
    this.#turns.cancelDeploys(name);
    this.#withdraw(name);
    return this.#statusOf(name);
  }

  async status(name: string): Promise<ServingStatus> {
    return this.#statusOf(requireHeadName(name));
  }

  /** What is being answered is answered to its end; everything later rejects with ERR_CLOSED. */
  close(): void {
    this.#open = false;
    for (const name of [...this.#served.keys()]) {
      this.#turns.cancelDeploys(name);
      this.#withdraw(name);
    }
  }

  async #swap(operation: Operation, request: DeployRequest): Promise<void> {
    const adapter = await this.#load(request);
    try {
      operation.check();
      this.#requireOpen();
    } catch (error) {
      adapter.close();
      throw error;
    }
    this.#withdraw(request.name);
    this.#adapters++;
    this.#served.set(request.name, { version: request.version, adapter, readers: 0, retired: false });
  }

  async #load({ folder, modules, bytes }: DeployRequest): Promise<LanguageAdapter> {
    if (bytes) return this.#model.loadAdapter(bytes, { train: false });
    return this.#model.importAdapter(modules ?? (await readPeft(folder as string)).modules, { train: false });
  }

  #withdraw(name: string): void {
    const version = this.#served.get(name);
    if (!version) return;
    this.#served.delete(name);
    version.retired = true;
    this.#closeUnread(version);
  }

  async #read<T>(
    name: string | undefined,
    work: (adapter: LanguageAdapter | undefined) => Promise<T>,
  ): Promise<Served<T>> {
    const version = this.#enter(name);
    try {
      return { ...(await work(version?.adapter)), version: version?.version ?? null };
    } finally {
      this.#leave(version);
    }
  }

  #enter(name: string | undefined): Version | undefined {
    this.#requireOpen();
    const version = name === undefined ? undefined : this.#served.get(requireHeadName(name));
    if (version) version.readers++;
    return version;
  }

  #leave(version: Version | undefined): void {
    if (!version) return;
    version.readers--;
    this.#closeUnread(version);
  }

  #closeUnread({ retired, readers, adapter }: Version): void {
    if (!retired || readers > 0) return;
    adapter.close();
    this.#adapters--;
  }

  #statusOf(name: string): ServingStatus {
    const version = this.#served.get(name)?.version;
    return { name, version: version ?? null, loaded: version === undefined ? [] : [version], settled: true };
  }

  #requireModel({ name, version, baseModel }: DeployRequest): void {
    if (baseModel === undefined || baseModel.sha256 === this.#model.hash) return;
    const expected = `one made for this model, ${this.#model.hash}`;
    fail('ERR_ADAPTER_MISMATCH', `${name} ${version}: its base model`, baseModel.sha256, expected);
  }

  #requireOpen(): void {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'the server has been closed');
  }
}
