/** Every serving driver against the shared suite, and the suite against drivers that are wrong on purpose. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import type { ServingDriver } from '../../src/serving/driver.js';
import { LanguageModelServer } from '../../src/serving/language-model-server.js';
import { type ServingFixture, servingConformance } from '../../src/testing/serving-conformance.js';
import { root } from '../support/imports.js';
import { HTTP_FIXTURES, NAME, openMultiLora } from './fixtures.js';

describe.each(Object.entries(HTTP_FIXTURES))('the driver of %s', (_, open) => {
  it.each(servingConformance({ open }))('$name', ({ run }) => run());
});

describe('LanguageModelServer', () => {
  const versions = ['v1.0', 'v1.1', 'v1.2'];
  const modules = new Map<string, LoraModules>();
  /** The log-probability of an answer by each version, and by the base model. */
  const known = new Map<number, string | null>();
  let model: LanguageModel;

  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
    known.set((await model.score('O ', 'Romeo')).logProbability, null);
    for (const [i, version] of versions.entries()) {
      const adapter = await model.createAdapter({ rank: 1, seed: i, layers: [0] });
      const changed = Array.from(await adapter.modules(), ([path, module]) => {
        return [path, { ...module, loraB: module.loraB.fill(0.05) }] as const;
      });
      adapter.close();
      modules.set(version, new Map(changed));
      const imported = await model.importAdapter(new Map(changed));
      known.set((await model.score('O ', 'Romeo', { adapter: imported })).logProbability, version);
      imported.close();
    }
    expect(known.size).toBe(4);
  });
  afterAll(() => model.close());

  const open = async (): Promise<ServingFixture> => {
    const server = new LanguageModelServer(model);
    return {
      driver: server,
      name: NAME,
      otherName: 'team/search',
      source: (version) => ({ modules: modules.get(version) }),
      broken: { bytes: new Uint8Array(100) },
      answeredBy: async (name) => {
        const { logProbability, version } = await server.score('O ', 'Romeo', { name });
        expect(known.get(logProbability)).toBe(version);
        return version;
      },
      close: () => {
        server.close();
        expect(server.versions).toBe(0);
      },
    };
  };
  it.each(servingConformance({ open }))('$name', ({ run }) => run());
});

describe('the conformance suite', () => {
  const wrong: Record<string, (driver: ServingDriver) => Partial<ServingDriver>> = {
    'does not disable': (driver) => ({ disable: (name) => driver.status(name) }),
    'disables after it has answered': (driver) => ({
      disable: async (name) => {
        setImmediate(() => void driver.disable(name).catch(() => {}));
        return { name, version: null, loaded: [], settled: true };
      },
    }),
    'says that it serves what it does not': (driver) => ({
      deploy: async ({ name, version }) => ({ ...(await driver.status(name)), version }),
    }),
    'keeps failures to itself': (driver) => ({
      deploy: (request, options) => driver.deploy(request, options).catch(() => driver.status(request.name)),
    }),
    'ends what is served before a deploy': (driver) => ({
      deploy: async (request, options) => {
        await driver.disable(request.name);
        return driver.deploy(request, options);
      },
    }),
    'never confirms': (driver) => ({
      deploy: (request, { confirm, ...options } = {}) => driver.deploy(request, options),
    }),
    'does not tell that something is left over': (driver) => ({
      status: async (name) => ({ ...(await driver.status(name)), version: 'v1.0' }),
    }),
  };
  it.each(Object.keys(wrong))('notices a driver that %s', async (kind) => {
    const open = async () => {
      const fixture = await openMultiLora('vllm');
      const { driver } = fixture;
      const as = {
        target: driver.target,
        deploy: driver.deploy.bind(driver),
        disable: driver.disable.bind(driver),
        status: driver.status.bind(driver),
      };
      return { ...fixture, driver: { ...as, ...wrong[kind](as) } };
    };
    const all = async () => {
      for (const { run } of servingConformance({ open })) await run();
    };
    await expect(all()).rejects.toThrow();
  });
});
