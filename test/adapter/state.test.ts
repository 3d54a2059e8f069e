import { describe, expect, it } from 'vitest';
import { type AdapterState, readFromSlab, requireAdapterState, writeToSlab } from '../../src/adapter/state.js';
import { type SlabShape, sectionView, slabLayout } from '../../src/kernels/layout.js';
import { bitsOf, codeOf, sampleState } from './helpers.js';

const layoutFor = (state: AdapterState, ewc: boolean, moments: boolean) =>
  slabLayout({ ...state.shape, ewc, moments } as SlabShape);
const without = (state: AdapterState, ...sections: (keyof AdapterState)[]) => ({
  ...state,
  ...Object.fromEntries(sections.map((section) => [section, undefined])),
});

describe('requireAdapterState', () => {
  it('accepts every allowed choice of sections', () => {
    const full = sampleState();
    requireAdapterState('state', full);
    requireAdapterState('state', without(full, 'fisher', 'anchor'));
    requireAdapterState('state', without(full, 'moment1', 'moment2'));
    requireAdapterState('state', without(full, 'fisher', 'anchor', 'moment1', 'moment2'));
  });

  const full = sampleState();
  const nan = full.weights.slice().fill(Number.NaN, 13);
  const negative = (full.fisher as Float32Array).slice().fill(-1e-45, 13);
  it.each<[string, object, string]>([
    ['weights', { weights: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['weights', { weights: [...full.weights] }, 'ERR_INVALID_ARGUMENT'],
    ['weights', { weights: full.weights.slice(1) }, 'ERR_LENGTH_MISMATCH'],
    ['weights[13]', { weights: nan }, 'ERR_NOT_FINITE'],
    ['anchor[13]', { anchor: nan }, 'ERR_NOT_FINITE'],
    ['fisher[13]', { fisher: negative }, 'ERR_OUT_OF_RANGE'],
    ['moment2[13]', { moment2: negative }, 'ERR_OUT_OF_RANGE'],
    ['', { fisher: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['', { anchor: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['', { moment1: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['', { moment2: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['step', { step: -1 }, 'ERR_INVALID_ARGUMENT'],
    ['step', { step: 2 ** 32 }, 'ERR_INVALID_ARGUMENT'],
    ['step', { step: undefined }, 'ERR_INVALID_ARGUMENT'],
    ['shape.rank', { shape: { ...full.shape, rank: 0 } }, 'ERR_INVALID_CONFIG'],
    ['shape', { shape: null }, 'ERR_INVALID_CONFIG'],
  ])('names %s in %o', (field, change, code) => {
    const action = () => requireAdapterState('state', { ...sampleState(), ...change } as AdapterState);
    expect(codeOf(action)).toBe(code);
    expect(action).toThrow(field ? `state.${field}: got` : /^state: got .* both or neither/);
  });
});

describe('slabs', () => {
  it('go there and back bit for bit with all sections, among other slabs', () => {
    const state = sampleState();
    state.weights[1] = -0;
    const layout = layoutFor(state, true, true);
    const slabs = new Float32Array(3 * layout.slabLength).fill(7);
    expect(writeToSlab(state, layout, slabs, 1)).toBe(12);
    expect(slabs.subarray(0, layout.slabLength).every((value) => value === 7)).toBe(true);
    expect(slabs.subarray(2 * layout.slabLength).every((value) => value === 7)).toBe(true);
    const copy = readFromSlab(layout, slabs, 1, 12, state);
    expect(bitsOf(copy)).toEqual(bitsOf(state));
    slabs.fill(0);
    expect(bitsOf(copy)).toEqual(bitsOf(state));
  });

  it('give a pool with EWC no importance and the weights as anchor where the adapter has none', () => {
    const state = without(sampleState(), 'fisher', 'anchor');
    const layout = layoutFor(state, true, true);
    const slab = new Float32Array(layout.slabLength).fill(7);
    writeToSlab(state, layout, slab);
    expect(sectionView(layout, slab, 'fisher')).toEqual(new Float32Array(14));
    expect(sectionView(layout, slab, 'anchor')).toEqual(state.weights);
    expect(sectionView(layout, slab, 'moment2')).toEqual(state.moment2);
  });

  it('start the step count anew where the moments start anew', () => {
    const state = without(sampleState(), 'moment1', 'moment2');
    const withMoments = layoutFor(state, true, true);
    const slab = new Float32Array(withMoments.slabLength).fill(7);
    expect(writeToSlab(state, withMoments, slab)).toBe(0);
    expect(sectionView(withMoments, slab, 'moment1')).toEqual(new Float32Array(14));
    expect(sectionView(withMoments, slab, 'moment2')).toEqual(new Float32Array(14));
    expect(writeToSlab(state, layoutFor(state, true, false), slab)).toBe(12);
  });

  it('bring Fisher and anchor through a pool without EWC', () => {
    const state = sampleState();
    const layout = layoutFor(state, false, true);
    const slab = new Float32Array(layout.slabLength);
    writeToSlab(state, layout, slab);
    slab[0] = 0.5;
    const learned = readFromSlab(layout, slab, 0, 13, state);
    expect(learned.weights[0]).toBe(0.5);
    expect(learned.fisher).toEqual(state.fisher);
    expect(learned.anchor).toEqual(state.anchor);
    expect(learned.step).toBe(13);
    expect(state.step).toBe(12);
  });

  it('keep moments through a pool without them only while no step is taken', () => {
    const state = sampleState();
    const layout = layoutFor(state, true, false);
    const slab = new Float32Array(layout.slabLength);
    const step = writeToSlab(state, layout, slab);
    expect(bitsOf(readFromSlab(layout, slab, 0, step, state))).toEqual(bitsOf(state));
    const learned = readFromSlab(layout, slab, 0, step + 1, state);
    expect(learned.moment1).toBeUndefined();
    expect(learned.moment2).toBeUndefined();
  });

  it('of another shape are refused', () => {
    const state = sampleState();
    const layout = slabLayout({ rank: 2, inFeatures: 4, outFeatures: 3, ewc: false, moments: false });
    expect(codeOf(() => writeToSlab(state, layout, new Float32Array(14)))).toBe('ERR_ADAPTER_MISMATCH');
    expect(codeOf(() => readFromSlab(layout, new Float32Array(14), 0, 0, state))).toBe('ERR_ADAPTER_MISMATCH');
  });
});
