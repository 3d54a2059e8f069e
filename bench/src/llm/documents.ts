/** `npm run bench -- llm --docs`: its tables, from the newest records, into docs/benchmarks.md and README.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runOf } from '../documents.js';
import type { Machine } from '../machine.js';
import { decodingTable, swapTable } from './decoding.js';
import { forgettingTable } from './forgetting.js';
import type { LlmFigures } from './program.js';
import { epochTable, ratioLines, trainingTable } from './training.js';

export interface LlmRecord extends LlmFigures {
  date: string;
  commit: string;
  command: string;
  machine: Machine;
}

/** Throws an Error where a document lacks a place for a table. `file`: the records, one on each line, newest last. */
export function writeLlmDocuments(root: string, file: string): void {
  const records = readLlmRecords(file);
  const texts = [
    { name: 'docs/benchmarks.md', sections: llmSections(records) },
    { name: 'README.md', sections: { summary: llmSummary(records) } },
  ].map(({ name, sections }) => {
    const text = readFileSync(join(root, name), 'utf8');
    return { name, text: Object.entries(sections).reduce((text, each) => fillPlace(name, text, ...each), text) };
  });
  for (const { name, text } of texts) writeFileSync(join(root, name), text);
}

export function readLlmRecords(file: string): LlmRecord[] {
  return readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as LlmRecord);
}

/** Replaces what stands between `<!-- llm:NAME -->` and `<!-- /llm -->`. */
export function fillPlace(file: string, text: string, name: string, section: string): string {
  const place = new RegExp(`(<!-- llm:${name} -->\n)[\\s\\S]*?(<!-- /llm -->)`);
  if (!place.test(text)) throw new Error(`${file}: has no <!-- llm:${name} -->`);
  return text.replace(place, (_, start, end) => `${start}\n${section}\n\n${end}`);
}

/** Of each part, where it was measured, from the newest of `records` that has it. */
export function llmSections(records: readonly LlmRecord[]): Record<string, string> {
  const sections: Record<string, string> = {};
  const add = <Part extends keyof LlmFigures>(
    part: Part,
    section: (figures: NonNullable<LlmFigures[Part]>, threads: number) => string[],
  ): void => {
    const record = newest(records, part);
    const figures = record?.[part];
    if (figures) sections[part] = [...section(figures, record.threads), runOf(record)].join('\n\n');
  };
  add('training', (training, threads) => [
    `${threads} threads; ${training.peft}`,
    block(trainingTable(training)),
    ratioLines(training)
      .map((line) => `- ${line}`)
      .join('\n'),
  ]);
  add('epochs', (epochs) => [block(epochTable(epochs))]);
  add('decoding', (decoding, threads) => [
    `${threads} threads; ${decoding.llamaCpp}`,
    block(decodingTable(decoding)),
    block(swapTable(decoding)),
  ]);
  add('forgetting', (forgetting) => [block(forgettingTable(forgetting))]);
  return sections;
}

/** What a reader wants to know first, one row for each model and task. */
export function llmSummary(records: readonly LlmRecord[]): string {
  const training = newest(records, 'training')?.training;
  const decoding = newest(records, 'decoding')?.decoding;
  const rows = Object.entries(training?.ratios ?? {}).map(([model, { better }]) => {
    const speeds = training?.rows.filter((row) => row.model === model && row.what.startsWith('lorakeet')) ?? [];
    const speed = Math.max(...speeds.map((row) => row.tokensPerSecond));
    return [`training, ${model}, rank 16 on q, k, v`, speed.toFixed(0), `PEFT on PyTorch`, better.toFixed(2)];
  });
  for (const { model, weightStorage, sequences, tokensPerSecond, ratio } of decoding?.rows ?? []) {
    if (weightStorage !== 'bf16' || ratio === null) continue;
    const what = `decoding, ${model}, ${sequences === 1 ? 'one answer' : `${sequences} answers at once`}`;
    rows.push([what, tokensPerSecond.toFixed(0), 'llama.cpp', ratio.toFixed(2)]);
  }
  return [
    '| language models, two cores | tokens/s | against | × |',
    '|---|---:|---|---:|',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
  ].join('\n');
}

function newest(records: readonly LlmRecord[], part: keyof LlmFigures): LlmRecord | undefined {
  return records.findLast((record) => record[part] !== undefined);
}

function block(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
