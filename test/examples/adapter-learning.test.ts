import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runBasic } from '../../examples/adapter-learning/basic.js';
import { runContinual } from '../../examples/adapter-learning/continual.js';
import { runFeedback } from '../../examples/adapter-learning/feedback.js';
import { runMerging } from '../../examples/adapter-learning/merging.js';
import { AdapterLearningEngine, InMemoryAdapterStorage, InMemoryBlobStorage } from '../../src/learning/index.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { onlyJavaScript } from '../learning/decoder-speed.js';
import { root } from '../support/imports.js';

type Example = (engine: AdapterLearningEngine, say: (line: string) => void) => Promise<void>;

describe.skipIf(onlyJavaScript)('the examples of adapter learning', () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  });
  afterAll(() => model.close());

  const linesOf = async (example: Example) => {
    const lines: string[] = [];
    const engine = new AdapterLearningEngine(model, new InMemoryAdapterStorage(), new InMemoryBlobStorage());
    await example(engine, (line) => lines.push(line));
    engine.close();
    return lines;
  };
  const numbersOf = (line: string) => [...line.matchAll(/[+-]?\d+\.\d+/g)].map(Number);

  it('basic: learns what things are like', async () => {
    const [trained, losses, without, answer] = await linesOf(runBasic);
    expect(trained).toMatch(/^version 2 after 30 steps, loss from /);
    const [before, after] = numbersOf(losses);
    expect(after).toBeLessThan(0.5 * before);
    expect(without).not.toContain('It is red.');
    expect(answer).toBe('with: "It is red."');
  });

  it('continual: forgets less where it is told to hold on', async () => {
    const [plain, incremental] = (await linesOf(runContinual)).map(numbersOf);
    expect(plain[0]).toBe(incremental[0]);
    expect(incremental[1] - incremental[0]).toBeLessThan(0.7 * (plain[1] - plain[0]));
  });

  it('feedback: moves each text as the signal says', async () => {
    const [, ...changes] = (await linesOf(runFeedback)).map((line) => numbersOf(line.slice(line.lastIndexOf('"')))[0]);
    expect(changes.map((change) => Math.sign(change))).toEqual([1, 1, -1, 1, -1, 0]);
  });

  it('merging: keeps something of both tasks', async () => {
    const [base, ...others] = (await linesOf(runMerging)).map(numbersOf);
    const [farewells, greetings, ...merged] = others;
    expect(farewells[0]).toBeLessThan(0.5 * base[0]);
    expect(greetings[1]).toBeLessThan(0.5 * base[1]);
    expect(merged.length).toBe(4);
    for (const [first, second] of merged) {
      expect(first).toBeLessThan(base[0]);
      expect(second).toBeLessThan(base[1]);
    }
  });
});
