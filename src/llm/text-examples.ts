/** Examples as people write them → the tokens that a decoder learns from. */
import { fail, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { ChatMessage, ChatTemplate } from './chat-template.js';
import { type TokenExample, type TokenSequence, targetsFrom } from './objectives.js';
import type { TextTokenizer } from './tokenizer.js';

/**
 * What a model should learn, by the keys that are there:
 * - completion: to write it after the prompt
 * - messages: to write what the assistant says in the conversation
 * - rejected alone: not to write it after the prompt
 * - chosen and rejected: to prefer the one to the other after the prompt
 *
 * A prompt is text, or the messages of a conversation, which the model's chat template writes. It may be left out or empty
 * where the model has a token for the beginning of a text. `weight`, default 1, is the example's part in the loss relative to
 * the others.
 */
export type TextExample = { weight?: number } & (
  | { prompt?: ExamplePrompt; completion: string }
  | { messages: readonly ChatMessage[] }
  | { prompt?: ExamplePrompt; rejected: string }
  | { prompt?: ExamplePrompt; chosen: string; rejected: string }
);

export type ExamplePrompt = string | readonly ChatMessage[];

/** What turns text into tokens for one model. */
export interface TextEncoding {
  tokenizer: TextTokenizer;
  /** Ends a text that is complete; undefined if the model has none. */
  eosId?: number;
  /** Only asked for where there are messages. */
  chatTemplate(): ChatTemplate;
}

/** Throws ERR_INVALID_ARGUMENT naming `name`, and ERR_FORMAT_UNSUPPORTED for messages where the model has no chat template. */
export function encodeExample(name: string, example: TextExample, encoding: TextEncoding): TokenExample {
  if (typeof example !== 'object' || example === null) fail('ERR_INVALID_ARGUMENT', name, example, 'an example');
  const weight = requireNumber(`${name}.weight`, example.weight ?? 1, { above: 0 }, 'ERR_INVALID_ARGUMENT');
  if ('messages' in example) {
    return { kind: 'supervised', weight, sequence: encodeMessages(name, example.messages, encoding) };
  }
  const { prompt = '' } = example;
  const after = (key: string, text: string) => encodeCompletion(`${name}.${key}`, prompt, text, encoding);
  if ('completion' in example) {
    return { kind: 'supervised', weight, sequence: after('completion', example.completion) };
  }
  if (!('rejected' in example)) {
    fail('ERR_INVALID_ARGUMENT', name, example, 'completion, messages, rejected, or chosen and rejected');
  }
  const rejected = after('rejected', example.rejected);
  if (!('chosen' in example)) return { kind: 'unlikelihood', weight, sequence: rejected };
  return { kind: 'preference', weight, chosen: after('chosen', example.chosen), rejected };
}

/** The prompt, the completion and the end of the text; the last two are the targets. */
export function encodeCompletion(
  name: string,
  prompt: ExamplePrompt,
  completion: string,
  encoding: TextEncoding,
): TokenSequence {
  const { tokenizer, eosId } = encoding;
  const before = encodePrompt(prompt, encoding);
  const after = tokenizer.encode(completion, { addSpecialTokens: false });
  const tokens = Uint32Array.from([...before, ...after, ...(eosId === undefined ? [] : [eosId])]);
  // The first token of all cannot be predicted.
  const first = Math.max(before.length, 1);
  if (first >= tokens.length) fail('ERR_INVALID_ARGUMENT', name, completion, 'text with at least one token to predict');
  return targetsFrom(tokens, first);
}

/** A template writes the special tokens itself. */
function encodePrompt(prompt: ExamplePrompt, { tokenizer, chatTemplate }: TextEncoding): Uint32Array {
  if (typeof prompt === 'string') return tokenizer.encode(prompt);
  return tokenizer.encode(chatTemplate().render(prompt), { addSpecialTokens: false });
}

/** The conversation as the template writes it; what it writes for the assistant, end included, are the targets. */
function encodeMessages(name: string, messages: readonly ChatMessage[], encoding: TextEncoding): TokenSequence {
  const template = encoding.chatTemplate();
  const parts: { text: string; target: boolean }[] = [];
  let written = '';
  const extend = (text: string, target: boolean) => {
    if (!text.startsWith(written)) {
      throw new LorakeetError(
        'ERR_FORMAT_UNSUPPORTED',
        `${name}.messages: the chat template writes earlier messages anew when later ones follow; give each answer as an example of its own`,
      );
    }
    parts.push({ text: text.slice(written.length), target });
    written = text;
  };
  messages.forEach(({ role }, i) => {
    if (role !== 'assistant') return;
    extend(template.render(messages.slice(0, i), { addGenerationPrompt: true }), false);
    extend(template.render(messages.slice(0, i + 1), { addGenerationPrompt: false }), true);
  });
  if (parts.length === 0) fail('ERR_INVALID_ARGUMENT', `${name}.messages`, messages, 'a message of the assistant');
  const tokens: number[] = [];
  const targets: number[] = [];
  for (const { text, target } of parts) {
    for (const token of encoding.tokenizer.encode(text, { addSpecialTokens: false })) {
      if (target && tokens.length > 0) targets.push(tokens.length);
      tokens.push(token);
    }
  }
  return { tokens: Uint32Array.from(tokens), targets: Uint32Array.from(targets) };
}
