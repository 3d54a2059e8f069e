import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type DecodingRow, decodingTable } from '../../bench/src/llm/decoding.js';
import { fillPlace, llmSections, llmSummary, readLlmRecords } from '../../bench/src/llm/documents.js';
import { LineWorker } from '../../bench/src/llm/line-worker.js';
import { median, tokenAt } from '../../bench/src/llm/task.js';
import { ratioLines } from '../../bench/src/llm/training.js';
import type { Machine } from '../../bench/src/machine.js';
import { root } from '../support/imports.js';

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

const machine = { cpu: 'C', cores: 2, platform: 'p', node: 'v1' } as Machine;
const record = { date: '2026-01-02T00:00:00Z', commit: 'abcdefghij', command: 'c', machine, threads: 2 };

it('makes the sections of the newest figures of each part', () => {
  const older = { ...record, commit: 'older', training: { ...training, peft: 'peft 0' }, forgetting: [] };
  const sections = llmSections([older, { ...record, training }]);
  expect(Object.keys(sections)).toEqual(['training', 'forgetting']);
  expect(sections.training).toContain('peft 1');
  expect(sections.training).toMatch(/C, 2 cores, p, Node v1, 2026-01-02, commit `abcdefg`, `c`\.$/);
  expect(sections.forgetting).toContain('`older`');
  expect(ratioLines(training)).toEqual(["m: 2.00 × as fast as PEFT's better one, 1.50 × in float32"]);
});

it('sums up training and decoding in bf16', () => {
  const row = { model: 'm', weightStorage: 'bf16' as const, sequences: 1, tokensPerSecond: 50.4 };
  const rows: DecodingRow[] = [
    { ...row, llamaCpp: { 1: 20, 2: 25 }, ratio: 2.016 },
    { ...row, weightStorage: 'f32' as const, llamaCpp: { 1: 1 }, ratio: 50 },
    { ...row, model: 'alone', llamaCpp: {}, ratio: null },
  ];
  const decoding = { rows, swaps: [], llamaCpp: 'llama.cpp 1' };
  expect(decodingTable(decoding).split('\n')[0]).toMatch(/llama\.cpp, 1 thr\. +llama\.cpp, 2 thr\. +×$/);
  expect(
    llmSummary([{ ...record, training, decoding }])
      .split('\n')
      .slice(2),
  ).toEqual([
    '| training, m, rank 16 on q, k, v | 256 | PEFT on PyTorch | 2.00 |',
    '| decoding, m, one answer | 50 | llama.cpp | 2.02 |',
  ]);
});

it('fills the places of a document and refuses one without them', () => {
  const text = 'a\n<!-- llm:training -->\nold\n<!-- /llm -->\nb\n';
  const filled = fillPlace('x.md', text, 'training', 'new');
  expect(filled).toBe('a\n<!-- llm:training -->\n\nnew\n\n<!-- /llm -->\nb\n');
  expect(fillPlace('x.md', filled, 'training', 'new')).toBe(filled);
  expect(() => fillPlace('x.md', text, 'epochs', '')).toThrow('x.md: has no <!-- llm:epochs -->');
});

it('the documents have figures that were recorded', () => {
  const records = readLlmRecords(join(root, 'bench/results/llm.jsonl'));
  const everWritten = records.map((_, i) => records.slice(0, i + 1));
  const text = readFileSync(join(root, 'docs/benchmarks.md'), 'utf8');
  for (const part of ['training', 'epochs', 'decoding', 'forgetting']) {
    expect(
      everWritten.some((until) => text.includes(`\n${llmSections(until)[part]}\n`)),
      part,
    ).toBe(true);
  }
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  expect(everWritten.some((until) => readme.includes(`\n${llmSummary(until)}\n`))).toBe(true);
});
