import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodePeft, type PeftAdapter, readPeft } from '../../../src/adapter/formats/peft-reader.js';
import { encodePeft, writePeft } from '../../../src/adapter/formats/peft-writer.js';
import { openSafetensors } from '../../../src/adapter/formats/safetensors-reader.js';
import type { LoraModules } from '../../../src/adapter/lora-module.js';
import { deltaOf, fromBase64, golden, rejection, sampleModule, temporaryFolder } from './helpers.js';

const folder = temporaryFolder();
const X = [1, -1, 2, -2, 3, -3];

const filesOf = (name: string) => ({
  config: fromBase64(golden.adapters[name].config),
  weights: fromBase64(golden.adapters[name].weights),
});
const configOf = (config: Uint8Array) => JSON.parse(Buffer.from(config).toString());

/** The function of every module is PEFT's, up to `tolerance` of its largest output. */
function expectModules(modules: LoraModules, name: string, tolerance: number): void {
  const expected = golden.adapters[name].modules;
  expect([...modules.keys()].sort()).toEqual(Object.keys(expected).sort());
  for (const [key, module] of modules) {
    const { delta } = expected[key] as { delta: number[] };
    const error = Math.max(...deltaOf(module, X).map((value, i) => Math.abs(value - delta[i])));
    expect(error, key).toBeLessThanOrEqual(tolerance * Math.max(...delta.map(Math.abs)));
  }
}

describe('folders that PEFT wrote', () => {
  it.each(['plain', 'rslora', 'patterns', 'float16', 'bfloat16'])('%s', async (name) => {
    const { modules, magnitudes, settings } = await decodePeft(filesOf(name));
    expectModules(modules, name, 1e-12);
    for (const [key, { rank, scaling }] of modules) {
      expect({ rank, scaling }).toEqual({
        rank: golden.adapters[name].modules[key].rank,
        scaling: golden.adapters[name].modules[key].scaling,
      });
    }
    expect(magnitudes).toBeUndefined();
    expect(settings.rsLora).toBe(name === 'rslora');
    expect([...(settings.targetModules ?? [])].sort()).toEqual(['q_proj', 'v_proj']);
  });

  it('DoRA is refused with the reason, and read when asked for', async () => {
    await expect(decodePeft(filesOf('dora'))).rejects.toThrow(/use_dora.*rescales the rows/);
    expect(await rejection(() => decodePeft(filesOf('dora')))).toBe('ERR_FORMAT_UNSUPPORTED');
    const { modules, magnitudes } = await decodePeft(filesOf('dora'), { allowDora: true });
    expectModules(modules, 'dora', 1e-12);
    expect([...(magnitudes?.keys() ?? [])].sort()).toEqual([...modules.keys()].sort());
    for (const [key, magnitude] of magnitudes ?? [])
      expect(magnitude).toHaveLength(modules.get(key)?.outFeatures ?? -1);
  });

  it('biases of adapters are refused with the reason', async () => {
    await expect(decodePeft(filesOf('bias'))).rejects.toThrow(/lora_bias/);
    expect(await rejection(() => decodePeft(filesOf('bias')))).toBe('ERR_FORMAT_UNSUPPORTED');
  });

  it('come back bit for bit when written without folding', async () => {
    for (const name of ['plain', 'rslora', 'patterns', 'dora']) {
      const { modules, magnitudes, settings } = await decodePeft(filesOf(name), { allowDora: true });
      const again = encodePeft(modules, { ...settings, portable: false, magnitudes });
      const [first, second] = [await openSafetensors(filesOf(name).weights), await openSafetensors(again.weights)];
      expect([...second.tensors]).toEqual([...first.tensors]);
      for (const tensor of first.tensors.keys()) expect(await second.read(tensor)).toEqual(await first.read(tensor));
      const [before, after] = [configOf(filesOf(name).config), configOf(again.config)];
      expect(Object.keys(after).filter((key) => !(key in before))).toEqual([]);
      for (const key of ['use_rslora', 'use_dora', 'peft_type', 'task_type', 'target_modules']) {
        expect(after[key], key).toEqual(before[key]);
      }
      expect(Object.fromEntries(scalings(await decodePeft(again, { allowDora: true })))).toEqual(
        Object.fromEntries(scalings({ modules } as PeftAdapter)),
      );
      if (name !== 'patterns') expect([after.r, after.lora_alpha]).toEqual([before.r, before.lora_alpha]);
    }
  });

  const scalings = ({ modules }: PeftAdapter) => Array.from(modules, ([key, { scaling }]) => [key, scaling] as const);
});

