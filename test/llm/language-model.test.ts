import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LanguageAdapter } from '../../src/llm/language-adapter.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { root } from '../support/imports.js';

const folder = join(root, 'models/tiny-shakespeare-llama');
const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
  greedy: { prompt: string; ids: number[]; text: string }[];
};

describe('a language model', () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadBaseModel(folder);
  });
  afterAll(() => model.close());

  it('says what it is and what it runs on', () => {
    expect(model.config).toMatchObject({ modelType: 'llama', contextLength: 256, eosIds: [1023] });
    expect(model.hash).toMatch(/^[0-9a-f]{64}$/);
    expect(['cpu', 'cuda', 'js']).toContain(model.backend.name);
    expect(model.decoder.options.weightStorage).toBe('bf16');
  });

  it('continues as transformers does, many at once and in pieces', async () => {
    const pieces: string[][] = expected.greedy.map(() => []);
    const generated = await Promise.all(
      expected.greedy.map(({ prompt, ids }, i) =>
        model.generate(prompt, { maxNewTokens: ids.length, onText: (text) => pieces[i].push(text) }),
      ),
    );
    expected.greedy.forEach(({ ids, text }, i) => {
      expect([...generated[i].tokens]).toEqual(ids);
      expect(generated[i]).toMatchObject({ text, finishReason: 'length' });
      expect(pieces[i].join('')).toBe(text);
      expect(pieces[i].length).toBeGreaterThan(20);
    });
  });

  it('streams, and stops when nobody listens', async () => {
    const { prompt, text, ids } = expected.greedy[0];
    let streamed = '';
    for await (const piece of model.stream(prompt, { maxNewTokens: ids.length })) streamed += piece;
    expect(streamed).toBe(text);
    const stream = model.stream(prompt);
    await stream.next();
    expect(await stream.return(undefined as never)).toMatchObject({ done: true });
    const aborted = model.stream(prompt, { signal: AbortSignal.abort('no') });
    await expect(aborted.next()).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('stops in front of a text, also one that lies in several tokens', async () => {
    const { prompt, text } = expected.greedy[0];
    const stop = text.slice(20, 26);
    const pieces: string[] = [];
    const generated = await model.generate(prompt, { stop: ['never', stop], onText: (piece) => pieces.push(piece) });
    expect(generated).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finishReason: 'stop' });
    expect(pieces.join('')).toBe(generated.text);
  });

  it('scores a completion as the sum of its tokens', async () => {
    const { prompt, text } = expected.greedy[1];
    const scored = await model.score(prompt, text);
    expect(scored.logProbability).toBeCloseTo(
      scored.logProbabilities.reduce((a, b) => a + b, 0),
      5,
    );
    expect(scored.tokens.length).toBe(scored.logProbabilities.length);
    const worse = await model.score(prompt, text.split('').reverse().join(''));
    expect(worse.logProbability / worse.tokens.length).toBeLessThan(scored.logProbability / scored.tokens.length - 1);
  });

  it('learns text, prefers what is chosen and goes back to what it was without its adapter', async () => {
    const adapter = await model.createAdapter({ rank: 4 });
    const prompt = 'ROMEO:\n';
    const { text } = expected.greedy[0];
    const wanted = 'The quick brown fox';
    const before = await model.score(prompt, wanted);
    const examples = [
      { prompt, completion: wanted },
      { prompt, chosen: wanted, rejected: text },
      { prompt: 'JULIET:\n', rejected: 'O Romeo' },
    ];
    const report = await model.train(adapter, examples, { epochs: 6, batchSize: 3, learningRate: 0.01 });
    expect(report.steps).toBe(6);
    const after = await model.score(prompt, wanted, { adapter });
    expect(after.logProbability).toBeGreaterThan(before.logProbability + 5);
    expect((await model.score(prompt, text, { adapter })).logProbability).toBeLessThan(
      (await model.score(prompt, text)).logProbability,
    );
    expect((await model.score(prompt, wanted)).logProbability).toBe(before.logProbability);
    expect((await model.generate(prompt, { maxNewTokens: 8, adapter })).text).not.toBe(
      (await model.generate(prompt, { maxNewTokens: 8 })).text,
    );
    adapter.close();
  });

  it('refuses what it cannot do', async () => {
    const refused = (call: Promise<unknown>, code: string) => expect(call).rejects.toMatchObject({ code });
    await refused(model.generate(''), 'ERR_INVALID_ARGUMENT');
    await refused(model.generate('x', { stop: [''] }), 'ERR_INVALID_CONFIG');
    await refused(model.generate('x', { temperatur: 1 } as never), 'ERR_INVALID_CONFIG');
    await refused(model.generate([{ role: 'user', content: 'Hello' }]), 'ERR_FORMAT_UNSUPPORTED');
    await refused(model.score('', 'x'), 'ERR_INVALID_ARGUMENT');
    await refused(model.score('word '.repeat(300), 'x'), 'ERR_CONTEXT_FULL');
    await refused(model.loadAdapter(new Uint8Array(100)), 'ERR_ADAPTER_CORRUPT');
    const adapter: LanguageAdapter = await model.createAdapter();
    for (const example of [{}, { completion: 'x', weight: 0 }, { prompt: 'x', completion: 7 }, null, { chosen: 'x' }]) {
      await refused((async () => model.train(adapter, [example as never]))(), 'ERR_INVALID_ARGUMENT');
    }
    adapter.close();
    await refused(loadBaseModel(folder, { backend: 'gpu' as never }), 'ERR_INVALID_CONFIG');
    await refused(loadBaseModel(folder, { positions: 999 }), 'ERR_INVALID_CONFIG');
    await refused(loadBaseModel(join(folder, 'none')), 'ERR_FILE_ACCESS');
  });
});
