import { Template } from '@huggingface/jinja';
import { describe, expect, it, vi } from 'vitest';
import { ChatTemplate, loadBaseModel, type TextExample, type TokenSequence } from '../../../src/llm/index.js';
import { encodeExample } from '../../../src/llm/text-examples.js';
import { type Feedback, type JsonObject, prepareExamples } from '../../../src/service/index.js';

const QUESTION = 'How does an adapter learn?';
const ANSWER = 'By gradients of its own loss.';
const BETTER = 'By gradients, a step for each batch.';

const asked = (...contents: unknown[]): JsonObject => ({
  messages: contents.map((content) => ({ role: 'user', content })),
});
const answered = (content: unknown): JsonObject => ({ choices: [{ message: { role: 'assistant', content } }] });

function row(changes: Partial<Feedback> = {}): Feedback {
  return {
    ...{ id: 'a', createdAt: new Date(0), type: 'thumbs_up', intent: 'why', project: 'p' },
    ...{ request: asked(QUESTION), response: answered(ANSWER) },
    ...changes,
  };
}

const prompt = `user: ${QUESTION}\n`;
const one = async (changes: Partial<Feedback>, options = {}) => {
  const { examples, diagnostics } = await prepareExamples([row(changes)], options);
  return examples[0] ?? Object.keys(diagnostics.dropReasons).join();
};

