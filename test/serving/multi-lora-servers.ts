/** vLLM, SGLang, MAX and mistral.rs as far as their adapter routes go, and one that answers with an adapter. */
import type { IncomingMessage } from 'node:http';
import { LorakeetError } from '../../src/errors.js';
import type { DialectName } from '../../src/serving/multi-lora-dialects.js';
import { type Answer, ContractServer, effectOf, Refusal, textAt } from './contract-server.js';

interface Loaded {
  path: string;
  effect: number;
}

export const BASE = 'meta-llama/Llama-3.2-1B';

export abstract class MultiLoraServer extends ContractServer {
  readonly adapters = new Map<string, Loaded>();

  protected forget(): void {
    this.adapters.clear();
  }

  /** The name of a model in a request → the adapter to answer with. */
  protected adapterFor(model: string): string {
    return model;
  }

  protected async answer(route: string, body: unknown, headers: IncomingMessage['headers']): Promise<Answer> {
    if (route !== 'POST /v1/completions') return this.answerLora(route, body, headers);
    const model = textAt(body, 'model', () => new Refusal(400, 'model'));
    if (model === BASE || model === 'default') return { body: { effect: 0 } };
    const loaded = this.adapters.get(this.adapterFor(model));
    if (!loaded) throw new Refusal(404, { error: { message: `The model \`${model}\` does not exist.` } });
    return { body: { effect: loaded.effect } };
  }

  protected abstract answerLora(route: string, body: unknown, headers: IncomingMessage['headers']): Promise<Answer>;

  /** `missing` and `invalid` make the refusals of a path that is not there and of files that are no adapter. */
  protected async read(path: string, missing: () => Refusal, invalid: (why: string) => Refusal): Promise<Loaded> {
    try {
      return { path, effect: await effectOf(path) };
    } catch (error) {
      if (!(error instanceof LorakeetError)) throw error;
      throw error.code === 'ERR_FILE_ACCESS' ? missing() : invalid(error.message);
    }
  }
}

/** vllm/entrypoints/openai/models/serving.py, with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1. */
class VllmServer extends MultiLoraServer {
  protected async answerLora(route: string, body: unknown, headers: IncomingMessage['headers']): Promise<Answer> {
    const error = (code: number, type: string, message: string) =>
      new Refusal(code, { error: { message, type, param: null, code } });
    const both = () => error(400, 'InvalidUserInput', "Both 'lora_name' and 'lora_path' must be provided.");
    if (route === 'GET /v1/models') return { body: { object: 'list', data: this.#models() } };
    if (headers['content-type'] !== 'application/json') {
      throw error(400, 'Bad Request', "Unsupported Media Type: Only 'application/json' is allowed");
    }
    if (route === 'POST /v1/load_lora_adapter') {
      const name = textAt(body, 'lora_name', both);
      const path = textAt(body, 'lora_path', both);
      const { load_inplace: inPlace = false } = body as { load_inplace?: boolean };
      if (name === '' || path === '') throw both();
      if (!inPlace && this.adapters.has(name)) {
        const advice = "If you want to load the adapter in place, set 'load_inplace' to True.";
        throw error(400, 'InvalidUserInput', `The lora adapter '${name}' has already been loaded. ${advice}`);
      }
      const missing = () => error(404, 'NotFoundError', `Loading lora ${name} failed: No adapter found for ${path}`);
      this.adapters.set(name, await this.read(path, missing, (why) => error(500, 'InternalServerError', why)));
      return { body: `Success: LoRA adapter '${name}' added successfully.` };
    }
    if (route === 'POST /v1/unload_lora_adapter') {
      const name = textAt(body, 'lora_name', both);
      if (!this.adapters.delete(name)) {
        throw error(404, 'NotFoundError', `The lora adapter '${name}' cannot be found.`);
      }
      return { body: `Success: LoRA adapter '${name}' removed successfully.` };
    }
    throw new Refusal(404, { detail: 'Not Found' });
  }

  #models(): object[] {
    const card = { object: 'model', owned_by: 'vllm', permission: [] };
    const adapters = Array.from(this.adapters, ([id, { path }]) => ({ ...card, id, root: path, parent: BASE }));
    return [{ ...card, id: BASE, root: BASE, parent: null, max_model_len: 2048 }, ...adapters];
  }
}

/** sglang/srt/entrypoints/http_server.py and sglang/srt/managers/tokenizer_control_mixin.py. */
class SglangServer extends MultiLoraServer {
  protected override adapterFor(model: string): string {
    return model.startsWith(`${BASE}:`) ? model.slice(BASE.length + 1) : model;
  }

