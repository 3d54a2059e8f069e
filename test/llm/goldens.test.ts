/** That the files under test/golden/llm are read as they were written: what follows from them alone follows. */
import { describe, expect, it } from 'vitest';
import { LLM_GOLDENS, readLlmGolden } from '../support/llm-golden.js';

const VOCABULARY = 67;

function logSoftmax(logits: Float64Array): Float64Array {
  const most = Math.max(...logits);
  const sum = logits.reduce((total, value) => total + Math.exp(value - most), 0);
  return logits.map((value) => value - most - Math.log(sum));
}

describe.each(LLM_GOLDENS)('the golden of %s', (name) => {
  it('has losses and log-probabilities that follow from its logits', async () => {
    const { expected, tensor } = await readLlmGolden(name);
    for (const [i, { ids, labels, loss, target_log_probs: wanted }] of expected.sequences.entries()) {
      const logits = tensor(`logits.${i}`);
      const row = (t: number) => logSoftmax(logits.subarray(t * VOCABULARY, (t + 1) * VOCABULARY));
      const found = ids.flatMap((id, t) => (t > 0 && labels[t] !== -100 ? [row(t - 1)[id]] : []));
      expect(found).toHaveLength(wanted.length);
      for (const [k, value] of found.entries()) expect(value).toBeCloseTo(wanted[k], 10);
      expect(-found.reduce((sum, value) => sum + value) / found.length).toBeCloseTo(loss, 10);
      const last = tensor(`last_log_probs.${i}`);
      for (const [k, value] of row(ids.length - 1).entries()) expect(value).toBeCloseTo(last[k], 10);
    }
  });

  it('has a first step that follows from its gradient and its adapter', async () => {
    const { adapter, expected, tensor, names } = await readLlmGolden(name);
    const { learning_rate: rate, weight_decay: decay, eps } = expected;
    expect(names('grad.')).toHaveLength(2 * 2 * 7);
    let [squares, worst] = [0, 0];
    for (const key of names('grad.')) {
      const [, path, matrix] = /^(.+)\.(lora_A|lora_B)$/.exec(key) as unknown as [string, string, string];
      const before = adapter.get(path)?.[matrix === 'lora_A' ? 'loraA' : 'loraB'] as Float32Array;
      const [gradient, after] = [tensor(`grad.${key}`), tensor(`step1.${key}`)];
      expect(before).toHaveLength(gradient.length);
      for (let i = 0; i < before.length; i++) {
        const step = -rate * (gradient[i] / (Math.abs(gradient[i]) + eps) + decay * before[i]);
        worst = Math.max(worst, Math.abs(after[i] - before[i] - step));
        squares += gradient[i] ** 2;
      }
    }
    expect(worst).toBeLessThan(1e-12);
    expect(Math.sqrt(squares)).toBeCloseTo(expected.grad_norms[0], 10);
  });
});
