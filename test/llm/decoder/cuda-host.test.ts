/**
 * The CUDA decoder without a GPU: the same source built for the host (native/cuda/decoder/launch_host.cc), through the
 * addon and everything that the other decoders are held to; then what only a device can do: run its blocks in another
 * order, run out of memory, fail in the middle.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isMainThread } from 'node:worker_threads';
import { afterAll, afterEach, describe, expect, it, vi } from 'vitest';
import { nativeInfo } from '../../../src/kernels/native.js';
import type { DecoderBackend, DecoderModel, ForwardOptions } from '../../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../../src/llm/decoder/js/model.js';
import { createNativeDecoder } from '../../../src/llm/decoder/native/model.js';
import { isRequired } from '../../support/coverage-report.js';
import { root } from '../../support/imports.js';
import { BATCH, COEFFICIENTS, createAdapter, decode, expectClose, learn } from './blocks.js';
import { allTargets, batchOf, createRandomModel, randomTokens, randomValues, SHAPE, SHAPES } from './fixtures.js';
import { describeGoldens } from './goldens.js';
import { describeDecoder } from './suite.js';
import { describeTinyShakespeare } from './tiny-shakespeare.js';

const shim = join(root, 'build/Release/liblorakeet_cuda_host.so');
const built = nativeInfo().available && existsSync(shim);

if (built && isMainThread) {
  // a process opens one CUDA module once; this one is the test file's own
  process.env.LORAKEET_CUDA_MODULE = shim;
  const backend = createNativeDecoder({ device: 'cuda' });
  describe('on the host', () => {
    describeDecoder(backend, { logProbability: 1e-5, gradient: 1e-3 });
    describeGoldens(backend, { logit: 1e-4, gradient: 1e-4, step: 1e-2 });
    describeTinyShakespeare(backend, { validation: false });
    describeDevice(backend);
  });
} else {
  it('has no host build', (test) => {
    expect(!built && isRequired('cpu'), `LORAKEET_REQUIRE lists cpu, and there is no ${shim}`).toBe(false);
    test.skip(built ? 'a thread cannot choose the module of its process' : 'the native parts were not built here');
  });
}

function describeDevice(backend: DecoderBackend): void {
  const made: DecoderModel[] = [];
  afterEach(() => vi.unstubAllEnvs());
  afterAll(() => {
    for (const model of made) model.close();
  });
  const create = (...[of, ...rest]: Parameters<typeof createRandomModel>) => {
    const model = createRandomModel(of, ...rest);
    made.push(model);
    return model;
  };

  it('is the host', () => {
    expect(create(backend)).toMatchObject({ backend: 'cuda', device: 'host-shim' });
  });

  for (const reversed of ['', '1']) {
    it(`learns as the reference does, in more than one block${reversed && ', last to first'}`, async () => {
      vi.stubEnv('LORAKEET_SHIM_REVERSED', reversed);
      const shape = { ...SHAPES['norms of queries and keys'], keyValueHeads: 1 };
      const [reference, model] = [create(jsDecoder, shape), create(backend, shape)];
      const random = { dropout: 0.2, dropoutSeed: 5, sampleSeed: 3 };
      const expected = await learn(reference, random);
      for (const options of [{}, { recompute: true }, { recompute: true, coefficients: COEFFICIENTS }]) {
        const found = await learn(model, { ...random, ...options });
        expect(found.labels).toEqual(expected.labels);
        expectClose(found.logProbabilities, expected.logProbabilities, 1e-5);
        expectClose(found.gradient, expected.gradient, 1e-4);
      }
      expectClose(await decode(model), await decode(reference), 1e-5);
    });
  }

  // Of weights that are not kept in the type that is multiplied, cuBLAS gets a copy.
  for (const arithmetic of ['f32', 'bf16'] as const) {
    for (const weightStorage of ['f32', 'bf16', 'f16', 'int8'] as const) {
      it(`multiplies in ${arithmetic} with weights kept as ${weightStorage}`, async () => {
        const expected = await learn(create(jsDecoder, SHAPE, { weightStorage }));
        const found = await learn(create(backend, SHAPE, { weightStorage, arithmetic }));
        const [logs, gradients] = arithmetic === 'f32' ? [1e-5, 1e-4] : [0.02, 0.1];
        expectClose(found.logProbabilities, expected.logProbabilities, logs);
        expectClose(found.gradient, expected.gradient, gradients);
        const exact = expected.gradient.every((g, i) => Math.abs(g - found.gradient[i]) < 1e-4);
        expect(exact, 'bf16 rounds').toBe(arithmetic === 'f32');
      });
    }
  }

  it('unpacks a large weight piece by piece', async () => {
    const shape = { ...SHAPE, vocabSize: 1 << 20, tied: true };
    const batch = { ...batchOf([13]), tokens: randomTokens('wide', 13, shape.vocabSize) };
    const coefficients = randomValues('wide', 12, 1);
    const run = async (of: DecoderBackend) => {
      const model = create(of, shape, { weightStorage: 'bf16', threads: 2 });
      const adapter = await createAdapter(model);
      const pass = model.createPass();
      const { logProbabilities } = await pass.forward(adapter, batch, { keep: true, coefficients });
      await pass.backward(adapter);
      return [logProbabilities, await adapter.read('gradient')];
    };
    const [found, expected] = [await run(backend), await run(createNativeDecoder())];
    expectClose(found[0], expected[0], 1e-5);
    expectClose(found[1], expected[1], 1e-3); // the host adds a million numbers one after another in fp32
  });

  it('says what memory a pass and a cache take', () => {
    const model = create(backend);
    const size = { tokens: 300, sequences: 1, targets: 299 };
    const bytes = (options: ForwardOptions) => model.passBytes(allTargets(SHAPE), size, options);
    expect(bytes({})).toBeLessThan(bytes({ keep: true }));
    expect(bytes({ keep: true, recompute: true })).toBeLessThan(bytes({ keep: true }));
    expect(model.cacheBytes(2, 100)).toBeGreaterThan(2 * 2 * 100 * 2 * 12 * 4);
  });

  it('refuses by name what the device has no memory for, and goes on', async () => {
    const model = create(backend);
    const adapter = await createAdapter(model);
    const pass = model.createPass();
    const outOfMemory = expect.objectContaining({
      code: 'ERR_OUT_OF_MEMORY',
      message: expect.stringContaining('the device has no memory'),
    });
    const { logProbabilities } = await pass.forward(adapter, BATCH);
    vi.stubEnv('LORAKEET_SHIM_MEMORY_BYTES', '100');
    expect(() => model.createCache(1, 64)).toThrow(outOfMemory);
    expect(() => model.createAdapter(allTargets(SHAPE))).toThrow(outOfMemory);
    expect(() => backend.createModel(SHAPE, model.options)).toThrow(outOfMemory);
    await expect(pass.forward(adapter, BATCH, { keep: true })).rejects.toEqual(outOfMemory);
    await expect(pass.backward(adapter, COEFFICIENTS)).rejects.toMatchObject({ code: 'ERR_INVALID_STATE' });
    vi.stubEnv('LORAKEET_SHIM_MEMORY_BYTES', '');
    expect((await pass.forward(adapter, BATCH)).logProbabilities).toEqual(logProbabilities);
  });

  /** Lets every launch of a call fail in turn, until none is left to fail. */
  async function failEverywhere(call: () => Promise<unknown>, check: () => Promise<void>): Promise<number> {
    for (let launch = 1; ; launch++) {
      vi.stubEnv('LORAKEET_SHIM_FAIL_LAUNCH', String(launch));
      const error = await call().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      vi.stubEnv('LORAKEET_SHIM_FAIL_LAUNCH', '');
      if (!error) return launch;
      expect(error).toMatchObject({ code: 'ERR_BACKEND_FAILURE', message: expect.stringContaining('told to fail') });
      await check();
    }
  }

  it('changes nothing when the device fails in the middle', async () => {
    const model = create(backend);
    const adapter = await createAdapter(model);
    const before = randomValues('before', adapter.parameterCount, 1);
    await adapter.write('gradient', before);
    const pass = model.createPass();
    const batch = batchOf([11, 4]);
    const coefficients = randomValues('failing', batch.positions.length, 1);
    const forward = () => pass.forward(adapter, batch, { keep: true });
    await forward();
    const backward = await failEverywhere(
      () => pass.backward(adapter, coefficients),
      async () => {
        expect(await adapter.read('gradient')).toEqual(before);
        await forward();
      },
    );
    expect(backward).toBeGreaterThan(50);
    expect(await adapter.read('gradient')).not.toEqual(before);

    const cache = model.createCache(1, 30);
    const tokens = randomTokens('failing', 12);
    const expected = await cache.decode([{ sequence: 0, tokens, adapter }]);
    cache.truncate(0, 0);
    await failEverywhere(
      () => cache.decode([{ sequence: 0, tokens, adapter }]),
      async () => expect(cache.length(0)).toBe(0),
    );
    cache.truncate(0, 0);
    expect(await cache.decode([{ sequence: 0, tokens, adapter }])).toEqual(expected);

    const state = () => Promise.all([adapter.read('parameters'), adapter.read('moment1'), adapter.read('gradient')]);
    const unchanged = await state();
    const check = async () => expect(await state()).toEqual(unchanged);
    await failEverywhere(() => adapter.step({ learningRate: 0.1, step: 1 }), check);
    expect(await state()).not.toEqual(unchanged);
  });

  it('refuses a gradient that is not finite, and forgets it', async () => {
    const model = create(backend);
    const adapter = await createAdapter(model);
    const parameters = await adapter.read('parameters');
    const batch = batchOf([5]);
    const pass = model.createPass();
    await pass.forward(adapter, batch, { keep: true });
    await pass.backward(adapter, new Float32Array(batch.positions.length).fill(3e38));
    const step = adapter.step({ learningRate: 0.1, step: 1 });
    await expect(step).rejects.toMatchObject({ code: 'ERR_NOT_FINITE' });
    expect(await adapter.read('parameters')).toEqual(parameters);
    expect(await adapter.read('gradient')).toEqual(new Float32Array(adapter.parameterCount));
  });

  it('refuses heads that attention has no room for', () => {
    const shape = { ...SHAPE, headDim: 4096, inverseFrequencies: new Float64Array(2048).fill(1) };
    expect(() => backend.createModel(shape, { weightStorage: 'f32', arithmetic: 'f32', threads: 1 })).toThrow(
      expect.objectContaining({ code: 'ERR_BACKEND_FAILURE', message: expect.stringContaining('headDim') }),
    );
  });
}