describe('the portable form', () => {
  it('says nothing that a simple reader could miss, and computes the same', async () => {
    for (const name of ['plain', 'rslora', 'patterns']) {
      const { modules, settings } = await decodePeft(filesOf(name));
      const files = encodePeft(modules, settings);
      const config = configOf(files.config);
      const largest = Math.max(...Array.from(modules.values(), ({ rank }) => rank));
      expect(config).toMatchObject({
        r: largest,
        lora_alpha: largest,
        use_rslora: false,
        rank_pattern: {},
        alpha_pattern: {},
      });
      const weights = await openSafetensors(files.weights);
      for (const [tensor, { shape }] of weights.tensors) expect(shape[tensor.includes('lora_A') ? 0 : 1]).toBe(largest);
      expectModules((await decodePeft(files)).modules, name, 1e-6);
    }
  });

  it('rounds to 16 bits when asked to', async () => {
    const { modules } = await decodePeft(filesOf('plain'));
    for (const [dtype, tolerance] of [
      ['F16', 2e-3],
      ['BF16', 2e-2],
    ] as const) {
      const files = encodePeft(modules, { dtype });
      expect(
        [...(await openSafetensors(files.weights)).tensors.values()].every((tensor) => tensor.dtype === dtype),
      ).toBe(true);
      expectModules((await decodePeft(files)).modules, 'plain', tolerance);
    }
  });

  it('refuses what it would change: DoRA, and numbers beyond the dtype', async () => {
    const { modules, magnitudes } = await decodePeft(filesOf('dora'), { allowDora: true });
    await expect(async () => encodePeft(modules, { magnitudes })).rejects.toThrow(/portable: false/);
    const large = new Map([['m', { ...sampleModule(1, 2, 2, 1e30), loraB: Float32Array.of(1e20, 1) }]]);
    expect(await rejection(() => encodePeft(large))).toBe('ERR_OUT_OF_RANGE');
    const half = new Map([['m', { ...sampleModule(1, 2, 2, 1), loraB: Float32Array.of(7e4, 1) }]]);
    expect(await rejection(() => encodePeft(half, { dtype: 'F16' }))).toBe('ERR_OUT_OF_RANGE');
  });
});

describe('settings', () => {
  it('patterns of modules whose names end alike still mean one module each', async () => {
    const modules: LoraModules = new Map([
      ['v', sampleModule(2, 3, 3, 1)],
      ['a.v', sampleModule(1, 3, 3, 2)],
      ['b.a.v', sampleModule(2, 3, 3, 3)],
      ['axv', sampleModule(3, 3, 3, 1)],
      ['w(1)', sampleModule(1, 3, 3, 0.1)],
    ]);
    const { modules: back } = await decodePeft(encodePeft(modules, { portable: false, rsLora: true }));
    for (const [name, { rank, scaling }] of modules) {
      expect(back.get(name)?.rank).toBe(rank);
      expect(back.get(name)?.scaling).toBeCloseTo(scaling, 12);
    }
  });

  it.each<[string, string[], string[]]>([
    ['whole runs of layers', ['m.0.q', 'm.0.v', 'm.1.q', 'm.1.v'], ['q', 'v']],
    ['one module', ['embedding'], ['embedding']],
    ['upper layers only', ['m.1.q', 'm.2.q'], ['m.1.q', 'm.2.q']],
    ['a gap', ['m.0.q', 'm.2.q'], ['m.0.q', 'm.2.q']],
    ['runs of different length', ['m.0.q', 'm.1.q', 'm.0.v'], ['m.0.q', 'm.0.v', 'm.1.q']],
  ])('target_modules of %s', (_name, names, targets) => {
    const { config } = encodePeft(new Map(names.map((name) => [name, sampleModule(1, 2, 2, 1)])));
    expect(configOf(config).target_modules).toEqual(targets);
  });

  it('stand in the config as given', async () => {
    const given = {
      baseModel: 'org/model',
      revision: 'main',
      taskType: 'CAUSAL_LM',
      targetModules: '.*q$',
      fanInFanOut: true,
    };
    const files = encodePeft(new Map([['m.q', sampleModule(1, 2, 3, 1)]]), given);
    expect(configOf(files.config)).toMatchObject({
      base_model_name_or_path: 'org/model',
      revision: 'main',
      task_type: 'CAUSAL_LM',
      target_modules: '.*q$',
      fan_in_fan_out: true,
    });
    expect((await decodePeft(files)).settings).toEqual({ ...given, rsLora: false });
  });

  it.each<[string, unknown, unknown]>([
    ['ERR_INVALID_CONFIG', new Map([['m', sampleModule(1, 2, 2, 1)]]), { alpha: 3 }],
    ['ERR_INVALID_CONFIG', new Map([['m', sampleModule(1, 2, 2, 1)]]), { dtype: 'F64' }],
    ['ERR_INVALID_CONFIG', new Map([['m', sampleModule(1, 2, 2, 1)]]), { portable: 1 }],
    ['ERR_INVALID_ARGUMENT', new Map(), {}],
    ['ERR_INVALID_ARGUMENT', new Map([['', sampleModule(1, 2, 2, 1)]]), {}],
    ['ERR_LENGTH_MISMATCH', new Map([['m', { ...sampleModule(1, 2, 2, 1), rank: 2 }]]), {}],
    ['ERR_NOT_FINITE', new Map([['m', { ...sampleModule(1, 2, 2, 1), scaling: Number.NaN }]]), {}],
    [
      'ERR_INVALID_ARGUMENT',
      new Map([['m', sampleModule(1, 2, 2, 1)]]),
      { portable: false, magnitudes: new Map([['n', new Float32Array(2)]]) },
    ],
    [
      'ERR_LENGTH_MISMATCH',
      new Map([['m', sampleModule(1, 2, 2, 1)]]),
      { portable: false, magnitudes: new Map([['m', new Float32Array(3)]]) },
    ],
  ])('%s for bad arguments', async (code, modules, options) => {
    expect(await rejection(() => encodePeft(modules as LoraModules, options as object))).toBe(code);
  });
});

