/**
 * Argument checks of a pool in JavaScript: its configuration, and every batch that the js backend is handed. The native
 * backends share `validatePoolConfig`; their batches are checked in binding/ with the same codes, and the conformance
 * suite holds the two together.
 */
import {
  fail,
  rejectUnknownKeys,
  requireBoolean,
  requireFiniteElements,
  requireInteger,
  requireNumber,
  requireOneOf,
} from '../checks.js';
import { LorakeetError } from '../errors.js';
import {
  type EwcConfig,
  MAX_CAPACITY,
  MAX_FEATURES,
  MAX_RANK,
  MAX_THREADS,
  type OptimizerConfig,
  type PoolConfig,
  type SlotRows,
  STATE_DTYPES,
  type UpdateReport,
} from './contract.js';
import { type SlabLayout, sectionView } from './layout.js';

const CONFIG_KEYS: readonly (keyof PoolConfig)[] = [
  'rank',
  'inFeatures',
  'outFeatures',
  'scaling',
  'residual',
  'capacity',
  'optimizer',
  'ewc',
  'stateDtype',
  'learningRate',
  'maxGradNorm',
  'threads',
];

/** Backends may compute in single precision: a number that is infinite there is refused here. */
const MAX_FLOAT = 3.4028234663852886e38;

/** Checks anything that is meant to be a PoolConfig and returns a frozen copy; ERR_INVALID_CONFIG names the field. */
export function validatePoolConfig(value: unknown): Readonly<PoolConfig> {
  const config = requireObject('config', value);
  rejectUnknownKeys('config', config, CONFIG_KEYS);
  const checked: PoolConfig = {
    rank: requireInteger('rank', config.rank, 1, MAX_RANK),
    inFeatures: requireInteger('inFeatures', config.inFeatures, 1, MAX_FEATURES),
    outFeatures: requireInteger('outFeatures', config.outFeatures, 1, MAX_FEATURES),
    scaling: requireNumber('scaling', config.scaling, { min: -MAX_FLOAT, max: MAX_FLOAT }),
    residual: requireBoolean('residual', config.residual),
    capacity: requireInteger('capacity', config.capacity, 1, MAX_CAPACITY),
    optimizer: validateOptimizer(config.optimizer),
    ewc: config.ewc === null ? null : validateEwc(config.ewc),
    stateDtype: requireOneOf('stateDtype', config.stateDtype, STATE_DTYPES),
    learningRate: requireNumber('learningRate', config.learningRate, { min: 0, max: MAX_FLOAT }),
    maxGradNorm: requireNumber('maxGradNorm', config.maxGradNorm, { above: 0, infinity: true }),
    threads: requireInteger('threads', config.threads, 1, MAX_THREADS),
  };
  if (checked.residual && checked.inFeatures !== checked.outFeatures) {
    fail(
      'ERR_INVALID_CONFIG',
      'residual',
      true,
      `inFeatures (${checked.inFeatures}) = outFeatures (${checked.outFeatures})`,
    );
  }
  return Object.freeze(checked);
}

/** Checks every field, all of them required, and returns a frozen copy. */
export function validateOptimizer(value: unknown): OptimizerConfig {
  const optimizer = requireObject('optimizer', value);
  const kind = requireOneOf('optimizer.kind', optimizer.kind, ['sgd', 'adamw']);
  rejectUnknownKeys('optimizer', optimizer, [
    'kind',
    'weightDecay',
    ...(kind === 'adamw' ? ['beta1', 'beta2', 'epsilon'] : []),
  ]);
  const weightDecay = requireNumber('optimizer.weightDecay', optimizer.weightDecay, { min: 0, max: MAX_FLOAT });
  if (kind === 'sgd') return Object.freeze({ kind, weightDecay });
  return Object.freeze({
    kind,
    beta1: requireDecayRate('optimizer.beta1', optimizer.beta1),
    beta2: requireDecayRate('optimizer.beta2', optimizer.beta2),
    epsilon: requireNumber('optimizer.epsilon', optimizer.epsilon, { above: 0, max: MAX_FLOAT }),
    weightDecay,
  });
}

function validateEwc(value: unknown): EwcConfig {
  const ewc = requireObject('ewc', value);
  rejectUnknownKeys('ewc', ewc, ['form', 'lambda']);
  return Object.freeze({
    form: requireOneOf('ewc.form', ewc.form, ['proximal', 'gradient']),
    lambda: requireNumber('ewc.lambda', ewc.lambda, { min: 0, max: MAX_FLOAT }),
  });
}

