import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MODEL_SHAPES, writeRandomModel } from '../../bench/src/llm/random-model.js';
import { parseModelConfig } from '../../src/llm/model-config.js';
import { openModelFolder } from '../../src/llm/model-folder.js';
import { temporaryFolder } from '../adapter/formats/helpers.js';

const SMALL = { vocab_size: 40_000, hidden_size: 32, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8 };
const folder = temporaryFolder();

describe('a random model for timing', () => {
  it('has the shape, the type and the numbers that were asked for', async () => {
    const path = join(folder, 'bf16');
    await writeRandomModel(path, { ...MODEL_SHAPES['0.5b'], ...SMALL, intermediate_size: 48, num_hidden_layers: 2 });
    const model = await openModelFolder(path);
    expect(model.config).toMatchObject({ modelType: 'qwen2', dtype: 'bf16' });
    expect(model.config.shape).toMatchObject({ layers: 2, biases: ['q_proj', 'k_proj', 'v_proj'] });
    const [embedding, norm] = model.tensors;
    const values = await model.readFloat32(embedding);
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    expect(Math.abs(mean)).toBeLessThan(1e-4);
    expect(Math.abs(deviation - 0.02)).toBeLessThan(1e-4);
    expect(new Set(await model.readFloat32(norm))).toEqual(new Set([1]));
    await model.close();
  });

  it('is the same for the same seed', async () => {
    const hashes = [];
    for (const [name, seed] of [
      ['a', 1],
      ['b', 1],
      ['c', 2],
    ] as const) {
      const path = join(folder, name);
      const config = { ...MODEL_SHAPES['15m'], ...SMALL, intermediate_size: 48, num_hidden_layers: 1 };
      await writeRandomModel(path, config, { seed, dtype: 'F32' });
      hashes.push(
        createHash('sha256')
          .update(readFileSync(join(path, 'model.safetensors')))
          .digest('hex'),
      );
    }
    expect(hashes[1]).toBe(hashes[0]);
    expect(hashes[2]).not.toBe(hashes[0]);
  });

  it('comes in the sizes that its name says', () => {
    for (const [name, millions] of [
      ['15m', 15],
      ['135m', 134],
      ['0.5b', 494],
    ] as const) {
      const { shape } = parseModelConfig(Buffer.from(JSON.stringify(MODEL_SHAPES[name])));
      const width = shape.headDim * (2 * shape.heads + 2 * shape.keyValueHeads);
      const perLayer = shape.hiddenSize * (width + 3 * shape.intermediateSize);
      const count = shape.vocabSize * shape.hiddenSize + shape.layers * perLayer;
      expect(Math.round(count / 1e6)).toBe(millions);
    }
  });
});
