import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fillPlace, llmSections } from '../../bench/src/llm/documents.js';
import { LineWorker } from '../../bench/src/llm/line-worker.js';
import { median, tokenAt } from '../../bench/src/llm/task.js';
import { ratioLines } from '../../bench/src/llm/training.js';

const training = {
  rows: [
    { model: 'm', what: 'lorakeet f32', stepSeconds: 2, cpuSecondsPerStep: 3, tokensPerSecond: 256, peakBytes: 1e6 },
  ],
  ratios: { m: { better: 2, float32: 1.5 } },
  peft: 'peft 1',
};

it('asks a process line by line, and says why it ended', async () => {
  const echo = new LineWorker(process.execPath, [
    '-e',
    `process.getBuiltinModule('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
      if (line.includes('fail')) throw new TypeError('it was asked to fail');
      console.log(line);
    });`,
  ]);
  expect(await echo.ask({ a: 1 })).toEqual({ a: 1 });
  await expect(echo.ask({ fail: true })).rejects.toThrow('TypeError: it was asked to fail');
  await echo.close();
  const none = new LineWorker(join(tmpdir(), 'no-such-program'), []);
  await expect(none.ask({})).rejects.toThrow('ENOENT');
  await none.close();
});

it('asks for the tokens that peft_train.py asks for', () => {
  // token_at(i, 32000) for i of 0, 1, 2, 1000 in Python
  expect([0, 1, 2, 1000].map((i) => tokenAt(i, 32_000))).toEqual([889, 24563, 25453, 27093]);
});

it('takes the middle of an odd and of an even number of values', () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it('writes what was measured into its places and refuses a document without them', () => {
  const sections = llmSections({ threads: 2, training });
  expect(Object.keys(sections)).toEqual(['training']);
  expect(ratioLines(training)).toEqual(["m: 2.00 × as fast as PEFT's better one, 1.50 × in float32"]);
  const text = 'a\n<!-- llm:training -->\nold\n<!-- /llm -->\nb\n';
  const filled = fillPlace(text, 'training', 'new');
  expect(filled).toBe('a\n<!-- llm:training -->\n\nnew\n\n<!-- /llm -->\nb\n');
  expect(fillPlace(filled, 'training', 'new')).toBe(filled);
  expect(() => fillPlace(text, 'epochs', '')).toThrow('llm:epochs');
});
