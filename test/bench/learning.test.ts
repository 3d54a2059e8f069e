import { expect, it } from 'vitest';
import { measureKeeping, measureTimes } from '../../bench/src/learning/program.js';
import { loadBaseModel } from '../../src/llm/language-model.js';
import { onlyJavaScript } from '../learning/decoder-speed.js';
import { root } from '../support/imports.js';

it.skipIf(onlyJavaScript)(
  'trainings are measured: their work grows with the examples, and incremental mode forgets less',
  async () => {
    const model = await loadBaseModel(`${root}/models/tiny-shakespeare-llama`);
    const [few, many] = await measureTimes(model, [4, 16], 1, () => {});
    expect([few.steps, many.steps]).toEqual([1, 4]);
    expect(many.tokens).toBeGreaterThan(3 * few.tokens);
    expect(Math.min(few.wallMs, few.cpuMs)).toBeGreaterThan(0);
    const [kept] = await measureKeeping(model, { default: {} }, [['where', 'how']], () => {});
    expect(kept.forgetting).toBeLessThan(0.7);
    expect(kept.learning).toBeGreaterThan(0.5);
    model.close();
  },
);
