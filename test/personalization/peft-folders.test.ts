import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readPeft } from '../../src/adapter/formats/peft-reader.js';
import { writePeft } from '../../src/adapter/formats/peft-writer.js';
import { createLoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import { readAdapterFolder, writeAdapterFolder } from '../../src/personalization/peft-folders.js';
import { deltaOf, rejection, sampleModule, temporaryFolder } from '../adapter/formats/helpers.js';

const folder = temporaryFolder();
const dim = 64;
const engine = createLoRAPersonalizationEngine({
  embeddingDim: dim,
  rank: 8,
  scalingFactor: 4,
  backend: 'js',
  useEWC: true,
});
afterAll(() => engine.close());

const x = Float32Array.from({ length: dim }, (_, i) => Math.sin(i));
const feedback = [{ contentEmbedding: x, reward: 0.2, timestamp: new Date(0) }];

async function trained() {
  let adapter = engine.createAdapter('ann');
  for (let i = 0; i < 5; i++) adapter = await engine.updateAdapter(adapter, feedback);
  return adapter;
}

function expectSame(got: Float32Array, expected: ArrayLike<number>): void {
  got.forEach((value, i) => {
    expect(Math.abs(value - expected[i])).toBeLessThan(1e-5);
  });
}

describe('a trained adapter', () => {
  it.each([{ portable: true }, { portable: false }])('computes the same after a folder, %j', async (options) => {
    const path = join(folder, `trained-${options.portable}`);
    const adapter = await trained();
    await writeAdapterFolder(path, adapter, { ...options, moduleName: 'tower.head' });
    const { modules } = await readPeft(path);
    expect([...modules.keys()]).toEqual(['tower.head']);
    const y = engine.computeLoRAForward(x, adapter);
    const delta = deltaOf(modules.get('tower.head')!, Array.from(x));
    expect(Math.max(...delta.map(Math.abs))).toBeGreaterThan(1e-3);
    expectSame(
      y,
      delta.map((value, i) => x[i] + value),
    );

    const back = await readAdapterFolder(path, engine.createAdapter('bob'));
    expect(back.userId).toBe('bob');
    expectSame(engine.computeLoRAForward(x, back), y);
    const more = await engine.updateAdapter(back, feedback);
    expect(more.version).toBe(2);
    expect(engine.deserializeAdapter(engine.serializeAdapter(back)).matrixB).toEqual(back.matrixB);
  });
});

describe('a folder of a smaller rank and another scaling', () => {
  it('fits, and the further ranks can still learn', async () => {
    const path = join(folder, 'small');
    const module = sampleModule(3, dim, dim, 0.01);
    await writePeft(path, new Map([['m', module]]), { portable: false });
    const owner = engine.createAdapter('cleo');
    const adapter = await readAdapterFolder(path, owner);
    expect([adapter.rank, adapter.scalingFactor]).toEqual([8, 4]);
    expectSame(
      engine.computeLoRAForward(x, adapter),
      deltaOf(module, Array.from(x)).map((value, i) => x[i] + value),
    );
    expect(adapter.matrixA.subarray(3 * dim)).toEqual(owner.matrixA.subarray(3 * dim));
    const next = await engine.updateAdapter(adapter, feedback);
    expect(Array.from({ length: dim }, (_, o) => next.matrixB[8 * o + 7]).some((value) => value !== 0)).toBe(true);
  });
});

describe('refused with a reason', () => {
  it.each([
    ['a larger rank', [['m', sampleModule(9, dim, dim, 1)]]],
    ['another dimension', [['m', sampleModule(2, 32, 32, 1)]]],
    ['no square', [['m', sampleModule(2, dim, 32, 1)]]],
    [
      'two modules',
      [
        ['m', sampleModule(2, dim, dim, 1)],
        ['n', sampleModule(2, dim, dim, 1)],
      ],
    ],
  ] as const)('%s', async (name, modules) => {
    const path = join(folder, name);
    await writePeft(path, new Map(modules as never));
    expect(await rejection(() => readAdapterFolder(path, engine.createAdapter('dan')))).toBe('ERR_ADAPTER_MISMATCH');
  });

  it('a broken adapter, and DoRA', async () => {
    const broken = { ...engine.createAdapter('eve'), matrixB: new Float32Array(3) };
    expect(await rejection(() => writeAdapterFolder(join(folder, 'broken'), broken))).toBe('ERR_LENGTH_MISMATCH');
    const options = { allowDora: true };
    const owner = engine.createAdapter('eve');
    expect(await rejection(() => readAdapterFolder(folder, owner, options))).toBe('ERR_FORMAT_UNSUPPORTED');
  });
});
