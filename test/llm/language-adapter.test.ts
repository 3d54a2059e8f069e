import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodePeft, encodePeft } from '../../src/formats.js';
import { pathOf, placeOf, requireAdapterConfig } from '../../src/llm/adapter-config.js';
import {
  decodeLanguageAdapter,
  encodeLanguageAdapter,
  encodeLanguageAdapterWithPauses,
} from '../../src/llm/adapter-file.js';
import type { DecoderModel } from '../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../src/llm/decoder/js/model.js';
import { adapterFromModules, createLanguageAdapter, type LanguageAdapter } from '../../src/llm/language-adapter.js';
import { batchOf, createRandomModel, randomValues, SHAPE } from './decoder/fixtures.js';

describe('an adapter of a language model', () => {
  let model: DecoderModel;
  beforeAll(() => {
    model = createRandomModel(jsDecoder);
  });
  afterAll(() => model.close());

  const score = async (adapter?: LanguageAdapter) => {
    const pass = model.createPass();
    const { logProbabilities } = await pass.forward(adapter?.decoder, batchOf([9, 5]));
    pass.close();
    return logProbabilities;
  };
  /** One that changes something, and has learnt. */
  const learnt = async () => {
    const adapter = await createLanguageAdapter(model, { rank: 2, alpha: 3, targetModules: ['k_proj', 'up_proj'] });
    const values = (seed: string) => randomValues(seed, adapter.parameterCount, 0.4);
    await adapter.restore({
      targets: adapter.targets,
      steps: 17,
      parameters: values('parameters'),
      moment1: values('moment1'),
      moment2: values('moment2').map(Math.abs),
      fisher: values('fisher').map(Math.abs),
      anchor: values('anchor'),
    });
    return adapter;
  };

  it('changes nothing when it is new, has A of its seed and as many parameters as its shape says', async () => {
    const adapter = await createLanguageAdapter(model, { rank: 3, layers: [1], rsLora: true });
    expect(await score(adapter)).toEqual(await score());
    const query = SHAPE.heads * SHAPE.headDim;
    const key = SHAPE.keyValueHeads * SHAPE.headDim;
    expect(adapter.parameterCount).toBe(3 * (SHAPE.hiddenSize + query + SHAPE.hiddenSize + key));
    expect(adapter.targets).toEqual([
      { layer: 1, module: 'q_proj', rank: 3, scaling: 6 / Math.sqrt(3) },
      { layer: 1, module: 'v_proj', rank: 3, scaling: 6 / Math.sqrt(3) },
    ]);
    const { parameters } = await adapter.state();
    const again = await createLanguageAdapter(model, { rank: 3, layers: [1], rsLora: true });
    expect((await again.state()).parameters).toEqual(parameters);
    const other = await createLanguageAdapter(model, { rank: 3, layers: [1], rsLora: true, seed: 1 });
    expect((await other.state()).parameters).not.toEqual(parameters);
    const a = parameters.subarray(0, 3 * SHAPE.hiddenSize);
    expect(Math.max(...a.map(Math.abs))).toBeLessThanOrEqual(1 / Math.sqrt(SHAPE.hiddenSize));
    expect(Math.max(...a.map(Math.abs))).toBeGreaterThan(0.9 / Math.sqrt(SHAPE.hiddenSize));
  });

  it('goes through bytes with all that it has learnt', async () => {
    const adapter = await learnt();
    const state = await adapter.state();
    const decoded = await decodeLanguageAdapter(encodeLanguageAdapter(state, { meta: { note: 'π' } }));
    expect(decoded).toEqual({ state, meta: { note: 'π' } });
    for (const options of [{}, { dtype: 'BF16', meta: { note: 'π' } }] as const) {
      expect(await encodeLanguageAdapterWithPauses(state, options)).toEqual(encodeLanguageAdapter(state, options));
    }
    const half = await decodeLanguageAdapter(encodeLanguageAdapter(state, { dtype: 'BF16' }));
    expect(half.state.parameters).not.toEqual(state.parameters);
    expect(Math.max(...half.state.parameters.map((v, i) => Math.abs(v - state.parameters[i])))).toBeLessThan(0.002);
    expect(half.state.fisher).toEqual(state.fisher);
    const fresh = await (await createLanguageAdapter(model)).state();
    const { state: restored } = await decodeLanguageAdapter(encodeLanguageAdapter(fresh));
    expect(restored).toEqual({ targets: fresh.targets, steps: 0, parameters: fresh.parameters });
  });

  it('is not read from damaged bytes', async () => {
    const bytes = encodeLanguageAdapter(await (await learnt()).state());
    const refused = (damaged: Uint8Array) =>
      expect(decodeLanguageAdapter(damaged)).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_(ADAPTER|FORMAT)/),
      });
    for (let i = 0; i < bytes.length; i += 97) await refused(bytes.with(i, bytes[i] ^ 4));
    for (const length of [0, 7, 60, bytes.length - 1]) await refused(bytes.slice(0, length));
    await expect(decodeLanguageAdapter('x' as never)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });

  it('goes through PEFT files and computes the same', async () => {
    const adapter = await learnt();
    const files = encodePeft(await adapter.modules(), { portable: false });
    const { modules } = await decodePeft(files);
    const imported = await adapterFromModules(model, modules);
    expect(await score(imported)).toEqual(await score(adapter));
    expect((await imported.modules()).get('model.layers.1.mlp.up_proj')).toEqual({
      ...(await adapter.modules()).get('model.layers.1.mlp.up_proj'),
      fisher: undefined,
      anchor: undefined,
    });
  });

  it('keeps Fisher and anchor as a module of merges', async () => {
    const adapter = await learnt();
    const again = await adapterFromModules(model, await adapter.modules());
    const [one, two] = [await adapter.state(), await again.state()];
    expect([two.parameters, two.fisher, two.anchor]).toEqual([one.parameters, one.fisher, one.anchor]);
  });

  it('knows its tensors by the paths of Hugging Face', () => {
    expect(pathOf({ layer: 3, module: 'gate_proj' })).toBe('model.layers.3.mlp.gate_proj');
    expect(placeOf('model.layers.12.self_attn.o_proj')).toEqual({ layer: 12, module: 'o_proj' });
    for (const path of [
      'model.layers.1.mlp.q_proj',
      'lm_head',
      'model.layers.x.mlp.up_proj',
      'xmodel.layers.1.mlp.up_proj',
    ]) {
      expect(placeOf(path)).toBeUndefined();
    }
  });

  it('refuses configurations and modules that do not fit', async () => {
    const bad = (config: object) =>
      expect(() => requireAdapterConfig(SHAPE, config)).toThrow(
        expect.objectContaining({ code: 'ERR_INVALID_CONFIG' }),
      );
    bad({ rank: 0 });
    bad({ alpha: 0 });
    bad({ alpha: Number.NaN });
    bad({ targetModules: [] });
    bad({ targetModules: ['q_proj', 'q_proj'] });
    bad({ targetModules: ['lm_head'] });
    bad({ layers: [2] });
    bad({ rnak: 3 });
    const modules = await (await learnt()).modules();
    const module = [...modules.values()][0];
    const mismatch = (path: string, changed: object) =>
      expect(adapterFromModules(model, new Map([[path, { ...module, ...changed }]]))).rejects.toMatchObject({
        code: 'ERR_ADAPTER_MISMATCH',
      });
    await mismatch('model.layers.7.self_attn.k_proj', {});
    await mismatch('model.layers.0.self_attn.kk_proj', {});
    await mismatch('model.layers.0.self_attn.o_proj', {});
    const adapter = await learnt();
    const other = await (await createLanguageAdapter(model)).state();
    await expect(adapter.restore(other)).rejects.toMatchObject({ code: 'ERR_ADAPTER_MISMATCH' });
  });
});