/** beta = 1 would never forget, and its bias correction would divide by zero. */
function requireDecayRate(name: string, value: unknown): number {
  if (typeof value !== 'number' || !(value >= 0 && value < 1)) {
    fail('ERR_INVALID_CONFIG', name, value, 'a number at least 0 and below 1');
  }
  return value;
}

function requireObject(name: string, value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) fail('ERR_INVALID_CONFIG', name, value, 'an object');
  return value as Record<string, unknown>;
}

/** What the checks of a batch need to know about the pool. */
export interface PoolShape {
  config: Readonly<PoolConfig>;
  layout: SlabLayout;
  /** Rows of the bound item table; null when there is none. */
  itemCount: number | null;
}

/** A batch or a report, before its fields are looked at. */
export function checkObject(name: string, value: unknown): void {
  if (typeof value !== 'object' || value === null) fail('ERR_INVALID_ARGUMENT', name, value, 'an object');
}

export function checkSlots(name: string, value: unknown, capacity: number): Uint32Array {
  const slots = checkArray(name, value, Uint32Array);
  for (let i = 0; i < slots.length; i++) {
    if (slots[i] >= capacity) {
      fail('ERR_SLOT_OUT_OF_RANGE', `${name}[${i}]`, slots[i], `a slot below the pool's capacity of ${capacity}`);
    }
  }
  return slots;
}

export function checkDistinctSlots(name: string, value: unknown, capacity: number): Set<number> {
  const slots = checkSlots(name, value, capacity);
  const seen = new Set<number>();
  for (let i = 0; i < slots.length; i++) {
    if (seen.has(slots[i])) fail('ERR_DUPLICATE_SLOT', `${name}[${i}]`, slots[i], 'every slot at most once');
    seen.add(slots[i]);
  }
  return seen;
}

export function checkCopy(from: unknown, to: unknown, capacity: number): void {
  const sources = checkSlots('from', from, capacity);
  const targets = checkDistinctSlots('to', to, capacity);
  checkLength('to', targets.size, sources.length);
  for (let i = 0; i < sources.length; i++) {
    if (targets.has(sources[i]))
      fail('ERR_DUPLICATE_SLOT', `from[${i}]`, sources[i], 'a slot that does not stand in `to`');
  }
}

/** The arrays of write and read: lengths only. */
export function checkSlabArrays(slotCount: number, layout: SlabLayout, slabs: unknown, steps: unknown): void {
  checkLength('slabs', checkArray('slabs', slabs, Float32Array).length, slotCount * layout.slabLength);
  checkLength('steps', checkArray('steps', steps, Uint32Array).length, slotCount);
}

/** What may be written into a slot: finite numbers, and nothing negative where a square is meant. */
export function checkSlabContents(slotCount: number, layout: SlabLayout, slabs: Float32Array): void {
  requireFiniteElements('slabs', slabs);
  for (const section of ['fisher', 'moment2'] as const) {
    for (let index = 0; index < slotCount; index++) {
      const view = sectionView(layout, slabs, section, index);
      const negative = view?.findIndex((element) => element < 0) ?? -1;
      if (view && negative >= 0) {
        fail(
          'ERR_OUT_OF_RANGE',
          `slabs: ${section} of slot ${index}, element ${negative}`,
          view[negative],
          'at least 0',
        );
      }
    }
  }
}

/** Returns the number of items. */
export function checkItems(matrix: unknown, inFeatures: number): number {
  const items = checkArray('matrix', matrix, Float32Array);
  checkMultiple('matrix', items.length, inFeatures);
  requireFiniteElements('matrix', items);
  return items.length / inFeatures;
}

/** Checks rows given as vectors or ids and returns how many there are. */
export function checkRows(name: string, value: unknown, features: number, itemCount: number | null): number {
  if (value instanceof Float32Array) {
    checkMultiple(name, value.length, features);
    return value.length / features;
  }
  if (!(value instanceof Uint32Array)) {
    fail('ERR_INVALID_ARGUMENT', name, value, 'a Float32Array of rows or a Uint32Array of ids into the item table');
  }
  if (itemCount === null) {
    throw new LorakeetError('ERR_NO_ITEMS', `${name}: got row ids, expected an item table bound with bindItems`);
  }
  for (let i = 0; i < value.length; i++) {
    if (value[i] >= itemCount) {
      fail('ERR_ITEM_OUT_OF_RANGE', `${name}[${i}]`, value[i], `an id below the item count of ${itemCount}`);
    }
  }
  return value.length;
}

