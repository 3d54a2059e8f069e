/** How a model wants conversations written: its chat template, run by @huggingface/jinja. */
import type { Template } from '@huggingface/jinja';
import { isJsonObject } from '../adapter/formats/strict-json.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import type { ModelFolder } from './model-folder.js';
import { loadOptional, MAX_TOKENIZER_CONFIG_BYTES, readJson, TOKENIZER_CONFIG_FILE } from './tokenizer.js';

export interface ChatMessage {
  /** `system`, `user`, `assistant`, or what else the template knows. */
  role: string;
  content: string;
}

export interface ChatOptions {
  /** End with what stands in front of an answer, so that the model writes one. Default true. */
  addGenerationPrompt?: boolean;
  /** What else the template looks at, such as `tools` or `enable_thinking`. */
  variables?: Readonly<Record<string, unknown>>;
}

type Library = typeof import('@huggingface/jinja');

const TEMPLATE_FILE = 'chat_template.jinja';
/** Special tokens that templates write by name. */
const TOKEN_NAMES = ['bos_token', 'eos_token', 'pad_token', 'unk_token'];

export class ChatTemplate {
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;

  /** Use openChatTemplate. */
  constructor(template: Template, tokens: Readonly<Record<string, string>>) {
    this.#template = template;
    this.#tokens = tokens;
  }

  /**
   * The text of a conversation. It has its special tokens in it: encode it with `addSpecialTokens: false`. Throws
   * ERR_INVALID_ARGUMENT, also for messages that the template itself refuses, such as two questions in a row.
   */
  render(messages: readonly ChatMessage[], { addGenerationPrompt = true, variables = {} }: ChatOptions = {}): string {
    if (!Array.isArray(messages) || messages.length === 0) {
      fail('ERR_INVALID_ARGUMENT', 'messages', messages, 'at least one message');
    }
    for (const [i, message] of messages.entries()) {
      if (typeof message?.role !== 'string') {
        fail('ERR_INVALID_ARGUMENT', `messages[${i}].role`, message?.role, 'a string');
      }
      if (typeof message.content !== 'string') {
        fail('ERR_INVALID_ARGUMENT', `messages[${i}].content`, message.content, 'a string');
      }
    }
    try {
      return this.#template.render({
        ...this.#tokens,
        ...variables,
        messages,
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (cause) {
      const text = `messages: the chat template refuses them (${(cause as Error).message})`;
      throw new LorakeetError('ERR_INVALID_ARGUMENT', text, { cause });
    }
  }
}

/**
 * The chat template of a model folder: chat_template.jinja, else that of tokenizer_config.json (of several the one named
 * default). Throws ERR_TOKENIZER_UNAVAILABLE where @huggingface/jinja is not installed, ERR_FORMAT_UNSUPPORTED where the model
 * has none, or one that the package cannot read, ERR_FORMAT_CORRUPT, ERR_FILE_ACCESS.
 */
export async function openChatTemplate(
  folder: Pick<ModelFolder, 'readFile' | 'place'>,
  load: () => Promise<Library> = () => import('@huggingface/jinja'),
): Promise<ChatTemplate> {
  const { Template } = await loadOptional('@huggingface/jinja', load);
  const config = (await readJson(folder, TOKENIZER_CONFIG_FILE, MAX_TOKENIZER_CONFIG_BYTES)) ?? {};
  const file = await folder.readFile(TEMPLATE_FILE, MAX_TOKENIZER_CONFIG_BYTES);
  const source = file ? Buffer.from(file).toString('utf8') : templateOf(config.chat_template);
  if (source === undefined) {
    const where = `${TEMPLATE_FILE} or chat_template in ${TOKENIZER_CONFIG_FILE}`;
    const advice = `it has no ${where}; write prompts as text`;
    throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', `${folder.place.folder}: the model knows no chat: ${advice}`);
  }
  try {
    return new ChatTemplate(new Template(source), specialTokens(config));
  } catch (cause) {
    const text = `chat template: @huggingface/jinja cannot read it (${(cause as Error).message})`;
    throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', text, { cause });
  }
}

/** One template, or several by name. */
function templateOf(value: unknown): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'string') return value;
  const place = `${TOKENIZER_CONFIG_FILE}: chat_template`;
  if (!Array.isArray(value)) fail('ERR_FORMAT_CORRUPT', place, value, 'a string, or a list of templates');
  const entry = value.find((each) => isJsonObject(each) && each.name === 'default');
  if (typeof entry?.template !== 'string') fail('ERR_FORMAT_CORRUPT', place, value, 'one template named default');
  return entry.template;
}

/** A token stands in the config by its text or with its settings. */
function specialTokens(config: Record<string, unknown>): Record<string, string> {
  const found = TOKEN_NAMES.map((name): [string, unknown] => {
    const token = config[name];
    return [name, isJsonObject(token) ? token.content : token];
  });
  return Object.fromEntries(found.filter((entry): entry is [string, string] => typeof entry[1] === 'string'));
}