describe('prepareExamples', () => {
  it.each<[string, Partial<Feedback>, object, object | string]>([
    ['learns what was liked', {}, {}, { weight: 2, prompt, completion: ANSWER }],
    ['learns a correction instead', { expectedAnswer: BETTER }, {}, { weight: 2, prompt, completion: BETTER }],
    ['makes less likely what was disliked', { type: 'thumbs_down' }, {}, { weight: 0.5, prompt, rejected: ANSWER }],
    ['or leaves it out', { type: 'thumbs_down' }, { dislikes: 'drop' }, 'disliked'],
    [
      'learns the correction of what was disliked',
      { type: 'thumbs_down', expectedAnswer: ` ${BETTER}\n` },
      {},
      { weight: 0.5, prompt, completion: BETTER },
    ],
    [
      'or prefers it',
      { type: 'thumbs_down', expectedAnswer: BETTER },
      { corrections: 'preference' },
      { weight: 0.5, prompt, chosen: BETTER, rejected: ANSWER },
    ],
    [
      'prefers it to nothing where there was no answer',
      { type: 'thumbs_down', expectedAnswer: BETTER, response: {} },
      { corrections: 'preference' },
      { weight: 0.5, prompt, completion: BETTER },
    ],
    [
      'does not learn a correction that repeats what was disliked',
      { type: 'thumbs_down', expectedAnswer: ANSWER },
      {},
      { weight: 0.5, prompt, rejected: ANSWER },
    ],
    [
      'takes a blank correction for none',
      { type: 'thumbs_down', expectedAnswer: ' ' },
      { dislikes: 'drop' },
      'disliked',
    ],
    ['weighs as it is told', {}, { likedWeight: 3, dislikedWeight: 1 }, { weight: 3, prompt, completion: ANSWER }],
    [
      'weighs dislikes as it is told',
      { type: 'thumbs_down' },
      { likedWeight: 3, dislikedWeight: 1 },
      { weight: 1, prompt, rejected: ANSWER },
    ],
  ])('%s', async (_, changes, options, expected) => {
    expect(await one(changes, options)).toEqual(expected);
  });

  it.each<[string, Partial<Feedback>]>([
    ['missing_messages', { request: {} }],
    ['missing_messages', { request: { messages: [] } }],
    ['missing_messages', { request: { messages: 'Why?' } }],
    // both are wrong with it; the first reason counts
    ['missing_messages', { request: {}, response: {} }],
    ['empty_input', { request: asked('', '  ') }],
    ['empty_input', { request: { messages: [null, 7, {}, { role: 'user' }, { content: 5 }] } }],
    ['empty_input', { request: asked(''), response: {} }],
    ['empty_output', { response: {} }],
    ['empty_output', { response: { choices: [] } }],
    ['empty_output', { response: { choices: [null] } }],
    ['empty_output', { response: { choices: [{ message: null }] } }],
    ['empty_output', { response: answered('  \n') }],
    ['empty_output', { response: {}, request: asked('Hi') }],
    ['short_input', { request: asked('12345678') }],
    ['short_input', { request: asked('Hi'), response: answered('Hello') }],
    ['short_output', { response: answered(' 12345678901234 ') }],
    ['short_output', { response: answered('😀'.repeat(14)) }],
    ['short_output', { expectedAnswer: 'Like this.' }],
    ['duplicate_input_output', { response: answered(`user: ${QUESTION}`) }],
    ['duplicate_input_output', { response: answered(QUESTION) }],
    ['secret_leak', { response: answered('Use the key AKIAIOSFODNN7EXAMPLE for it.') }],
    ['secret_leak', { request: asked('Why is password=hunter2now refused here?') }],
    ['secret_leak', { expectedAnswer: 'Send {"api_key": "a1b2c3d4e5"} along.' }],
    ['secret_leak', { response: answered('postgres://app:pw@db/main is the address.'), expectedAnswer: BETTER }],
    ['secret_leak', { response: answered('-----BEGIN RSA PRIVATE KEY-----\nMIIE') }],
  ])('leaves out for %s: %j', async (reason, changes) => {
    expect(await one(changes)).toBe(reason);
  });

  it.each([
    'How do I reset my password?',
    'Explain the secretary problem to me.',
    'What does "token: string" mean in TypeScript?',
    'Where do I find my API key? I lost the secret.',
  ])('keeps %j', async (question) => {
    expect(await one({ request: asked(question) })).toMatchObject({ prompt: `user: ${question}\n` });
  });

  it('writes a conversation a line for each message that says something', async () => {
    const messages = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: [{ type: 'text', text: 'Why ' }, { type: 'image_url' }, { text: 'not?' }] },
      { role: 'assistant', content: '' },
      { content: 'Go on.' },
    ];
    const example = await one({ request: { messages } });
    expect(example).toMatchObject({ prompt: 'system: Be brief.\nuser: Why not?\nuser: Go on.\n' });
  });

  it('leaves messages to the chat template of the model', async () => {
    const messages = [{ role: 'system', content: 'Be brief.' }, { role: 'user' }, { content: [{ text: QUESTION }] }];
    const prompt = [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: QUESTION },
    ];
    const options = { prompts: 'messages' };
    const liked = await one({ request: { messages } }, options);
    expect(liked).toEqual({ weight: 2, prompt, completion: ANSWER });
    const disliked = await one({ request: { messages }, type: 'thumbs_down' }, options);
    expect(disliked).toEqual({ weight: 0.5, prompt, rejected: ANSWER });

    const { tokenizer } = await loadBaseModel('models/tiny-shakespeare-llama', { backend: 'js' });
    const source =
      '{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}[ai] {% endif %}';
    const template = new ChatTemplate(new Template(source), {});
    const encode = vi.spyOn(tokenizer, 'encode');
    const example = encodeExample('example', liked as TextExample, { tokenizer, chatTemplate: () => template });
    const { tokens, targets } = (example as { sequence: TokenSequence }).sequence;
    // the template writes special tokens itself; this tokenizer has none of its own that would show
    for (const [, encodeOptions] of encode.mock.calls) expect(encodeOptions).toEqual({ addSpecialTokens: false });
    expect(encode).toHaveBeenCalledTimes(2);
    const before = tokenizer.encode(`[system] Be brief.\n[user] ${QUESTION}\n[ai] `, { addSpecialTokens: false });
    expect([...tokens.subarray(0, before.length)]).toEqual([...before]);
    const learnt = tokenizer.encode(ANSWER, { addSpecialTokens: false });
    expect(Array.from(targets, (target) => tokens[target])).toEqual([...learnt]);
  });

  it.each<[string, JsonObject]>([
    ['choices with text', { choices: [{ text: ANSWER }] }],
    ['a message', { message: { content: ANSWER } }],
    ['content', { content: ANSWER }],
    ['parts', answered([{ text: 'By gradients ' }, { text: 'of its own loss.' }])],
  ])('reads an answer of %s', async (_, response) => {
    expect(await one({ response })).toMatchObject({ completion: ANSWER });
  });

  it('accounts for every row', async () => {
    async function* rows() {
      yield row();
      yield row({ type: 'thumbs_down', intent: '__proto__' });
      yield row({ request: {}, intent: 'lost' });
      yield row({ response: {}, type: 'thumbs_down' });
      yield row({ response: {}, project: 'lost' });
      yield row({ project: 'q' });
    }
    const { examples, diagnostics } = await prepareExamples(rows());
    expect(examples.length).toBe(3);
    expect(JSON.parse(JSON.stringify(diagnostics))).toEqual(
      JSON.parse(`{
        "rawExamples": 6, "keptExamples": 3, "droppedExamples": 3,
        "dropReasons": { "missing_messages": 1, "empty_output": 2 },
        "feedbackDistribution": { "thumbs_up": 4, "thumbs_down": 2 },
        "intentDistribution": { "why": 2, "__proto__": 1 },
        "projectDistribution": { "p": 2, "q": 1 }
      }`),
    );
  });

  it.each([
    ['likedWeight', 0],
    ['dislikedWeight', -1],
    ['dislikes', 'learn'],
    ['corrections', 'ignore'],
    ['prompts', 'chat'],
    ['minCharacters', 0],
    ['minCharacter', 5],
  ])('refuses %s: %j', async (name, value) => {
    const preparing = prepareExamples([], { [name]: value });
    await expect(preparing).rejects.toMatchObject({
      code: 'ERR_INVALID_CONFIG',
      message: expect.stringContaining(`options.${name}`),
    });
  });
});
