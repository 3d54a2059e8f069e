/** Bad input: the right code for each mistake, and every slot and every output array left as it was. */
import type { LorakeetErrorCode } from '../errors.js';
import type { KernelPool, PoolConfig } from '../kernels/contract.js';
import { checkConfigs } from './bad-configs.js';
import { fillSlots } from './fixtures.js';
import {
  ADAMW,
  assertRejects,
  assertSameBits,
  assertSameStates,
  assertThrows,
  type ConformanceCase,
  floats,
  newReport,
  poolConfig,
  range,
  readStates,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';
import { SeededRandom } from './random.js';

// biome-ignore lint/suspicious/noExplicitAny: the point is to hand in what the types forbid
type Anything = any;

const CAPACITY = 4;
const SLOTS = range(CAPACITY);
const ITEMS = 5;
const CONFIG: Partial<PoolConfig> = { capacity: CAPACITY, optimizer: ADAMW, ewc: { form: 'proximal', lambda: 1 } };

/** A Float32Array or Uint32Array whose memory has gone elsewhere. */
function detached<T extends Float32Array | Uint32Array | Uint8Array>(values: T): T {
  structuredClone(values.buffer, { transfer: [values.buffer as ArrayBuffer] });
  return values;
}

const x1 = () => floats(1, 2, 3);
const x2 = () => floats(1, 2, 3, 4, 5, 6);
/** A good batch of two users with one row each, and what to spoil in it. */
const batch = (spoilt: Record<string, unknown> = {}): Anything => ({
  slots: uints(0, 2),
  rowOffsets: uints(0, 1, 2),
  x: x2(),
  target: x2(),
  decay: 0.5,
  ...spoilt,
});

/** [what, code, spoilt part]: mistakes that update and consolidate share. */
const ROW_MISTAKES: [string, LorakeetErrorCode, Record<string, unknown>][] = [
  ['slots of the wrong type', 'ERR_INVALID_ARGUMENT', { slots: [0, 2] }],
  ['slots as Int32Array', 'ERR_INVALID_ARGUMENT', { slots: new Int32Array(2) }],
  ['no slots', 'ERR_INVALID_ARGUMENT', { slots: undefined }],
  ['a slot out of range', 'ERR_SLOT_OUT_OF_RANGE', { slots: uints(0, CAPACITY) }],
  ['a huge slot', 'ERR_SLOT_OUT_OF_RANGE', { slots: uints(0, 4294967295) }],
  ['a slot twice', 'ERR_DUPLICATE_SLOT', { slots: uints(2, 2) }],
  ['detached slots', 'ERR_LENGTH_MISMATCH', { slots: detached(uints(0, 2)) }],
  ['rowOffsets of the wrong type', 'ERR_INVALID_ARGUMENT', { rowOffsets: floats(0, 1, 2) }],
  ['rowOffsets null', 'ERR_INVALID_ARGUMENT', { rowOffsets: null }],
  ['rowOffsets too short', 'ERR_LENGTH_MISMATCH', { rowOffsets: uints(0, 2) }],
  ['rowOffsets too long', 'ERR_LENGTH_MISMATCH', { rowOffsets: uints(0, 1, 2, 2) }],
  ['detached rowOffsets', 'ERR_LENGTH_MISMATCH', { rowOffsets: detached(uints(0, 1, 2)) }],
  ['rowOffsets that start above 0', 'ERR_ROW_OFFSETS', { rowOffsets: uints(1, 1, 2) }],
  ['rowOffsets that fall', 'ERR_ROW_OFFSETS', { rowOffsets: uints(0, 3, 2) }],
  ['a slot without rows', 'ERR_ROW_OFFSETS', { rowOffsets: uints(0, 0, 2) }],
  [
    'rowOffsets that end too early',
    'ERR_ROW_OFFSETS',
    { rowOffsets: uints(0, 1, 2), x: floats(1, 2, 3, 4, 5, 6, 7, 8, 9) },
  ],
  ['rowOffsets that end too late', 'ERR_ROW_OFFSETS', { rowOffsets: uints(0, 1, 4294967295) }],
  ['x of the wrong type', 'ERR_INVALID_ARGUMENT', { x: new Float64Array(6) }],
  ['x as an array', 'ERR_INVALID_ARGUMENT', { x: [1, 2, 3, 4, 5, 6] }],
  ['x as bytes', 'ERR_INVALID_ARGUMENT', { x: new ArrayBuffer(24) }],
  ['x with part of a row', 'ERR_LENGTH_MISMATCH', { x: floats(1, 2, 3, 4, 5) }],
  ['detached x', 'ERR_LENGTH_MISMATCH', { x: detached(x2()) }],
  ['an id out of range', 'ERR_ITEM_OUT_OF_RANGE', { x: uints(0, ITEMS) }],
  ['a huge id', 'ERR_ITEM_OUT_OF_RANGE', { x: uints(4294967295, 0) }],
  ['fewer ids than rows', 'ERR_ROW_OFFSETS', { x: uints(1) }],
];

const UPDATE_MISTAKES: [string, LorakeetErrorCode, Record<string, unknown>][] = [
  ['target of the wrong type', 'ERR_INVALID_ARGUMENT', { target: 'rows' }],
  ['target too short', 'ERR_LENGTH_MISMATCH', { target: x1() }],
  ['target with part of a row', 'ERR_LENGTH_MISMATCH', { target: floats(1, 2, 3, 4) }],
  ['detached target', 'ERR_LENGTH_MISMATCH', { target: detached(x2()) }],
  ['too many target ids', 'ERR_LENGTH_MISMATCH', { target: uints(0, 1, 2) }],
  ['a target id out of range', 'ERR_ITEM_OUT_OF_RANGE', { target: uints(0, 77) }],
  ['rowWeight of the wrong type', 'ERR_INVALID_ARGUMENT', { rowWeight: [1, 1] }],
  ['rowWeight too short', 'ERR_LENGTH_MISMATCH', { rowWeight: floats(1) }],
  ['detached rowWeight', 'ERR_LENGTH_MISMATCH', { rowWeight: detached(floats(1, 1)) }],
  ['a negative row weight', 'ERR_OUT_OF_RANGE', { rowWeight: floats(1, -1) }],
  ['a NaN row weight', 'ERR_NOT_FINITE', { rowWeight: floats(1, Number.NaN) }],
  ['an infinite row weight', 'ERR_NOT_FINITE', { rowWeight: floats(Infinity, 1) }],
  ['learningRate too long', 'ERR_LENGTH_MISMATCH', { learningRate: floats(1, 1, 1) }],
  ['learningRate of the wrong type', 'ERR_INVALID_ARGUMENT', { learningRate: 0.1 }],
  ['a negative learning rate', 'ERR_OUT_OF_RANGE', { learningRate: floats(0, -0.1) }],
  ['a NaN learning rate', 'ERR_NOT_FINITE', { learningRate: floats(Number.NaN, 0) }],
  ['an infinite learning rate', 'ERR_NOT_FINITE', { learningRate: floats(0, Infinity) }],
  ['maxGradNorm too short', 'ERR_LENGTH_MISMATCH', { maxGradNorm: floats() }],
  ['a bound of 0', 'ERR_OUT_OF_RANGE', { maxGradNorm: floats(1, 0) }],
  ['a NaN bound', 'ERR_NOT_FINITE', { maxGradNorm: floats(1, Number.NaN) }],
  ['ewcLambda of the wrong type', 'ERR_INVALID_ARGUMENT', { ewcLambda: uints(1, 1) }],
  ['a negative lambda', 'ERR_OUT_OF_RANGE', { ewcLambda: floats(-1, 1) }],
  ['an infinite lambda', 'ERR_NOT_FINITE', { ewcLambda: floats(1, Infinity) }],
];

const DECAY_MISTAKES: [string, LorakeetErrorCode, Record<string, unknown>][] = [
  ['no decay', 'ERR_INVALID_ARGUMENT', { decay: undefined }],
  ['a decay of the wrong type', 'ERR_INVALID_ARGUMENT', { decay: '1' }],
  ['a NaN decay', 'ERR_NOT_FINITE', { decay: Number.NaN }],
  ['a decay above 1', 'ERR_OUT_OF_RANGE', { decay: 1.5 }],
  ['a negative decay', 'ERR_OUT_OF_RANGE', { decay: -0.1 }],
];

const APPLY_MISTAKES: [string, LorakeetErrorCode, Record<string, unknown>][] = [
  ['slots of the wrong type', 'ERR_INVALID_ARGUMENT', { slots: new Uint16Array(2) }],
  ['a slot out of range', 'ERR_SLOT_OUT_OF_RANGE', { slots: uints(CAPACITY, 0) }],
  ['fewer slots than rows', 'ERR_LENGTH_MISMATCH', { slots: uints(0) }],
  ['detached slots', 'ERR_LENGTH_MISMATCH', { slots: detached(uints(0, 1)) }],
  ['x of the wrong type', 'ERR_INVALID_ARGUMENT', { x: new DataView(new ArrayBuffer(24)) }],
  ['x null', 'ERR_INVALID_ARGUMENT', { x: null }],
  ['x with part of a row', 'ERR_LENGTH_MISMATCH', { x: floats(1, 2, 3, 4, 5, 6, 7) }],
  ['detached x', 'ERR_LENGTH_MISMATCH', { x: detached(x2()) }],
  ['an id out of range', 'ERR_ITEM_OUT_OF_RANGE', { x: uints(0, ITEMS) }],
];

export function invalidCases(context: SuiteContext): ConformanceCase[] {
  const cases: ConformanceCase[] = [
    { name: 'bad config: one field at a time', run: () => checkConfigs(context.makeBackend()) },
    { name: 'bad input: a closed pool', run: () => checkClosed(context) },
    { name: 'bad input: what this pool cannot do', run: () => checkUnable(context) },
  ];
  /** `body` must fail with `code` on a pool with a known state, and leave it so. */
  const on = (name: string, body: (pool: KernelPool) => void | Promise<void>): void => {
    cases.push({
      name: `bad input: ${name}`,
      run: () =>
        withPool(context, CONFIG, async (pool) => {
          fillSlots(pool, SLOTS, new SeededRandom(60));
          pool.bindItems(new SeededRandom(61).normals(ITEMS * 3));
          const before = readStates(pool, SLOTS);
          await body(pool);
          assertSameStates('slots', readStates(pool, SLOTS), before);
        }),
    });
  };
  on('apply', checkApply);
  on('update', (pool) => checkUpdate(pool));
  on('consolidate', (pool) => checkConsolidate(pool));
  on('write', checkWrite);
  on('read', checkRead);
  on('copy and clear', checkCopyAndClear);
  on('bindItems', checkBindItems);
  return cases;
}

async function checkApply(pool: KernelPool): Promise<void> {
  const good: Anything = { slots: uints(0, 1), x: x2() };
  for (const [what, code, spoilt] of APPLY_MISTAKES) {
    const y = new Float32Array(6).fill(7);
    assertThrows(what, code, () => pool.apply({ ...good, ...spoilt }, y));
    assertSameBits(`y after ${what}`, y, new Float32Array(6).fill(7));
    await assertRejects(`${what}, async`, code, () => pool.applyAsync({ ...good, ...spoilt }));
  }
  const outputs: [string, LorakeetErrorCode, Anything][] = [
    ['y too short', 'ERR_LENGTH_MISMATCH', new Float32Array(5)],
    ['y too long', 'ERR_LENGTH_MISMATCH', new Float32Array(7)],
    ['y detached', 'ERR_LENGTH_MISMATCH', detached(new Float32Array(6))],
    ['y of the wrong type', 'ERR_INVALID_ARGUMENT', new Float64Array(6)],
    ['no y', 'ERR_INVALID_ARGUMENT', undefined],
  ];
  for (const [what, code, y] of outputs) assertThrows(what, code, () => pool.apply(good, y));
  for (const nothing of [null, undefined, 5] as Anything[]) {
    assertThrows(`the batch ${nothing}`, 'ERR_INVALID_ARGUMENT', () => pool.apply(nothing, new Float32Array(0)));
    await assertRejects(`the batch ${nothing}, async`, 'ERR_INVALID_ARGUMENT', () => pool.applyAsync(nothing));
  }
}

async function checkUpdate(pool: KernelPool): Promise<void> {
  for (const [what, code, spoilt] of [...ROW_MISTAKES, ...UPDATE_MISTAKES]) {
    const report = newReport(2);
    report.loss.fill(7);
    assertThrows(what, code, () => pool.update(batch(spoilt), report));
    assertSameBits(`report after ${what}`, report.loss, floats(7, 7));
    await assertRejects(`${what}, async`, code, () => pool.updateAsync(batch(spoilt)));
  }
  const good = newReport(2);
  const reports: [string, LorakeetErrorCode, Anything][] = [
    ['no report', 'ERR_INVALID_ARGUMENT', undefined],
    ['a report without loss', 'ERR_INVALID_ARGUMENT', { ...good, loss: undefined }],
    ['flags of the wrong type', 'ERR_INVALID_ARGUMENT', { ...good, flags: new Uint32Array(2) }],
    ['a report too long', 'ERR_LENGTH_MISMATCH', newReport(3)],
    ['a detached gradNorm', 'ERR_LENGTH_MISMATCH', { ...newReport(2), gradNorm: detached(new Float32Array(2)) }],
  ];
  for (const [what, code, report] of reports) assertThrows(what, code, () => pool.update(batch(), report));
  assertThrows('no batch', 'ERR_INVALID_ARGUMENT', () => pool.update(undefined as Anything, good));
  await assertRejects('no batch, async', 'ERR_INVALID_ARGUMENT', () => pool.updateAsync(undefined as Anything));
}

async function checkConsolidate(pool: KernelPool): Promise<void> {
  for (const [what, code, spoilt] of [...ROW_MISTAKES, ...DECAY_MISTAKES]) {
    assertThrows(what, code, () => pool.consolidate(batch(spoilt)));
    await assertRejects(`${what}, async`, code, () => pool.consolidateAsync(batch(spoilt)));
  }
  assertThrows('no batch', 'ERR_INVALID_ARGUMENT', () => pool.consolidate(null as Anything));
}

function checkWrite(pool: KernelPool): void {
  const { slabLength, parameterCount } = pool.layout;
  const write = (what: string, code: LorakeetErrorCode, slots: Anything, slabs: Anything, steps: Anything): void =>
    assertThrows(what, code, () => pool.write(slots, slabs, steps));
  /** Good slabs of two slots, with one element of the second changed. */
  const slabs = (index = 0, value = 1): Float32Array => {
    const values = new Float32Array(2 * slabLength).fill(1);
    values[slabLength + index] = value;
    return values;
  };
  write('a slot twice', 'ERR_DUPLICATE_SLOT', uints(1, 1), slabs(), uints(0, 0));
  write('a slot out of range', 'ERR_SLOT_OUT_OF_RANGE', uints(1, 99), slabs(), uints(0, 0));
  write('slots of the wrong type', 'ERR_INVALID_ARGUMENT', [1, 2], slabs(), uints(0, 0));
  write('slabs of the wrong type', 'ERR_INVALID_ARGUMENT', uints(0, 1), Float64Array.from(slabs()), uints(0, 0));
  write('slabs too short', 'ERR_LENGTH_MISMATCH', uints(0, 1), slabs().subarray(1), uints(0, 0));
  write('detached slabs', 'ERR_LENGTH_MISMATCH', uints(0, 1), detached(slabs()), uints(0, 0));
  write('steps too long', 'ERR_LENGTH_MISMATCH', uints(0, 1), slabs(), uints(0, 0, 0));
  write('steps of the wrong type', 'ERR_INVALID_ARGUMENT', uints(0, 1), slabs(), floats(0, 0));
  write('no steps', 'ERR_INVALID_ARGUMENT', uints(0, 1), slabs(), undefined);
  for (const value of [Number.NaN, Infinity, -Infinity]) {
    write(`${value} in the weights`, 'ERR_NOT_FINITE', uints(0, 1), slabs(3, value), uints(0, 0));
    write(`${value} at the end`, 'ERR_NOT_FINITE', uints(0, 1), slabs(slabLength - 1, value), uints(0, 0));
  }
  write('a negative fisher', 'ERR_OUT_OF_RANGE', uints(0, 1), slabs(parameterCount, -1), uints(0, 0));
  write('a negative moment2', 'ERR_OUT_OF_RANGE', uints(0, 1), slabs(slabLength - 1, -1e-30), uints(0, 0));
}

function checkRead(pool: KernelPool): void {
  const { slabLength } = pool.layout;
  const read = (what: string, code: LorakeetErrorCode, slots: Anything, slabs: Anything, steps: Anything): void =>
    assertThrows(what, code, () => pool.read(slots, slabs, steps));
  const slabs = (): Float32Array => new Float32Array(2 * slabLength);
  read('a slot out of range', 'ERR_SLOT_OUT_OF_RANGE', uints(0, CAPACITY), slabs(), uints(0, 0));
  read('slabs too short', 'ERR_LENGTH_MISMATCH', uints(0, 1), new Float32Array(slabLength), uints(0, 0));
  read('detached slabs', 'ERR_LENGTH_MISMATCH', uints(0, 1), detached(slabs()), uints(0, 0));
  read('detached steps', 'ERR_LENGTH_MISMATCH', uints(0, 1), slabs(), detached(uints(0, 0)));
  read('slabs of the wrong type', 'ERR_INVALID_ARGUMENT', uints(0, 1), new Uint8Array(8 * slabLength), uints(0, 0));
  read('no slabs', 'ERR_INVALID_ARGUMENT', uints(0, 1), undefined, uints(0, 0));
}

function checkCopyAndClear(pool: KernelPool): void {
  const copy = (what: string, code: LorakeetErrorCode, from: Anything, to: Anything): void =>
    assertThrows(what, code, () => pool.copy(from, to));
  copy('a slot twice in to', 'ERR_DUPLICATE_SLOT', uints(0, 1), uints(2, 2));
  copy('a slot in both', 'ERR_DUPLICATE_SLOT', uints(0, 1), uints(2, 0));
  copy('from out of range', 'ERR_SLOT_OUT_OF_RANGE', uints(0, 4), uints(2, 3));
  copy('to out of range', 'ERR_SLOT_OUT_OF_RANGE', uints(0, 1), uints(2, 4294967295));
  copy('more targets than sources', 'ERR_LENGTH_MISMATCH', uints(0), uints(2, 3));
  copy('detached from', 'ERR_LENGTH_MISMATCH', detached(uints(0, 1)), uints(2, 3));
  copy('from of the wrong type', 'ERR_INVALID_ARGUMENT', 0, uints(1));
  copy('to of the wrong type', 'ERR_INVALID_ARGUMENT', uints(0), new Int32Array([1]));
  assertThrows('clear out of range', 'ERR_SLOT_OUT_OF_RANGE', () => pool.clear(uints(0, CAPACITY)));
  assertThrows('clear of the wrong type', 'ERR_INVALID_ARGUMENT', () => pool.clear(1 as Anything));
}

/** The table that is bound stays bound; cases-slots.ts checks that it is still used. */
function checkBindItems(pool: KernelPool): void {
  assertThrows('part of an item', 'ERR_LENGTH_MISMATCH', () => pool.bindItems(floats(1, 2, 3, 4)));
  assertThrows('the wrong type', 'ERR_INVALID_ARGUMENT', () => pool.bindItems([1, 2, 3] as Anything));
  assertThrows('nothing', 'ERR_INVALID_ARGUMENT', () => pool.bindItems(undefined as Anything));
  assertThrows('an infinite element', 'ERR_NOT_FINITE', () => pool.bindItems(floats(1, 2, Infinity)));
}

async function checkUnable(context: SuiteContext): Promise<void> {
  await withPool(context, { inFeatures: 3, outFeatures: 2 }, (pool) => {
    const good = { slots: uints(0), rowOffsets: uints(0, 1), x: x1(), target: floats(1, 2) };
    assertThrows('ids without a table', 'ERR_NO_ITEMS', () => pool.update({ ...good, x: uints(0) }, newReport(1)));
    pool.bindItems(x1());
    const targetIds = { ...good, target: uints(0) };
    assertThrows('target ids of another size', 'ERR_INVALID_ARGUMENT', () => pool.update(targetIds, newReport(1)));
    const lambda = { ...good, ewcLambda: floats(1) };
    assertThrows('ewcLambda without EWC', 'ERR_INVALID_ARGUMENT', () => pool.update(lambda, newReport(1)));
    assertThrows('consolidate without EWC', 'ERR_INVALID_ARGUMENT', () => pool.consolidate({ ...good, decay: 1 }));
  });
}

async function checkClosed({ makeBackend }: SuiteContext): Promise<void> {
  const pool = makeBackend().createPool(poolConfig(CONFIG));
  const { slabLength } = pool.layout;
  pool.close();
  pool.close();
  const calls: Record<string, () => void> = {
    write: () => pool.write(uints(0), new Float32Array(slabLength), uints(0)),
    read: () => pool.read(uints(0), new Float32Array(slabLength), uints(0)),
    copy: () => pool.copy(uints(0), uints(1)),
    clear: () => pool.clear(uints(0)),
    bindItems: () => pool.bindItems(null),
    apply: () => pool.apply({ slots: uints(0), x: x1() }, new Float32Array(3)),
    update: () => pool.update(batch(), newReport(2)),
    consolidate: () => pool.consolidate(batch()),
  };
  for (const [what, call] of Object.entries(calls)) assertThrows(what, 'ERR_POOL_CLOSED', call);
  await assertRejects('applyAsync', 'ERR_POOL_CLOSED', () => pool.applyAsync({ slots: uints(0), x: x1() }));
  await assertRejects('updateAsync', 'ERR_POOL_CLOSED', () => pool.updateAsync(batch()));
  await assertRejects('consolidateAsync', 'ERR_POOL_CLOSED', () => pool.consolidateAsync(batch()));
}
