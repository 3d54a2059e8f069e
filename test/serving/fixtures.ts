/** Servers with drivers, each as the conformance suite wants them. */
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import { silentLogger } from '../../src/logger.js';
import { ControlPlaneDriver } from '../../src/serving/control-plane-driver.js';
import type { HttpOptions } from '../../src/serving/http-client.js';
import { LlamaCppDriver } from '../../src/serving/llama-cpp-driver.js';
import type { DialectName } from '../../src/serving/multi-lora-dialects.js';
import { MultiLoraDriver } from '../../src/serving/multi-lora-driver.js';
import type { ServingFixture } from '../../src/testing/serving-conformance.js';
import type { ContractServer } from './contract-server.js';
import { MULTI_LORA_SERVERS, type MultiLoraServer } from './multi-lora-servers.js';
import { ControlPlaneServer, LlamaCppServer } from './single-lora-servers.js';

export const TOKEN = 'a-token-that-stays-secret';
export const NAME = 'team/feed';
const OTHER = 'team/search';
const MARKS: Record<string, number> = { 'v1.0': 1, 'v1.1': 2, 'v1.2': 3 };
/** So that nothing waits in tests. */
const QUICK = { token: TOKEN, retryDelayMs: 1 } satisfies Partial<HttpOptions>;

export interface HttpFixture extends ServingFixture {
  server: ContractServer;
  /** The routes that change something, as the contract servers name them. */
  load: string;
  list: string;
  /** Another driver, with other options. */
  driverWith(options: Partial<HttpOptions>): ServingFixture['driver'];
}

/** An adapter of one module whose effect is the mark of its version. */
export function modulesOf(version: string): LoraModules {
  const loraA = Float32Array.of(1, 0, 0, 0);
  const loraB = Float32Array.of(MARKS[version], 0, 0, 0);
  return new Map([
    ['model.layers.0.self_attn.v_proj', { rank: 1, inFeatures: 4, outFeatures: 4, scaling: 1, loraA, loraB }],
  ]);
}

function versionOfEffect(effect: number): string | null {
  if (effect === 0) return null;
  return Object.keys(MARKS).find((version) => MARKS[version] === effect) ?? `an effect of ${effect}`;
}

async function ask(server: ContractServer, path: string, body: object): Promise<Record<string, unknown>> {
  const headers = { 'content-type': 'application/json', authorization: `Bearer ${TOKEN}` };
  const response = await fetch(`${server.url}${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
  return (await response.json()) as Record<string, unknown>;
}

/** In memory where there is such a place, as nothing here has to outlive a crash. */
const TEMPORARY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

function temporaryFolder(): { folder: string; remove: () => void } {
  const folder = mkdtempSync(join(TEMPORARY, 'lorakeet-serving-'));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

const BROKEN = { folder: join(tmpdir(), 'lorakeet-serving-nothing-here') };

export async function openMultiLora(dialect: DialectName): Promise<HttpFixture & { server: MultiLoraServer }> {
  const server = new MULTI_LORA_SERVERS[dialect]();
  server.token = TOKEN;
  await server.listen();
  const { folder, remove } = temporaryFolder();
  const driverWith = (options: Partial<HttpOptions>) =>
    new MultiLoraDriver({ dialect, folder, url: server.url, logger: silentLogger, ...QUICK, ...options });
  let driver = driverWith({});
  return {
    server,
    driver,
    driverWith,
    name: NAME,
    otherName: OTHER,
    source: (version) => ({ modules: modulesOf(version) }),
    broken: BROKEN,
    answeredBy: async (name) => {
      const model = driver.route(name) ?? 'default';
      return versionOfEffect((await ask(server, '/v1/completions', { model })).effect as number);
    },
    reopen: () => {
      driver = driverWith({});
      return driver;
    },
    load: dialect === 'sglang' ? 'POST /load_lora_adapter' : 'POST /v1/load_lora_adapter',
    list: dialect === 'mistral.rs' ? 'GET /v1/lora_adapters' : 'GET /v1/models',
    close: async () => {
      await server.die();
      remove();
    },
  };
}

export async function openLlamaCpp(): Promise<HttpFixture & { server: LlamaCppServer; folder: string }> {
  const server = new LlamaCppServer();
  server.token = TOKEN;
  await server.start([]);
  const { folder, remove } = temporaryFolder();
  const baseModel = { model_type: 'llama', num_attention_heads: 2 };
  const restart = async (files: string[]) => {
    await server.die();
    server.loading = 1;
    await server.start(files);
  };
  const driverWith = (options: Partial<HttpOptions>) =>
    new LlamaCppDriver({ folder, baseModel, restart, url: server.url, ...QUICK, ...options });
  return {
    server,
    folder,
    driver: driverWith({}),
    driverWith,
    name: NAME,
    otherName: OTHER,
    source: (version) => ({ modules: modulesOf(version) }),
    broken: BROKEN,
    answeredBy: async (name) => {
      const answered = (await ask(server, '/completion', {})).content as string[];
      const own = answered.filter((one) => one.startsWith(`${name} `)).map((one) => one.slice(name.length + 1));
      return own.length > 1 ? own.join(' and ') : (own[0] ?? null);
    },
    reopen: () => driverWith({}),
    load: 'POST /lora-adapters',
    list: 'GET /lora-adapters',
    close: async () => {
      await server.die();
      remove();
    },
  };
}

/** Which sees the folder under another path, by a link, as a container sees a mount. */
export async function openControlPlane(canDisable = false): Promise<HttpFixture & { server: ControlPlaneServer }> {
  const server = new ControlPlaneServer();
  server.token = TOKEN;
  server.canDisable = canDisable;
  await server.listen();
  const { folder: top, remove } = temporaryFolder();
  const folder = join(top, 'shared');
  mkdirSync(folder);
  const serverFolder = join(top, 'mount');
  symlinkSync(folder, serverFolder);
  const driverWith = (options: Partial<HttpOptions>) => {
    const disablePath = canDisable ? '/internal/lora/disable' : undefined;
    return new ControlPlaneDriver({
      ...{ folder, serverFolder, adapter: NAME, disablePath, url: `${server.url}/` },
      ...QUICK,
      ...options,
    });
  };
  return {
    server,
    driver: driverWith({}),
    driverWith,
    name: NAME,
    source: (version) => ({ modules: modulesOf(version) }),
    broken: BROKEN,
    answeredBy: async () => versionOfEffect((await ask(server, '/v1/completions', {})).effect as number),
    reopen: () => driverWith({}),
    load: 'POST /internal/lora/reload',
    list: 'GET /internal/lora/state',
    close: async () => {
      await server.die();
      remove();
    },
  };
}

export const HTTP_FIXTURES: Record<string, () => Promise<HttpFixture>> = {
  vLLM: () => openMultiLora('vllm'),
  SGLang: () => openMultiLora('sglang'),
  MAX: () => openMultiLora('max'),
  'mistral.rs': () => openMultiLora('mistral.rs'),
  'llama.cpp': openLlamaCpp,
  'a control plane': () => openControlPlane(),
  'a control plane that can disable': () => openControlPlane(true),
};
