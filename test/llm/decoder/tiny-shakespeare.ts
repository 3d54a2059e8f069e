/** The real model in models/: what its expected.json, made in PyTorch, says of it, held against a decoder backend. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecoderBackend, DecoderModel } from '../../../src/llm/decoder/contract.js';
import { type ModelFolder, openModelFolder } from '../../../src/llm/model-folder.js';
import { openTokenizer, type TextTokenizer } from '../../../src/llm/tokenizer.js';
import { OPTIONS } from './fixtures.js';

const inRoot = (path: string) => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const FOLDER = inRoot('models/tiny-shakespeare-llama');
const expected: {
  greedy: { prompt: string; text: string }[];
  validation_nll: number;
} = JSON.parse(readFileSync(join(FOLDER, 'expected.json'), 'utf8'));
const WINDOW = 256;
const VALIDATION_TOKENS = 8192;

/** `validation`: score 8160 tokens, for backends that do so in a second. */
export function describeTinyShakespeare(backend: DecoderBackend, { validation }: { validation: boolean }): void {
  describe(`the ${backend.name} decoder with tiny-shakespeare-llama`, () => {
    let folder: ModelFolder;
    let model: DecoderModel;
    let tokenizer: TextTokenizer;
    beforeAll(async () => {
      folder = await openModelFolder(FOLDER);
      model = backend.createModel(folder.config.shape, OPTIONS);
      await folder.load(model);
      tokenizer = await openTokenizer(folder);
      await folder.close();
    });
    afterAll(() => model.close());

    it('continues prompts with the same text', async () => {
      const cache = model.createCache(1, folder.config.contextLength);
      for (const { prompt, text } of expected.greedy) {
        cache.truncate(0, 0);
        let next = tokenizer.encode(prompt);
        const stream = tokenizer.stream(next);
        let found = '';
        while (found.length < text.length) {
          const logits = await cache.decode([{ sequence: 0, tokens: next }]);
          next = Uint32Array.of(logits.indexOf(Math.max(...logits)));
          found += stream.push(next[0]);
        }
        expect(found).toBe(text);
      }
      cache.close();
    });

    if (validation) {
      it('has the same loss on text that it was not trained on', async () => {
        const text = readFileSync(inRoot('data/tiny-shakespeare-last-tenth.txt'), 'utf8');
        const tokens = tokenizer.encode(text.slice(0, 4 * VALIDATION_TOKENS)).subarray(0, VALIDATION_TOKENS);
        const starts = Array.from({ length: VALIDATION_TOKENS / WINDOW }, (_, i) => i * WINDOW);
        const positions = Uint32Array.from(tokens.keys()).filter((i) => i % WINDOW > 0);
        const pass = model.createPass();
        const offsets = Uint32Array.from([...starts, VALIDATION_TOKENS]);
        const { logProbabilities } = await pass.forward(undefined, { tokens, offsets, positions });
        pass.close();
        const loss = -logProbabilities.reduce((sum, value) => sum + value, 0) / positions.length;
        expect(Math.abs(loss - expected.validation_nll)).toBeLessThan(1e-5);
      });
    }
  });
}
