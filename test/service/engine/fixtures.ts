/** Services on folders of their own, with versions to serve. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach } from 'vitest';
import { encodePeft } from '../../../src/adapter/formats/peft-writer.js';
import type { LoraModules } from '../../../src/adapter/lora-module.js';
import { silentLogger } from '../../../src/logger.js';
import {
  type LearningService,
  loadConfig,
  openLearningService,
  type ServiceConfig,
} from '../../../src/service/index.js';
import { FileVersionStore } from '../../../src/stores/files.js';
import { AdapterVersions, type Publication } from '../../../src/versions/index.js';
import type { ContractServer } from '../../serving/contract-server.js';
import { MULTI_LORA_SERVERS, type MultiLoraServer } from '../../serving/multi-lora-servers.js';

/** In memory where there is such a place, as nothing here has to outlive a crash. */
const TEMPORARY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
export const caller = { name: 'ops' };

const ends: (() => unknown)[] = [];
afterEach(async () => {
  for (let end = ends.pop(); end; end = ends.pop()) await end();
});

/** Called when the test is over, the last first. */
export function atEnd(end: () => unknown): void {
  ends.push(end);
}

export function newFolder(): string {
  const folder = mkdtempSync(join(TEMPORARY, 'lorakeet-engine-'));
  atEnd(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Without a schedule and without a worker, unless told otherwise. */
export async function configOf(folder: string, overrides: Record<string, unknown> = {}): Promise<ServiceConfig> {
  const { config } = await loadConfig({
    env: {},
    overrides: {
      ...{ 'storage.folder': folder, 'schedule.enabled': false, 'jobs.worker': false, 'serving.timeoutSeconds': 5 },
      ...overrides,
    },
  });
  return config;
}

export async function openService(config: ServiceConfig, logger = silentLogger): Promise<LearningService> {
  const service = await openLearningService(config, { logger });
  atEnd(() => service.close());
  return service;
}

/** The versions that a service with this folder has, seen from another process. */
export async function openVersions(folder: string): Promise<AdapterVersions> {
  const store = await FileVersionStore.open(join(folder, 'versions'));
  atEnd(() => store.close());
  return new AdapterVersions(store, 'default', { actor: 'trainer' });
}

/** An adapter of one module, as the contract servers answer with it: by its effect. */
export function modulesOf(effect: number): LoraModules {
  const loraA = Float32Array.of(1, 0, 0, 0);
  const loraB = Float32Array.of(effect, 0, 0, 0);
  return new Map([
    ['model.layers.0.self_attn.v_proj', { rank: 1, inFeatures: 4, outFeatures: 4, scaling: 1, loraA, loraB }],
  ]);
}

export function peftFiles(modules: LoraModules): Publication['files'] {
  const { config, weights } = encodePeft(modules);
  return { 'adapter_config.json': config, 'adapter_model.safetensors': weights };
}

/** v1.0, v1.1, …, approved; version v1.i has the effect i + 1. */
export async function publishSome(versions: AdapterVersions, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const { version } = await versions.publish({ files: peftFiles(modulesOf(i + 1)) });
    await versions.approve(version);
  }
}

export async function startVllm(): Promise<MultiLoraServer> {
  const server = new MULTI_LORA_SERVERS.vllm();
  await server.listen();
  atEnd(() => server.die());
  return server;
}

/** The versions that a server holds, with the effects that they answer with. */
export function heldBy(server: MultiLoraServer): Record<string, number> {
  return Object.fromEntries(Array.from(server.adapters, ([name, { effect }]) => [name, effect]));
}

/** A service that serves by these servers, with so many versions. */
export async function openWithServers(
  servers: readonly ContractServer[],
  { versions: count = 4, overrides = {}, folder = newFolder(), logger = silentLogger } = {},
) {
  const versions = await openVersions(folder);
  if (count > 0) await publishSome(versions, count);
  const urls = servers.map(({ url }) => url);
  const config = await configOf(folder, { 'serving.driver': 'vllm', 'serving.urls': urls, ...overrides });
  return { folder, config, versions, service: await openService(config, logger) };
}
