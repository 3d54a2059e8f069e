/** One adapter as plain data, whatever backend or pool it lives in; files hold exactly this. */
import { fail, requireInteger, requireVector } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type SlabLayout, type SlabSection, sectionView } from '../kernels/layout.js';
import { type AdapterShape, parameterCountOf, requireAdapterShape } from './config.js';
import type { JsonObject } from './meta.js';

/**
 * Every section has parameterCountOf(shape) numbers, A's entries then B's. fisher and anchor come together, and so do
 * the moments. Treat as immutable.
 */
export interface AdapterState {
  shape: AdapterShape;
  weights: Float32Array;
  /** EWC importance F, ≥ 0. */
  fisher?: Float32Array;
  /** EWC anchor θ*. */
  anchor?: Float32Array;
  /** AdamW's mean of gradients. */
  moment1?: Float32Array;
  /** AdamW's mean of squared gradients, ≥ 0. */
  moment2?: Float32Array;
  /** Optimizer steps taken; with moments, the steps that made them. 0 … 2³² − 1 */
  step: number;
  /** What the owner of the adapter wants kept with it: identity, dates, statistics. */
  meta: JsonObject;
}

/** The sections in the order of slabs and files. */
export const SECTION_ORDER = [
  'weights',
  'fisher',
  'anchor',
  'moment1',
  'moment2',
] as const satisfies readonly SlabSection[];

/** The sections whose numbers are means of squares, so that a negative one can only be damage. */
export const NON_NEGATIVE_SECTIONS: ReadonlySet<SlabSection> = new Set(['fisher', 'moment2']);

/** The sections that have no meaning without each other. */
export const PAIRED_SECTIONS = [
  ['fisher', 'anchor'],
  ['moment1', 'moment2'],
] as const;

/** Throws a coded error naming the field unless all that AdapterState promises holds (meta is checked by its codec). */
export function requireAdapterState(name: string, state: AdapterState): void {
  if (typeof state !== 'object' || state === null) fail('ERR_INVALID_ARGUMENT', name, state, 'an AdapterState');
  const shape = requireAdapterShape(`${name}.shape`, state.shape);
  const parameterCount = parameterCountOf(shape);
  for (const section of SECTION_ORDER) {
    const values = state[section];
    if (values === undefined && section !== 'weights') continue;
    requireVector(`${name}.${section}`, values, parameterCount);
    if (NON_NEGATIVE_SECTIONS.has(section)) requireNonNegative(`${name}.${section}`, values as Float32Array);
  }
  for (const [first, second] of PAIRED_SECTIONS) {
    if ((state[first] === undefined) !== (state[second] === undefined)) {
      fail('ERR_INVALID_ARGUMENT', name, state, `${first} and ${second} both or neither`);
    }
  }
  requireInteger(`${name}.step`, state.step, 0, 2 ** 32 - 1, 'ERR_INVALID_ARGUMENT');
}

/**
 * Writes the adapter into slab number `index` of `slabs` and returns the step count to write with it.
 *
 * The pool may want sections that the adapter lacks. Without fisher it gets F = 0 and, as nothing is consolidated yet,
 * the weights as anchor. Without moments it gets zeros and step 0, since AdamW's bias correction must count from where
 * the moments start. Sections that the pool does not have are left out; readFromSlab brings them back.
 */
export function writeToSlab(state: AdapterState, layout: SlabLayout, slabs: Float32Array, index = 0): number {
  requireFit(state, layout);
  for (const section of layout.sections) {
    const view = sectionView(layout, slabs, section, index) as Float32Array;
    const values = state[section] ?? (section === 'anchor' ? state.weights : undefined);
    if (values) view.set(values);
    else view.fill(0);
  }
  return layout.sections.includes('moment1') && !state.moment1 ? 0 : state.step;
}

/** What is known of an adapter beside what a slab holds of it. */
export type StateBesideSlab = Omit<AdapterState, 'weights'>;

/**
 * The adapter in slab number `index` of `slabs`, after `step` steps, as a copy. `previous` is the state that was written
 * there: it gives shape and meta, and the sections that the pool does not have. So an adapter keeps its Fisher and anchor
 * through a pool without EWC. Moments are kept only while no step was taken: after steps of another optimizer they would
 * describe a path that the weights have left.
 */
export function readFromSlab(
  layout: SlabLayout,
  slabs: Float32Array,
  index: number,
  step: number,
  previous: StateBesideSlab,
): AdapterState {
  const state = viewInSlab(layout, slabs, index, step, previous);
  for (const section of SECTION_ORDER) {
    const values = state[section];
    if (values) state[section] = values.slice();
  }
  return state;
}

/** As readFromSlab, but the sections are views of `slabs`, or those of `previous` itself. */
export function viewInSlab(
  layout: SlabLayout,
  slabs: Float32Array,
  index: number,
  step: number,
  previous: StateBesideSlab,
): AdapterState {
  requireFit(previous, layout);
  const { shape, meta } = previous;
  const weights = sectionView(layout, slabs, 'weights', index) as Float32Array;
  const state: AdapterState = { shape, meta, step, weights };
  for (const section of SECTION_ORDER) {
    if (section === 'weights') continue;
    const isMoment = section === 'moment1' || section === 'moment2';
    const kept = isMoment && step !== previous.step ? undefined : previous[section];
    const values = sectionView(layout, slabs, section, index) ?? kept;
    if (values) state[section] = values;
  }
  return state;
}

function requireFit(state: StateBesideSlab, layout: SlabLayout): void {
  const { rank, inFeatures } = state.shape;
  if (parameterCountOf(state.shape) !== layout.parameterCount || rank * inFeatures !== layout.loraALength) {
    throw new LorakeetError(
      'ERR_ADAPTER_MISMATCH',
      `state.shape: got ${parameterCountOf(state.shape)} parameters, ${rank * inFeatures} of them in A, expected ` +
        `${layout.parameterCount} and ${layout.loraALength}`,
    );
  }
}

/** Throws ERR_OUT_OF_RANGE naming the first element below 0. */
export function requireNonNegative(name: string, values: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    if (values[i] < 0) fail('ERR_OUT_OF_RANGE', `${name}[${i}]`, values[i], 'a number that is not negative');
  }
}
