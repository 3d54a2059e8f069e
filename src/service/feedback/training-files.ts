/** Training examples from JSONL files. */
import { describe } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { TextExample } from '../../llm/text-examples.js';
import type { JsonObject } from './feedback.js';
import { type JsonLinesOptions, type JsonLinesSource, type LineError, readJsonLines } from './json-lines.js';

const SHOWN_ERRORS = 20;
/** Beyond it the rest of the file is not read. */
const MAX_ERRORS = 1000;

/**
 * A line is { input, output }, with `instruction` in front of the input where there is one; or { prompt, completion },
 * { prompt, chosen, rejected }, { prompt, rejected } or { messages }; each with a `weight`, default 1, where it has one. Other
 * keys are left alone. Rejects with ERR_FORMAT_CORRUPT naming the lines that are wrong, also where there is none at all; and
 * ERR_FILE_ACCESS.
 */
export async function readTrainingFile(
  source: JsonLinesSource,
  options: JsonLinesOptions = {},
): Promise<TextExample[]> {
  const examples: TextExample[] = [];
  const errors: LineError[] = [];
  for await (const one of readJsonLines(source, options)) {
    const example = one.value === undefined ? one.message : exampleOf(one.value);
    if (typeof example !== 'string') examples.push(example);
    else if (errors.push({ line: one.line, message: example }) === MAX_ERRORS) break;
  }
  if (errors.length > 0) {
    const shown = errors.slice(0, SHOWN_ERRORS).map(({ line, message }) => `line ${line}: ${message}`);
    if (errors.length > SHOWN_ERRORS) shown.push(`and ${errors.length - SHOWN_ERRORS} more`);
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `training file: ${shown.join('; ')}`);
  }
  if (examples.length === 0)
    throw new LorakeetError('ERR_FORMAT_CORRUPT', 'training file: got no examples, expected some');
  return examples;
}

/** What is wrong, as text. */
function exampleOf(line: JsonObject): TextExample | string {
  const { weight = 1 } = line;
  if (typeof weight !== 'number' || !(weight > 0) || !Number.isFinite(weight)) {
    return `weight: got ${describe(weight)}, expected a number above 0`;
  }
  if (line.messages !== undefined) return conversationOf(line.messages, weight);
  const isPlain = line.output !== undefined || line.input !== undefined || line.instruction !== undefined;
  const before: Texts = isPlain ? { instruction: line.instruction, input: line.input } : { prompt: line.prompt };
  const targets: Texts = isPlain
    ? { output: line.output }
    : line.rejected === undefined
      ? { completion: line.completion }
      : { rejected: line.rejected };
  if (!isPlain && line.rejected !== undefined && line.chosen !== undefined) targets.chosen = line.chosen;
  for (const [key, value] of Object.entries(before)) {
    if (value !== undefined && typeof value !== 'string') return `${key}: got ${describe(value)}, expected text`;
  }
  for (const [key, value] of Object.entries(targets)) {
    if (typeof value !== 'string' || value.trim() === '')
      return `${key}: got ${describe(value)}, expected text that is not empty`;
  }
  if (isPlain) {
    const asked = [line.instruction, line.input].filter((text) => typeof text === 'string' && text.trim() !== '');
    if (asked.length === 0) return 'input: got nothing, expected an input or an instruction';
    return { weight, prompt: `${asked.join('\n')}\n`, completion: line.output as string };
  }
  return { weight, prompt: (line.prompt as string | undefined) ?? '', ...(targets as { completion: string }) };
}

type Texts = Record<string, unknown>;

function conversationOf(messages: unknown, weight: number): TextExample | string {
  const expected = 'a list of { role, content }, one of them of the assistant';
  const isMessage = (one: unknown): one is { role: string; content: string } =>
    typeof (one as { role?: unknown })?.role === 'string' && typeof (one as { content?: unknown }).content === 'string';
  if (!Array.isArray(messages) || !messages.every(isMessage) || !messages.some(({ role }) => role === 'assistant')) {
    return `messages: got ${describe(messages)}, expected ${expected}`;
  }
  return { weight, messages: messages.map(({ role, content }) => ({ role, content })) };
}