describe('folders', () => {
  it('are written and read, and replaced', async () => {
    const path = join(folder, 'deep', 'adapter');
    const { modules } = await decodePeft(filesOf('plain'));
    await writePeft(path, modules, { dtype: 'F16' });
    await writePeft(path, modules, { baseModel: 'org/model' });
    expect(readdirSync(path).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
    const files = encodePeft(modules, { baseModel: 'org/model' });
    expect(Uint8Array.from(readFileSync(join(path, 'adapter_model.safetensors')))).toEqual(files.weights);
    const read = await readPeft(path);
    expectModules(read.modules, 'plain', 1e-6);
    expect(read.settings.baseModel).toBe('org/model');
  });

  it('are never half of one adapter and half of another', async () => {
    const path = join(folder, 'halves');
    await writePeft(path, new Map([['m', sampleModule(1, 2, 2, 1)]]));
    const half = new Map([['m', { ...sampleModule(1, 2, 2, 1), loraB: Float32Array.of(7e4, 1) }]]);
    expect(await rejection(() => writePeft(path, half, { dtype: 'F16' }))).toBe('ERR_OUT_OF_RANGE');
    expect(readdirSync(path)).toEqual(['adapter_model.safetensors']);
    expect(await rejection(() => readPeft(path))).toBe('ERR_FILE_ACCESS');
  });

  it('below a root: names, and nothing but names', async () => {
    const root = join(folder, 'root');
    mkdirSync(root);
    const outside = join(folder, 'outside');
    const { modules } = await decodePeft(filesOf('plain'));
    await writePeft('team/one', modules, { root });
    await writePeft(outside, modules);
    expect((await readPeft('team/one', { root })).modules.size).toBe(4);
    symlinkSync(outside, join(root, 'link'));
    mkdirSync(join(root, 'files'));
    for (const name of ['adapter_config.json', 'adapter_model.safetensors']) {
      symlinkSync(join(outside, name), join(root, 'files', name));
    }
    symlinkSync('team/one', join(root, 'inside'));
    expect((await readPeft('inside', { root })).modules.size).toBe(4);
    for (const name of [
      'link',
      'files',
      '../outside',
      outside,
      'team/../../outside',
      '.',
      '',
      'a\0b',
      'x'.repeat(256),
    ]) {
      expect(await rejection(() => readPeft(name, { root })), name).toBe('ERR_PATH_NOT_ALLOWED');
    }
    for (const name of ['link', 'link/new', '../new', join(folder, 'new'), 'a\0b', 'a/'.repeat(40)]) {
      expect(await rejection(() => writePeft(name, modules, { root })), name).toBe('ERR_PATH_NOT_ALLOWED');
    }
    expect(readdirSync(folder).includes('new')).toBe(false);
    expect(readdirSync(outside).sort()).toEqual(['adapter_config.json', 'adapter_model.safetensors']);
  });

  it('with pickled weights only are not read', async () => {
    const path = join(folder, 'pickled');
    mkdirSync(path);
    writeFileSync(join(path, 'adapter_config.json'), filesOf('plain').config);
    writeFileSync(join(path, 'adapter_model.bin'), 'cos\nsystem\n');
    expect(await rejection(() => readPeft(path))).toBe('ERR_FILE_ACCESS');
  });
});