/** The part that update and consolidate share; returns the number of rows. */
export function checkSlotRows(pool: PoolShape, batch: SlotRows): number {
  checkObject('batch', batch);
  checkDistinctSlots('slots', batch.slots, pool.config.capacity);
  const offsets = checkArray('rowOffsets', batch.rowOffsets, Uint32Array);
  checkLength('rowOffsets', offsets.length, batch.slots.length + 1);
  if (offsets[0] !== 0) fail('ERR_ROW_OFFSETS', 'rowOffsets[0]', offsets[0], '0');
  for (let i = 1; i < offsets.length; i++) {
    if (offsets[i] <= offsets[i - 1])
      fail('ERR_ROW_OFFSETS', `rowOffsets[${i}]`, offsets[i], `above ${offsets[i - 1]}`);
  }
  const rows = checkRows('x', batch.x, pool.config.inFeatures, pool.itemCount);
  const end = offsets[offsets.length - 1];
  if (rows === 0) checkLength('x (rows)', rows, end); // as it is with a detached array, which has no length
  if (end !== rows)
    fail('ERR_ROW_OFFSETS', `rowOffsets[${offsets.length - 1}]`, end, `the number of rows in x, ${rows}`);
  return rows;
}

export function checkTarget(pool: PoolShape, value: unknown, rows: number): void {
  const { inFeatures, outFeatures } = pool.config;
  if (value instanceof Uint32Array && inFeatures !== outFeatures) {
    fail(
      'ERR_INVALID_ARGUMENT',
      'target',
      value,
      `vectors (items have ${inFeatures} features, targets ${outFeatures})`,
    );
  }
  checkLength('target (rows)', checkRows('target', value, outFeatures, pool.itemCount), rows);
}

export function checkReport(report: UpdateReport, users: number): void {
  checkObject('report', report);
  checkLength('report.loss', checkArray('report.loss', report.loss, Float32Array).length, users);
  checkLength('report.gradNorm', checkArray('report.gradNorm', report.gradNorm, Float32Array).length, users);
  checkLength('report.flags', checkArray('report.flags', report.flags, Uint8Array).length, users);
}

/** Refuses what only a pool with EWC can do. */
export function requireEwc(name: string, config: Readonly<PoolConfig>): void {
  if (config.ewc === null) {
    throw new LorakeetError('ERR_INVALID_ARGUMENT', `${name}: this pool has no EWC, expected one created with \`ewc\``);
  }
}

/** [count] numbers ≥ 0 (or > 0), finite unless `infinity`; undefined passes. */
export function checkParameters(
  name: string,
  value: unknown,
  count: number,
  { positive = false, infinity = false } = {},
): void {
  if (value === undefined) return;
  const numbers = checkArray(name, value, Float32Array);
  checkLength(name, numbers.length, count);
  for (let i = 0; i < count; i++) {
    const number = numbers[i];
    if (Number.isNaN(number) || (number === Infinity && !infinity)) {
      fail('ERR_NOT_FINITE', `${name}[${i}]`, number, infinity ? 'a number' : 'a finite number');
    }
    if (positive ? number <= 0 : number < 0) {
      fail('ERR_OUT_OF_RANGE', `${name}[${i}]`, number, positive ? 'above 0' : 'at least 0');
    }
  }
}

/** γ of consolidate. */
export function checkDecay(value: unknown): void {
  if (typeof value !== 'number') fail('ERR_INVALID_ARGUMENT', 'decay', value, 'a number from 0 to 1');
  if (!Number.isFinite(value)) fail('ERR_NOT_FINITE', 'decay', value, 'a number from 0 to 1');
  if (value < 0 || value > 1) fail('ERR_OUT_OF_RANGE', 'decay', value, 'a number from 0 to 1');
}

type Numbers = Float32Array | Uint32Array | Uint8Array;

export function checkArray<T extends Numbers>(name: string, value: unknown, type: { new (length: number): T }): T {
  if (!(value instanceof type)) fail('ERR_INVALID_ARGUMENT', name, value, `a ${type.name}`);
  return value;
}

export function checkLength(name: string, length: number, expected: number): void {
  if (length !== expected) {
    throw new LorakeetError('ERR_LENGTH_MISMATCH', `${name}: got ${length} elements, expected ${expected}`);
  }
}

function checkMultiple(name: string, length: number, features: number): void {
  if (length % features !== 0) {
    throw new LorakeetError(
      'ERR_LENGTH_MISMATCH',
      `${name}: got ${length} elements, expected a multiple of ${features}`,
    );
  }
}
