import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { openModelFolder } from '../../src/llm/model-folder.js';
import { StopFinder, TokenStream } from '../../src/llm/token-stream.js';
import { openTokenizer, type TextTokenizer } from '../../src/llm/tokenizer.js';
import { rejection, temporaryFolder } from '../adapter/formats/helpers.js';
import { codeOf } from '../adapter/helpers.js';

interface Case {
  text: string;
  ids: number[];
  plain_ids: number[];
  decoded: string;
  with_special: string;
}

/** Made by golden/llm/make_text.py with the tokenizers of Hugging Face. */
const golden = JSON.parse(readFileSync(new URL('../golden/llm/text.json', import.meta.url), 'utf8'));
const REAL = fileURLToPath(new URL('../../models/tiny-shakespeare-llama', import.meta.url));
const scratch = temporaryFolder();
let folders = 0;

/** What openTokenizer looks at of a model folder with these files. */
function folderOf(files: Record<string, unknown>, vocabSize = 1024) {
  const folder = join(scratch, String(folders++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
  }
  const readFile = async (name: string) => (name in files ? readFileSync(join(folder, name)) : undefined);
  return { readFile, place: { folder }, config: { shape: { vocabSize } } } as unknown as Parameters<
    typeof openTokenizer
  >[0];
}

async function realTokenizer(): Promise<TextTokenizer> {
  const folder = await openModelFolder(REAL);
  await folder.close();
  return openTokenizer(folder);
}

const smallTokenizer = () => openTokenizer(folderOf({ 'tokenizer.json': golden['llama2-like'].tokenizer }));

describe.each<[string, () => Promise<TextTokenizer>, Case[]]>([
  ['of tiny-shakespeare-llama', realTokenizer, golden['tiny-shakespeare']],
  ['in the manner of Llama 2', smallTokenizer, golden['llama2-like'].cases],
])('the tokenizer %s', (_, open, cases) => {
  it('agrees with that of Hugging Face', async () => {
    const tokenizer = await open();
    for (const { text, ids, plain_ids: plain, decoded, with_special: withSpecial } of cases) {
      expect([...tokenizer.encode(text)], text).toEqual(ids);
      expect([...tokenizer.encode(text, { addSpecialTokens: false })], text).toEqual(plain);
      expect(tokenizer.decode(ids)).toBe(decoded);
      expect(tokenizer.decode(Uint32Array.from(ids), { skipSpecialTokens: false })).toBe(withSpecial);
    }
  });

  it('streams the same text, in whole characters', async () => {
    const tokenizer = await open();
    for (const { ids, decoded } of cases) {
      const stream = tokenizer.stream();
      const pieces = ids.map((id) => stream.push(id));
      expect(pieces.join('') + stream.end()).toBe(decoded);
      for (const piece of pieces) expect(piece).not.toMatch(/\p{Surrogate}|\ufffd/u);
    }
  });

  it('streams what goes on from a prompt', async () => {
    const tokenizer = await open();
    for (const { ids, decoded } of cases) {
      for (let at = 1; at < ids.length; at++) {
        const before = tokenizer.decode(ids.slice(0, at));
        if (before.endsWith('\ufffd')) continue;
        const stream = tokenizer.stream(ids.slice(0, at));
        const text = ids.slice(at).map((id) => stream.push(id));
        expect(before + text.join('') + stream.end(), `${decoded} from ${at} on`).toBe(decoded);
      }
    }
  });
});

describe('a tokenizer', () => {
  it('reads the prompts of the real model as its training did', async () => {
    const tokenizer = await realTokenizer();
    const { greedy } = JSON.parse(readFileSync(join(REAL, 'expected.json'), 'utf8'));
    for (const { prompt, prompt_ids: ids, text, ids: answer } of greedy) {
      expect([...tokenizer.encode(prompt)]).toEqual(ids);
      expect(tokenizer.decode(answer)).toBe(text);
    }
    expect(tokenizer.idOf('<|eos|>')).toBe(1023);
    expect(tokenizer.idOf('<|nothing|>')).toBeUndefined();
    expect([...tokenizer.specialTokens]).toEqual([
      [1022, '<|bos|>'],
      [1023, '<|eos|>'],
    ]);
  });

  it('gives out characters when their bytes are complete, and what never was at the end', async () => {
    const tokenizer = await realTokenizer();
    const parrot = tokenizer.encode('\u{1f99c}');
    expect(parrot).toHaveLength(4);
    const stream = tokenizer.stream();
    expect([...parrot].map((id) => stream.push(id))).toEqual(['', '', '', '\u{1f99c}']);
    for (const id of parrot.subarray(0, 3)) expect(stream.push(id)).toBe('');
    expect(stream.end()).toBe('\ufffd');
    expect(stream.end()).toBe('');
    const broken = tokenizer.stream();
    const pieces = [parrot[0], ...tokenizer.encode('so')].map((id) => broken.push(id));
    expect(pieces.join('')).toBe('\ufffdso');
  });

  it('looks at the last few tokens only, however long a text becomes', () => {
    let most = 0;
    const stream = new TokenStream((tokens) => {
      most = Math.max(most, tokens.length);
      return tokens.map((token) => String.fromCharCode(token)).join('');
    }, new Uint32Array(1000).fill(65));
    const text = Array.from({ length: 500 }, (_, i) => stream.push(97 + (i % 26))).join('');
    expect(text).toHaveLength(500);
    expect(most).toBeLessThan(10);
  });

  it('makes nothing of ids that have no token, as models have more embeddings than tokens', async () => {
    const tokenizer = await smallTokenizer();
    expect(tokenizer.decode([1, 268, 1023, 271])).toBe('the cat');
    expect(tokenizer.decode([1023])).toBe('');
    expect(tokenizer.decode([])).toBe('');
    expect(tokenizer.decode([268, 1023], { skipSpecialTokens: false })).toBe('the');
    expect((await realTokenizer()).decode([40, 5000, 457])).toBe("I'll");
  });

  it('does not tidy up spaces, whatever its config says', async () => {
    const files = {
      'tokenizer.json': golden['llama2-like'].tokenizer,
      'tokenizer_config.json': '{"clean_up_tokenization_spaces":true}',
    };
    const tokenizer = await openTokenizer(folderOf(files));
    expect(tokenizer.decode(tokenizer.encode('the . cat'))).toBe('the . cat');
  });

  it('is refused where its tokens have no embedding', async () => {
    const { tokenizer } = golden['llama2-like'];
    const ids = Object.values<number>(tokenizer.model.vocab);
    const largest = Math.max(...ids);
    const files = { 'tokenizer.json': tokenizer };
    await openTokenizer(folderOf(files, largest + 1));
    expect(await rejection(() => openTokenizer(folderOf(files, largest)))).toBe('ERR_FORMAT_CORRUPT');
    const added = { ...tokenizer.added_tokens[0], id: largest + 1, content: '<pad>' };
    const longer = { ...tokenizer, added_tokens: [...tokenizer.added_tokens, added] };
    const padded = await openTokenizer(folderOf({ 'tokenizer.json': longer }, largest + 1));
    expect(padded.encode('the')).toHaveLength(2);
    expect(codeOf(() => padded.encode('the <pad>'))).toBe('ERR_OUT_OF_RANGE');
    expect(codeOf(() => padded.encode(7 as unknown as string))).toBe('ERR_INVALID_ARGUMENT');
  });

  it('is refused where there is none, or none that is understood', async () => {
    expect(await rejection(() => openTokenizer(folderOf({})))).toBe('ERR_FILE_ACCESS');
    expect(await rejection(() => openTokenizer(folderOf({ 'tokenizer.json': '[' })))).toBe('ERR_FORMAT_CORRUPT');
    expect(await rejection(() => openTokenizer(folderOf({ 'tokenizer.json': '[]' })))).toBe('ERR_FORMAT_CORRUPT');
    const strange = { ...golden['llama2-like'].tokenizer, decoder: { type: 'Telepathy' } };
    expect(await rejection(() => openTokenizer(folderOf({ 'tokenizer.json': strange })))).toBe(
      'ERR_FORMAT_UNSUPPORTED',
    );
    const missing = () => Promise.reject(new Error("Cannot find package '@huggingface/tokenizers'"));
    const files = { 'tokenizer.json': golden['llama2-like'].tokenizer };
    expect(await rejection(() => openTokenizer(folderOf(files), missing))).toBe('ERR_TOKENIZER_UNAVAILABLE');
  });
});

describe('stop strings', () => {
  /** What is given out when the text comes in pieces of this many characters. */
  function cut(text: string, stops: string[], size: number): [string, boolean] {
    const finder = new StopFinder(stops);
    let given = '';
    for (let at = 0; at < text.length; at += size) given += finder.push(text.slice(at, at + size));
    return [given + finder.end(), finder.stopped];
  }

  it.each([1, 2, 3, 5, 100])('end the text in front of them, in pieces of %i', (size) => {
    expect(cut('one\n\ntwo\n\n\nUser: three', ['\nUser:', '###'], size)).toEqual(['one\n\ntwo\n\n', true]);
    expect(cut('aaab', ['aab'], size)).toEqual(['a', true]);
    expect(cut('a stop and an end', ['end', 'stop'], size)).toEqual(['a ', true]);
    expect(cut('nothing at the e', ['end'], size)).toEqual(['nothing at the e', false]);
    expect(cut('no stops', [], size)).toEqual(['no stops', false]);
  });

  it('hold back no more than may begin one', () => {
    const finder = new StopFinder(['###']);
    expect(finder.push('a#')).toBe('a');
    expect(finder.push('b##')).toBe('#b');
    expect(finder.push('#c')).toBe('');
    expect(finder.push('more')).toBe('');
    expect(finder.end()).toBe('');
  });

  it('are refused when empty', () => {
    for (const stop of ['', 7]) expect(codeOf(() => new StopFinder([stop as string]))).toBe('ERR_INVALID_CONFIG');
  });
});
