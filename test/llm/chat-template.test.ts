import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { type ChatMessage, openChatTemplate } from '../../src/llm/chat-template.js';
import { rejection } from '../adapter/formats/helpers.js';
import { codeOf } from '../adapter/helpers.js';

interface Case {
  messages: ChatMessage[];
  prompt: string;
  text: string;
  without_thinking: string;
}

/** Made by golden/llm/make_text.py with transformers. */
const { templates } = JSON.parse(readFileSync(new URL('../golden/llm/text.json', import.meta.url), 'utf8')) as {
  templates: Record<string, { template: string; cases: Case[] }>;
};
const TOKENS = { bos_token: '<|bos|>', eos_token: { content: '<|eos|>', special: true } };

/** What openChatTemplate looks at of a model folder with these files. */
function folderOf(files: Record<string, unknown>) {
  const bytesOf = (content: unknown) => Buffer.from(typeof content === 'string' ? content : JSON.stringify(content));
  const readFile = async (name: string) => (name in files ? bytesOf(files[name]) : undefined);
  return { readFile, place: { folder: 'a model' } };
}

const open = (template: unknown) =>
  openChatTemplate(folderOf({ 'tokenizer_config.json': { ...TOKENS, chat_template: template } }));

describe('a chat template', () => {
  it.each(Object.entries(templates))(
    'in the manner of %s gives what transformers gives',
    async (_, { template, cases }) => {
      const chat = await open(template);
      for (const { messages, prompt, text, without_thinking: silent } of cases) {
        expect(chat.render(messages)).toBe(prompt);
        expect(chat.render(messages, { addGenerationPrompt: false })).toBe(text);
        expect(chat.render(messages, { variables: { enable_thinking: false } })).toBe(silent);
      }
    },
  );

  it('is that of its own file, of the config, or of several the default', async () => {
    const hello = [{ role: 'user', content: 'Hi' }];
    const config = { ...TOKENS, chat_template: 'config' };
    const both = folderOf({ 'tokenizer_config.json': config, 'chat_template.jinja': 'file {{ eos_token }}' });
    expect((await openChatTemplate(both)).render(hello)).toBe('file <|eos|>');
    expect((await openChatTemplate(folderOf({ 'chat_template.jinja': 'alone' }))).render(hello)).toBe('alone');
    const several = [
      { name: 'rag', template: 'rag' },
      { name: 'default', template: '{{ messages[0].content }}' },
    ];
    expect((await open(several)).render(hello)).toBe('Hi');
  });

  it('refuses messages that are none, or that it has no place for', async () => {
    const chat = await open(templates.mistral.template);
    const twice = [0, 1].map(() => ({ role: 'user', content: 'Hi' }));
    expect(() => chat.render(twice)).toThrow('must alternate');
    for (const messages of [
      twice,
      [],
      'Hi',
      [{ role: 'user' }],
      [{ content: 'Hi' }],
      [null],
      [{ role: 'user', content: 7 }],
    ]) {
      expect(codeOf(() => chat.render(messages as ChatMessage[]))).toBe('ERR_INVALID_ARGUMENT');
    }
  });

  it('is refused where there is none, or none that is understood', async () => {
    expect(await rejection(() => openChatTemplate(folderOf({})))).toBe('ERR_FORMAT_UNSUPPORTED');
    expect(await rejection(() => open(null))).toBe('ERR_FORMAT_UNSUPPORTED');
    expect(await rejection(() => open('{% for message in %}'))).toBe('ERR_FORMAT_UNSUPPORTED');
    expect(await rejection(() => open(7))).toBe('ERR_FORMAT_CORRUPT');
    expect(await rejection(() => open([{ name: 'rag', template: 'rag' }]))).toBe('ERR_FORMAT_CORRUPT');
    const missing = () => Promise.reject(new Error("Cannot find package '@huggingface/jinja'"));
    expect(await rejection(() => openChatTemplate(folderOf({}), missing))).toBe('ERR_TOKENIZER_UNAVAILABLE');
  });
});
