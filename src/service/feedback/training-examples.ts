/** Feedback → what a model learns from it, with an account of what was left out and why. */
import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { rejectUnknownKeys, requireInteger, requireNumber, requireOneOf } from '../../checks.js';
import type { ChatMessage } from '../../llm/chat-template.js';
import type { TextExample } from '../../llm/text-examples.js';
import type { Feedback, JsonObject } from './feedback.js';
import { holdsSecret } from './secrets.js';

/** In the order in which they are looked for: a row has one. */
export const DROP_REASONS = [
  'missing_messages',
  'empty_input',
  'empty_output',
  'short_input',
  'short_output',
  'duplicate_input_output',
  'secret_leak',
  'disliked',
] as const;
export type DropReason = (typeof DROP_REASONS)[number];

export interface ExampleOptions {
  /** Weight of what was liked, in the loss Σ w·ℓ / Σ w. Default 2. */
  likedWeight?: number;
  /** Of what was disliked. Default 0.5. */
  dislikedWeight?: number;
  /** A disliked answer without a correction: 'unlikelihood', the default, makes it less likely; 'drop' leaves it out. */
  dislikes?: 'unlikelihood' | 'drop';
  /** A disliked answer with one: 'target', the default, learns to write it; 'preference' to prefer it to the answer. */
  corrections?: 'target' | 'preference';
  /** How a request is written: 'text', the default, or 'messages', which the model's chat template writes. */
  prompts?: 'text' | 'messages';
  /** Of input and output, white space at the ends left out. Default 15. */
  minCharacters?: number;
}

export interface Diagnostics {
  rawExamples: number;
  keptExamples: number;
  droppedExamples: number;
  dropReasons: Readonly<Record<string, number>>;
  /** Of all. */
  feedbackDistribution: Readonly<Record<string, number>>;
  /** Of those kept. */
  intentDistribution: Readonly<Record<string, number>>;
  projectDistribution: Readonly<Record<string, number>>;
}

export interface PreparedExamples {
  examples: TextExample[];
  diagnostics: Diagnostics;
}

/**
 * An answer that was liked is learnt, a correction instead of it where there is one; an answer that was disliked never is.
 * As text a prompt is `role: content` of each message that has content, a line each. Throws ERR_INVALID_CONFIG.
 */
export async function prepareExamples(
  feedback: AsyncIterable<Feedback> | Iterable<Feedback>,
  options: ExampleOptions = {},
): Promise<PreparedExamples> {
  const settings = requireOptions(options);
  const examples: TextExample[] = [];
  let rawExamples = 0;
  const [reasons, types, intents, projects] = Array.from({ length: 4 }, () => new Map<string, number>());
  const count = (counts: Map<string, number>, key: string) => counts.set(key, (counts.get(key) ?? 0) + 1);
  for await (const row of feedback) {
    rawExamples++;
    count(types, row.type);
    const example = exampleOf(row, settings);
    if (typeof example === 'string') {
      count(reasons, example);
      continue;
    }
    examples.push(example);
    count(intents, row.intent);
    count(projects, row.project);
  }
  const diagnostics = {
    ...{ rawExamples, keptExamples: examples.length, droppedExamples: rawExamples - examples.length },
    dropReasons: Object.fromEntries(reasons),
    feedbackDistribution: Object.fromEntries(types),
    intentDistribution: Object.fromEntries(intents),
    projectDistribution: Object.fromEntries(projects),
  };
  return { examples, diagnostics };
}

function exampleOf(row: Feedback, options: Required<ExampleOptions>): TextExample | DropReason {
  const { messages } = row.request;
  if (!Array.isArray(messages) || messages.length === 0) return 'missing_messages';
  const input = textOf(messages);
  const answer = answerOf(row.response).trim();
  const correction = row.expectedAnswer?.trim() || undefined;
  const output = correction ?? answer;
  if (input === '') return 'empty_input';
  if (output === '') return 'empty_output';
  if (lengthOf(input) < options.minCharacters) return 'short_input';
  if (lengthOf(output) < options.minCharacters) return 'short_output';
  if (input === output || contentOf(messages.at(-1)).trim() === output) return 'duplicate_input_output';
  if ([input, output, answer].some(holdsSecret)) return 'secret_leak';

  const prompt = options.prompts === 'text' ? `${input}\n` : spoken(messages);
  if (row.type === 'thumbs_up') return { weight: options.likedWeight, prompt, completion: output };
  const weight = options.dislikedWeight;
  // a correction that repeats the answer corrects nothing
  if (correction === undefined || correction === answer) {
    return options.dislikes === 'drop' ? 'disliked' : { weight, prompt, rejected: answer };
  }
  const preferred = options.corrections === 'preference' && answer !== '';
  return preferred
    ? { weight, prompt, chosen: correction, rejected: answer }
    : { weight, prompt, completion: correction };
}

const textOf = (messages: readonly unknown[]) =>
  spoken(messages)
    .map(({ role, content }) => `${role}: ${content}`)
    .join('\n')
    .trim();

/** Those that have content. */
function spoken(messages: readonly unknown[]): ChatMessage[] {
  return messages
    .filter((message) => contentOf(message).trim() !== '')
    .map((message) => ({ role: roleOf(message), content: contentOf(message) }));
}

function roleOf(message: unknown): string {
  const role = isJsonObject(message) ? message.role : undefined;
  return typeof role === 'string' && role !== '' ? role : 'user';
}

/** Text, or the texts among the parts that it consists of. */
function contentOf(message: unknown): string {
  const content = isJsonObject(message) ? message.content : undefined;
  if (typeof content === 'string') return content;
  if (!Array.isArray(content)) return '';
  return content.map((part) => (isJsonObject(part) && typeof part.text === 'string' ? part.text : '')).join('');
}

/** The first choice; or content, of services that give nothing else. */
function answerOf(response: JsonObject): string {
  const { choices } = response;
  const first = Array.isArray(choices) ? choices[0] : undefined;
  if (isJsonObject(first)) return contentOf(first.message) || (typeof first.text === 'string' ? first.text : '');
  return contentOf(response.message) || contentOf(response);
}

/** Characters as people count them. */
const lengthOf = (text: string) => [...text].length;

function requireOptions(options: ExampleOptions): Required<ExampleOptions> {
  const known = ['likedWeight', 'dislikedWeight', 'dislikes', 'corrections', 'prompts', 'minCharacters'];
  rejectUnknownKeys('options', options, known);
  const { likedWeight = 2, dislikedWeight = 0.5, dislikes = 'unlikelihood', corrections = 'target' } = options;
  return {
    likedWeight: requireNumber('options.likedWeight', likedWeight, { above: 0 }),
    dislikedWeight: requireNumber('options.dislikedWeight', dislikedWeight, { above: 0 }),
    dislikes: requireOneOf('options.dislikes', dislikes, ['unlikelihood', 'drop']),
    corrections: requireOneOf('options.corrections', corrections, ['target', 'preference']),
    prompts: requireOneOf('options.prompts', options.prompts ?? 'text', ['text', 'messages']),
    minCharacters: requireInteger('options.minCharacters', options.minCharacters ?? 15, 1, 1e6),
  };
}
