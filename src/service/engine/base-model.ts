/** The base model of the configuration, loaded when somebody needs it. */
import { basename, resolve } from 'node:path';
import { LorakeetError } from '../../errors.js';
import { type LanguageModel, loadBaseModel } from '../../llm/index.js';
import type { Logger } from '../../logger.js';
import type { ServiceConfig } from '../config/keys.js';
import type { BaseModel } from './parts.js';

/** What the model is called in versions and metrics. */
export function modelNameOf({ folder, name }: ServiceConfig['model']): string | undefined {
  return name ?? (folder === undefined ? undefined : basename(resolve(folder)));
}

export class ConfiguredModel implements BaseModel {
  readonly name: string | undefined;
  readonly #settings: ServiceConfig['model'];
  readonly #logger: Logger;
  #loading: Promise<LanguageModel> | undefined;
  #loaded: LanguageModel | undefined;
  #closed = false;

  constructor(settings: ServiceConfig['model'], logger: Logger) {
    this.name = modelNameOf(settings);
    this.#settings = settings;
    this.#logger = logger;
  }

  get loaded(): LanguageModel | undefined {
    return this.#loaded;
  }

  load(): Promise<LanguageModel> {
    this.#loading ??= this.#load().catch((error) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  /** What is being computed ends first, as LanguageModel.close says. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#loading?.catch(() => {});
    this.#loaded?.close();
    this.#loaded = undefined;
  }

  async #load(): Promise<LanguageModel> {
    const { folder, name: _, ...options } = this.#settings;
    if (this.#closed) throw new LorakeetError('ERR_CLOSED', 'the service has been closed');
    if (folder === undefined) {
      const what = 'model.folder is not set: there is no base model to learn, to answer and to be judged with';
      throw new LorakeetError('ERR_INVALID_STATE', what);
    }
    const began = performance.now();
    this.#loaded = await loadBaseModel(folder, options);
    const { name, device, reason } = this.#loaded.backend;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    this.#logger.info(`model: ${this.name} loaded in ${seconds} s; it computes with ${name} (${device}): ${reason}`);
    return this.#loaded;
  }
}
