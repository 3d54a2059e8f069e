/** Many adapters on one base that is loaded once, and adapters that were made elsewhere. */
import { readFileSync } from 'node:fs';
import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readPeft } from '../../src/adapter/formats/peft-reader.js';
import { selectDecoder } from '../../src/llm/decoder/select.js';
import { Generator } from '../../src/llm/generator.js';
import { scoreSequences } from '../../src/llm/gradients.js';
import { adapterFromModules, type LanguageAdapter } from '../../src/llm/language-adapter.js';
import { loadBaseModel } from '../../src/llm/language-model.js';
import { openModelFolder } from '../../src/llm/model-folder.js';
import { root } from '../support/imports.js';
import { LLM_GOLDENS, readLlmGolden } from '../support/llm-golden.js';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lorakeet-adapters-'));
});
afterAll(() => rm(folder, { recursive: true }));

it('swaps adapters between requests and among them, without the files of the base', async () => {
  const base = join(folder, 'base');
  await cp(join(root, 'models/tiny-shakespeare-llama'), base, { recursive: true });
  const model = await loadBaseModel(base);
  await rm(base, { recursive: true });

  const prompt = 'ROMEO:\n';
  const adapters: (LanguageAdapter | undefined)[] = [undefined];
  for (const completion of ['The quick fox', 'Lazy dogs']) {
    const adapter = await model.createAdapter({ rank: 4 });
    await model.train(adapter, [{ prompt, completion }], { epochs: 16, learningRate: 0.02 });
    adapters.push(adapter);
  }
  const answer = (adapter?: LanguageAdapter) => model.generate(prompt, { maxNewTokens: 12, adapter });
  const alone = [];
  for (const adapter of adapters) alone.push(await answer(adapter));
  const texts = alone.map(({ text }) => text);
  expect(texts.slice(1)).toEqual(['The quick fox', 'Lazy dogs']);
  expect(texts[0]).not.toMatch(/^(The quick|Lazy)/);
  // what one adapter has read is nothing that another has read
  expect(alone.map(({ reusedTokens }) => reusedTokens)).toEqual([0, 0, 0]);

  const together = await Promise.all([...adapters, ...adapters.toReversed()].map(answer));
  expect(together.map(({ text }) => text)).toEqual([...texts, ...texts.toReversed()]);
  const [, fox] = adapters as [undefined, LanguageAdapter];
  expect((await answer(fox)).reusedTokens).toBeGreaterThan(0);

  await model.train(fox, [{ prompt, completion: 'Lazy dogs' }], { epochs: 16, learningRate: 0.02 });
  expect(await answer(fox)).toMatchObject({ text: 'Lazy dogs', reusedTokens: 0 });
  for (const adapter of adapters) adapter?.close();
  model.close();
});

it('an adapter that PEFT trained and saved says what it says there', async () => {
  const { expected, folder: base } = await readLlmGolden('qwen2');
  const trained = JSON.parse(readFileSync(join(base, 'peft', 'expected.json'), 'utf8'));
  expect(trained.losses[1]).toBeLessThan(0.8 * trained.losses[0]);
  const { modules } = await readPeft(join(base, 'peft'));
  const files = await openModelFolder(base);
  const decoder = selectDecoder().backend.createModel(files.config.shape, {
    weightStorage: 'f32',
    arithmetic: 'f32',
    threads: 1,
  });
  await files.load(decoder);
  await files.close();
  const pass = decoder.createPass();
  const adapter = await adapterFromModules(decoder, modules, { train: false });
  const sequences = expected.sequences.map(({ ids, labels }) => ({
    tokens: Uint32Array.from(ids),
    targets: Uint32Array.from(labels.flatMap((label, i) => (i > 0 && label !== -100 ? [i] : []))),
  }));
  const logs = await scoreSequences(pass, adapter, sequences, 64);
  for (const [i, wanted] of (trained.target_log_probs as number[][]).entries()) {
    expect(logs[i]).toHaveLength(wanted.length);
    wanted.forEach((log, j) => {
      expect(Math.abs(logs[i][j] - log)).toBeLessThan(1e-4);
    });
    const without = (await scoreSequences(pass, undefined, sequences, 64))[i];
    expect(Math.max(...wanted.map((log, j) => Math.abs(log - without[j])))).toBeGreaterThan(0.1);
  }
  const generator = new Generator(decoder, { sequences: 1, positions: 64 });
  const { prompt, ids } = trained.greedy;
  const { tokens } = await generator.generate({ prompt: Uint32Array.from(prompt), adapter, maxNewTokens: ids.length });
  expect([...tokens]).toEqual(ids);
  generator.close();
  adapter.close();
  pass.close();
  decoder.close();
});

describe('an adapter in the form of PEFT', () => {
  // a tokenizer that has a character for each token: the goldens have none
  const letterOf = (token: number) => String.fromCharCode(0x4e00 + token);
  const spell = (tokens: Iterable<number>) => [...tokens].map(letterOf).join('');

  it.each(LLM_GOLDENS)('continues as it does there: %s', async (name) => {
    const golden = await readLlmGolden(name);
    const base = join(folder, name);
    await cp(golden.folder, base, { recursive: true });
    const vocab = Object.fromEntries(Array.from({ length: 67 }, (_, token) => [letterOf(token), token]));
    const none = { added_tokens: [], normalizer: null, pre_tokenizer: null, post_processor: null };
    const tokenizer = { ...none, decoder: { type: 'Fuse' }, model: { type: 'BPE', vocab, merges: [] } };
    await writeFile(join(base, 'tokenizer.json'), JSON.stringify(tokenizer));
    await writeFile(join(base, 'tokenizer_config.json'), '{}');
    // the expected ids go on after the end of a text
    const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8'));
    await writeFile(join(base, 'config.json'), JSON.stringify({ ...config, eos_token_id: null }));

    const model = await loadBaseModel(base);
    const adapter = await model.importAdapter(golden.adapter, { train: false });
    const [without, with_] = golden.expected.greedy;
    expect(with_.ids).not.toEqual(without.ids);
    for (const [greedy, own] of [
      [with_, adapter],
      [without, undefined],
    ] as const) {
      const generated = await model.generate(spell(greedy.prompt), { maxNewTokens: 12, adapter: own });
      expect(generated.text).toBe(spell(greedy.ids));
    }
    adapter.close();
    model.close();
  });
});