  protected async answerLora(route: string, body: unknown): Promise<Answer> {
    const loaded = () => Object.fromEntries(Array.from(this.adapters, ([name, { path }]) => [name, path]));
    const failed = (message: string) =>
      new Refusal(400, { success: false, error_message: message, loaded_adapters: loaded() });
    const invalid = (key: string) => new Refusal(422, { detail: [{ loc: ['body', key], msg: 'Field required' }] });
    if (route === 'GET /v1/models') {
      const card = { object: 'model', owned_by: 'sglang' };
      const adapters = Array.from(this.adapters, ([id, { path }]) => ({ ...card, id, root: path, parent: BASE }));
      return { body: { object: 'list', data: [{ ...card, id: BASE, root: BASE, parent: null }, ...adapters] } };
    }
    if (route === 'POST /load_lora_adapter') {
      const name = textAt(body, 'lora_name', invalid);
      const path = textAt(body, 'lora_path', invalid);
      if (this.adapters.has(name)) throw failed(`LoRA adapter with name ${name} already loaded`);
      const wrong = (why: string) => failed(`Failed to load LoRA adapter ${name}: ${why}`);
      this.adapters.set(name, await this.read(path, () => wrong(`${path} is not a local folder`), wrong));
      return { body: { success: true, error_message: '', loaded_adapters: loaded() } };
    }
    if (route === 'POST /unload_lora_adapter') {
      const name = textAt(body, 'lora_name', invalid);
      if (!this.adapters.delete(name)) throw failed(`LoRA adapter with name ${name} does not exist`);
      return { body: { success: true, error_message: '', loaded_adapters: loaded() } };
    }
    throw new Refusal(404, { detail: 'Not Found' });
  }
}

/** max/serve/router/openai_routes.py: loading the same name from the same path again is a success. */
class MaxServer extends MultiLoraServer {
  protected async answerLora(route: string, body: unknown): Promise<Answer> {
    const invalid = () => new Refusal(400, { detail: 'Invalid JSON.' });
    if (route === 'GET /v1/models') {
      const ids = [BASE, ...this.adapters.keys()];
      return {
        body: { object: 'list', data: ids.map((id) => ({ id, object: 'model', created: 1, owned_by: '' })) },
      };
    }
    if (route === 'POST /v1/load_lora_adapter') {
      const name = textAt(body, 'lora_name', invalid);
      const path = textAt(body, 'lora_path', invalid);
      const before = this.adapters.get(name);
      if (before && before.path !== path) {
        throw new Refusal(409, { detail: `LoRA adapter name '${name}' already exists with different path` });
      }
      const missing = () =>
        new Refusal(400, { detail: `Invalid LoRA adapter path: '${path}'. Path must exist locally` });
      const wrong = (why: string) => new Refusal(400, { detail: `Invalid LoRA adapter at '${path}'. ${why}` });
      this.adapters.set(name, await this.read(path, missing, wrong));
      return { body: { status: 'success', message: `LoRA adapter '${name}' loaded successfully` } };
    }
    if (route === 'POST /v1/unload_lora_adapter') {
      const name = textAt(body, 'lora_name', invalid);
      if (!this.adapters.delete(name)) throw new Refusal(404, { detail: `LoRA adapter '${name}' does not exist` });
      return { body: { status: 'success', message: `LoRA adapter '${name}' unloaded successfully` } };
    }
    throw new Refusal(404, { detail: 'Not Found' });
  }
}

/** mistralrs-server-core/src/lora_adapters.rs, with MISTRALRS_ALLOW_RUNTIME_LORA_UPDATING=1: unknown fields are refused. */
class MistralRsServer extends MultiLoraServer {
  protected async answerLora(route: string, body: unknown): Promise<Answer> {
    const error = (status: number, code: string, message: string) =>
      new Refusal(status, {
        error: { message, type: status >= 500 ? 'server_error' : 'invalid_request_error', code },
      });
    const invalid = (key: string) => error(422, 'invalid_request_body', `missing field \`${key}\``);
    const known = (keys: string[]) => {
      const strange = Object.keys(body as object).find((key) => !keys.includes(key));
      if (strange) throw error(422, 'invalid_request_body', `unknown field \`${strange}\``);
    };
    const object = (id: string, { effect }: Loaded) => {
      return { id, object: 'lora_adapter', generation: effect.toString(16).padStart(64, '0'), rank: 1, bytes: 64 };
    };
    if (route === 'GET /v1/lora_adapters') {
      const data = Array.from(this.adapters, ([id, loaded]) => object(id, loaded));
      return { body: { object: 'list', data, generations: [], resident_generations: data.length } };
    }
    if (route === 'POST /v1/load_lora_adapter') {
      known(['lora_name', 'lora_path', 'load_inplace', 'replace', 'expected_generation', 'is_3d_lora_weight', 'model']);
      const name = textAt(body, 'lora_name', invalid);
      const path = textAt(body, 'lora_path', invalid);
      const { load_inplace: inPlace = false } = body as { load_inplace?: boolean };
      if (!inPlace && this.adapters.has(name)) {
        throw error(409, 'lora_adapter_already_loaded', `LoRA adapter \`${name}\` is already loaded`);
      }
      const missing = () => error(404, 'adapter_path_not_found', `failed to access adapter directory \`${path}\``);
      const loaded = await this.read(path, missing, (why) => error(422, 'invalid_lora_adapter', why));
      this.adapters.set(name, loaded);
      return { body: object(name, loaded) };
    }
    if (route === 'POST /v1/unload_lora_adapter') {
      known(['lora_name', 'expected_generation', 'lora_int_id', 'model']);
      const name = textAt(body, 'lora_name', invalid);
      const loaded = this.adapters.get(name);
      if (!loaded) throw error(404, 'lora_adapter_not_found', `LoRA adapter \`${name}\` was not found`);
      this.adapters.delete(name);
      return { body: object(name, loaded) };
    }
    throw new Refusal(404, '');
  }
}

export const MULTI_LORA_SERVERS: Record<DialectName, new () => MultiLoraServer> = {
  vllm: VllmServer,
  sglang: SglangServer,
  max: MaxServer,
  'mistral.rs': MistralRsServer,
};
