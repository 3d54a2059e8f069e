/** llama.cpp's server and the control sidecar, as far as their adapter routes go, and routes that answer with an adapter. */
import { readFile } from 'node:fs/promises';
import { type Answer, ContractServer, effectOf, Refusal, textAt } from './contract-server.js';

interface Scaled {
  path: string;
  /** general.name of the file, by which it is told which one answers. */
  name: string;
  scale: number;
}

/** tools/server of llama.cpp. `start` is what its command line says; a server that has died keeps nothing of its scales. */
export class LlamaCppServer extends ContractServer {
  adapters: Scaled[] = [];
  /** How often it answers that it is still loading after a start. */
  loading = 0;
  /** --lora-scaled FILE:0 rather than --lora FILE */
  withoutApply = true;
  #files: string[] = [];

  async start(files: string[]): Promise<this> {
    this.#files = files;
    await this.#load();
    return this.listen();
  }

  /** The same command line again. */
  async startAgain(): Promise<void> {
    await this.start(this.#files);
  }

  protected forget(): void {
    this.adapters = [];
  }

  protected override unauthorized(): Refusal {
    return this.#error(401, 'authentication_error', 'Invalid API Key');
  }

  protected override malformed(): Refusal {
    return this.#error(500, 'server_error', '[json.exception.parse_error.101] parse error');
  }

  protected async answer(route: string, body: unknown): Promise<Answer> {
    if (this.loading > 0) {
      this.loading--;
      throw this.#error(503, 'unavailable_error', 'Loading model');
    }
    if (route === 'GET /lora-adapters') {
      const list = this.adapters.map(({ path, scale }, id) => ({ id, path, scale, task_name: '', prompt_prefix: '' }));
      return { body: list };
    }
    if (route === 'POST /lora-adapters') {
      if (!Array.isArray(body)) {
        throw this.#error(400, 'invalid_request_error', 'Request body must be an array');
      }
      const scales = new Map(body.map(({ id = -1, scale = 0 }) => [id, scale]));
      // those that are left out become 0
      for (const [id, adapter] of this.adapters.entries()) adapter.scale = scales.get(id) ?? 0;
      return { body: { success: true } };
    }
    if (route === 'POST /completion') {
      return { body: { content: this.adapters.filter(({ scale }) => scale !== 0).map(({ name }) => name) } };
    }
    throw this.#error(404, 'not_found_error', 'File Not Found');
  }

  async #load(): Promise<void> {
    this.adapters = [];
    for (const path of this.#files) {
      const bytes = await readFile(path);
      if (bytes.subarray(0, 4).toString() !== 'GGUF') throw new Error(`${path}: no GGUF file`);
      const name = /general\.name.{12}([ -~]+? v\d+\.\d+)/s.exec(bytes.toString('latin1'))?.[1] ?? '';
      this.adapters.push({ path, name, scale: this.withoutApply ? 0 : 1 });
    }
  }

  #error(code: number, type: string, message: string): Refusal {
    return new Refusal(code, { error: { code, message, type } });
  }
}

interface Active {
  path: string;
  version: string;
  applied_at: string;
}

/** The control sidecar with a model server behind it, which reads the adapter when it is told to. */
export class ControlPlaneServer extends ContractServer {
  active: Active | undefined;
  previous: Active | undefined;
  effect = 0;
  /** Not among the routes of the original. */
  canDisable = false;

  /** Its state lies in a file; the model server starts without an adapter, and the sidecar does not tell. */
  protected forget(): void {}

  protected override malformed(): Refusal {
    return new Refusal(409, { error: 'Expecting value: line 1 column 1 (char 0)' });
  }

  protected async answer(route: string, body: unknown): Promise<Answer> {
    const missing = (key: string) => new Refusal(400, { error: `missing_field:${key}` });
    if (route === 'GET /internal/lora/state') {
      const state = { active_adapter: this.active, previous_adapter: this.previous };
      return { body: { state: this.active ? state : {} } };
    }
    if (route === 'POST /internal/lora/reload') {
      return this.#apply(textAt(body, 'adapter_path', missing), textAt(body, 'adapter_version', missing));
    }
    if (route === 'POST /internal/lora/rollback') {
      if (!this.previous) throw new Refusal(409, { error: 'No previous adapter available for rollback' });
      return this.#apply(this.previous.path, this.previous.version);
    }
    if (route === 'POST /internal/lora/disable' && this.canDisable) {
      [this.active, this.previous, this.effect] = [undefined, this.active, 0];
      return { body: { result: 'ok' } };
    }
    if (route === 'POST /v1/completions') return { body: { effect: this.effect } };
    throw new Refusal(404, { error: 'not_found' });
  }

  async #apply(path: string, version: string): Promise<Answer> {
    try {
      this.effect = await effectOf(path);
    } catch (error) {
      throw new Refusal(502, { error: 'max_serve_http_error', status: 400, details: (error as Error).message });
    }
    this.previous = this.active;
    this.active = { path, version, applied_at: '2026-11-20T20:00:00Z' };
    const upstream = { status: 200, body: { status: 'ok' } };
    return {
      body: { result: 'ok', active_adapter: this.active, previous_adapter: this.previous ?? null, upstream },
    };
  }
}
