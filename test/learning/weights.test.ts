import { describe, expect, it } from 'vitest';
import { decodeMemory, decodeWeights, encodeMemory, encodeWeights } from '../../src/learning/adapter-weights.js';
import { TrainingExample } from '../../src/learning/training-example.js';
import { decodeLanguageAdapter, encodeLanguageAdapter } from '../../src/llm/adapter-file.js';
import type { LanguageAdapterState } from '../../src/llm/language-adapter.js';

const LIMIT = 10 * 1024 * 1024;
const targets = [{ layer: 0, module: 'q_proj', rank: 1, scaling: 2 }] as const;
const stateOf = (count: number): LanguageAdapterState => ({
  targets,
  steps: 3,
  parameters: Float32Array.from({ length: count }, (_, i) => (i % 100) / 8),
});

/** The number of parameters with which the bytes are just as many as the limit. */
function fullState(dtype: 'F32' | 'BF16'): LanguageAdapterState {
  const width = dtype === 'F32' ? 4 : 2;
  const room = LIMIT - encodeLanguageAdapter(stateOf(1e6), { dtype }).length;
  const state = stateOf(1e6 + room / width);
  const rest = LIMIT - encodeLanguageAdapter(state, { dtype }).length; // the header may have another length now
  return stateOf(state.parameters.length + rest / width);
}

describe('the weights of an adapter', () => {
  it('may take ten megabytes and not a byte more', () => {
    const full = fullState('BF16');
    const bytes = encodeWeights('adapter', full).value;
    expect(bytes.length).toBe(LIMIT);
    const over = encodeWeights('trained adapter', stateOf(full.parameters.length + 1));
    expect(over.error).toBe('Trained adapter size (10.00 MB) exceeds 10 MB limit');
    const far = encodeWeights('merged adapter', stateOf(2 * full.parameters.length));
    expect(far.error).toBe('Merged adapter size (20.00 MB) exceeds 10 MB limit');
  });

  it('are single precision as long as there is room', async () => {
    const full = fullState('F32');
    const [last, next] = [full, stateOf(full.parameters.length + 1)].map((state) => encodeWeights('adapter', state));
    expect(last.value.length).toBe(LIMIT);
    expect(next.value.length).toBeLessThan(0.51 * LIMIT);
    const read = (await decodeWeights(last.value)).value.parameters;
    expect(Buffer.compare(Buffer.from(read.buffer), Buffer.from(full.parameters.buffer))).toBe(0);
    expect((await decodeWeights(next.value)).value.parameters.length).toBe(full.parameters.length + 1);
  });

  it('are finite', () => {
    const state = stateOf(8);
    state.parameters[5] = Number.NaN;
    expect(encodeWeights('trained adapter', state).error).toBe(
      'Failed to validate trained adapter: parameters[5] is NaN',
    );
  });

  it('are refused where they are damaged', async () => {
    const bytes = encodeWeights('adapter', stateOf(8)).value;
    expect((await decodeWeights(new Uint8Array())).error).toBe('Weights cannot be empty');
    expect((await decodeWeights(bytes.subarray(0, -1))).isFailure).toBe(true);
    expect((await decodeWeights(bytes.map((byte, i) => (i === bytes.length - 40 ? byte ^ 1 : byte)))).isFailure).toBe(
      true,
    );
  });
});

describe('the memory of an adapter', () => {
  const examples = [new TrainingExample('in', 'out', 0.5), new TrainingExample('é', '🙂')];

  it('comes back as it was', async () => {
    const fisher = Float32Array.of(1, 2, 3);
    const anchor = Float32Array.of(4, 5, 6);
    const memory = { fisher, anchor, examples };
    expect((await decodeMemory(encodeMemory(stateOf(3), memory))).value).toEqual(memory);
    expect((await decodeMemory(encodeMemory(stateOf(3), { examples }))).value).toEqual({ examples });
  });

  it('is refused where it is damaged', async () => {
    const bytes = encodeMemory(stateOf(3), { examples });
    expect((await decodeMemory(bytes.subarray(1))).isFailure).toBe(true);
    const { state } = await decodeLanguageAdapter(bytes);
    for (const broken of [7, [['in', '', 1]], [null]]) {
      const meta = { examples: broken as never };
      expect((await decodeMemory(encodeLanguageAdapter(state, { meta }))).error).toBe('examples are damaged');
    }
  });
});
