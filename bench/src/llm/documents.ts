/** `npm run bench -- llm --docs`: its tables, into docs/benchmarks.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodingTable, swapTable } from './decoding.js';
import { forgettingTable } from './forgetting.js';
import type { LlmFigures } from './program.js';
import { epochTable, ratioLines, trainingTable } from './training.js';

/** Throws an Error where the document lacks a place for a table. */
export function writeLlmDocuments(root: string, figures: LlmFigures): void {
  const file = join(root, 'docs', 'benchmarks.md');
  let text = readFileSync(file, 'utf8');
  for (const [name, section] of Object.entries(llmSections(figures))) text = fillPlace(text, name, section);
  writeFileSync(file, text);
}

/** Replaces what stands between `<!-- llm:NAME -->` and `<!-- /llm -->`. */
export function fillPlace(text: string, name: string, section: string): string {
  const place = new RegExp(`(<!-- llm:${name} -->\n)[\\s\\S]*?(<!-- /llm -->)`);
  if (!place.test(text)) throw new Error(`docs/benchmarks.md: has no <!-- llm:${name} -->`);
  return text.replace(place, (_, start, end) => `${start}\n${section}\n\n${end}`);
}

/** Of what was measured. */
export function llmSections({ threads, training, epochs, decoding, forgetting }: LlmFigures): Record<string, string> {
  const sections: Record<string, string> = {};
  if (training) {
    const ratios = ratioLines(training).map((line) => `- ${line}`);
    sections.training = [`${threads} threads; ${training.peft}`, block(trainingTable(training)), ...ratios].join(
      '\n\n',
    );
  }
  if (epochs) sections.epochs = block(epochTable(epochs));
  if (decoding) {
    const tables = [block(decodingTable(decoding)), block(swapTable(decoding))];
    sections.decoding = [`${threads} threads; ${decoding.llamaCpp}`, ...tables].join('\n\n');
  }
  if (forgetting) sections.forgetting = block(forgettingTable(forgetting));
  return sections;
}

function block(text: string): string {
  return `\`\`\`text\n${text}\n\`\`\``;
}
