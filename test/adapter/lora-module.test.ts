import { describe, expect, it } from 'vitest';
import {
  type LoraModule,
  modulesOfState,
  requireLoraModule,
  requireLoraModules,
  stateOfModule,
  UNNAMED_MODULE,
} from '../../src/adapter/lora-module.js';
import { codeOf, sampleState } from './helpers.js';

const sample = (change: object = {}) =>
  ({
    rank: 2,
    inFeatures: 3,
    outFeatures: 4,
    loraA: Float32Array.from({ length: 6 }, (_, i) => i - 2),
    loraB: Float32Array.from({ length: 8 }, (_, i) => 5 - i),
    scaling: 2,
    fisher: new Float32Array(14).fill(1),
    anchor: new Float32Array(14).fill(-1),
    ...change,
  }) as LoraModule;

describe('requireLoraModule', () => {
  it('accepts a module with and without fisher and anchor', () => {
    requireLoraModule('module', sample());
    requireLoraModule('module', sample({ fisher: undefined, anchor: undefined, scaling: -1 }));
  });

  it.each<[string, object, string]>([
    ['rank', { rank: 0 }, 'ERR_INVALID_ARGUMENT'],
    ['rank', { rank: 1.5 }, 'ERR_INVALID_ARGUMENT'],
    ['inFeatures', { inFeatures: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['outFeatures', { outFeatures: -1 }, 'ERR_INVALID_ARGUMENT'],
    ['loraA', { loraA: [1, 2] }, 'ERR_INVALID_ARGUMENT'],
    ['loraA', { loraA: new Float32Array(5) }, 'ERR_LENGTH_MISMATCH'],
    ['loraB', { loraB: new Float32Array(9) }, 'ERR_LENGTH_MISMATCH'],
    ['loraB[7]', { loraB: new Float32Array(8).fill(Number.NaN, 7) }, 'ERR_NOT_FINITE'],
    ['scaling', { scaling: Infinity }, 'ERR_NOT_FINITE'],
    ['scaling', { scaling: '2' }, 'ERR_INVALID_ARGUMENT'],
    ['fisher', { fisher: new Float32Array(13) }, 'ERR_LENGTH_MISMATCH'],
    ['fisher[3]', { fisher: new Float32Array(14).fill(-1, 3) }, 'ERR_OUT_OF_RANGE'],
    ['anchor[0]', { anchor: new Float32Array(14).fill(Infinity) }, 'ERR_NOT_FINITE'],
    ['', { anchor: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['', { fisher: undefined }, 'ERR_INVALID_ARGUMENT'],
  ])('names %s in %o', (field, change, code) => {
    const action = () => requireLoraModule('module', sample(change));
    expect(codeOf(action)).toBe(code);
    expect(action).toThrow(field ? `module.${field}: got` : /^module: got .* both or neither/);
  });

  it('names the adapter and the module within it', () => {
    const modules = new Map([['layers.0.q_proj', sample({ rank: 0 })]]);
    expect(() => requireLoraModules('adapters[1]', modules)).toThrow('adapters[1]["layers.0.q_proj"].rank: got 0');
    for (const bad of [new Map(), {}, null, new Map([[1, sample()]])]) {
      expect(codeOf(() => requireLoraModules('adapters[1]', bad))).toBe('ERR_INVALID_ARGUMENT');
    }
  });
});

describe('an embedding adapter', () => {
  it('is one unnamed module, and comes back the same', () => {
    const state = sampleState();
    const modules = modulesOfState(state);
    expect([...modules.keys()]).toEqual([UNNAMED_MODULE]);
    const module = requireLoraModules('modules', modules).get(UNNAMED_MODULE) as LoraModule;
    expect([...module.loraA, ...module.loraB]).toEqual([...state.weights]);
    const { rank, alpha, rsLora } = state.shape;
    expect(module.scaling).toBe(alpha / (rsLora ? Math.sqrt(rank) : rank));

    const back = stateOfModule(module, { note: 'kept' });
    expect([...back.weights]).toEqual([...state.weights]);
    expect(back.fisher).toEqual(state.fisher);
    expect(back.anchor).toEqual(state.anchor);
    expect(back.step).toBe(0);
    expect(back.meta).toEqual({ note: 'kept' });
    expect(modulesOfState(back).get(UNNAMED_MODULE)?.scaling).toBeCloseTo(module.scaling, 12);
  });

  it('has the limits of the engine', () => {
    const wide = sample({ inFeatures: 8193, loraA: new Float32Array(2 * 8193), fisher: undefined, anchor: undefined });
    requireLoraModule('module', wide);
    expect(codeOf(() => stateOfModule(wide))).toBe('ERR_INVALID_CONFIG');
  });
});
