import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DecoderModel } from '../../src/llm/decoder/contract.js';
import { jsDecoder } from '../../src/llm/decoder/js/model.js';
import { Generator, type TokenRequest } from '../../src/llm/generator.js';
import { createLanguageAdapter, type LanguageAdapter } from '../../src/llm/language-adapter.js';
import { createRandomModel, randomTokens, randomValues } from './decoder/fixtures.js';

describe('generation', () => {
  let model: DecoderModel;
  let adapters: LanguageAdapter[];
  beforeAll(async () => {
    model = createRandomModel(jsDecoder);
    adapters = await Promise.all(
      ['one', 'two'].map(async (seed) => {
        const adapter = await createLanguageAdapter(model, { rank: 2, targetModules: ['q_proj', 'up_proj'] });
        const parameters = randomValues(seed, adapter.parameterCount, 0.5);
        await adapter.restore({ targets: adapter.targets, steps: 0, parameters });
        return adapter;
      }),
    );
  });
  afterAll(() => model.close());

  const request = (i: number): TokenRequest => ({
    prompt: randomTokens(`prompt ${i}`, 1 + ((i * 5) % 9)),
    adapter: [undefined, ...adapters][i % 3],
    maxNewTokens: 3 + (i % 7),
    sampling: i % 2 ? { temperature: 0.8, topK: 9, seed: i } : undefined,
  });
  const alone = async (of: TokenRequest) => {
    const generator = new Generator(model, { sequences: 1, positions: 40 });
    const generated = await generator.generate(of);
    generator.close();
    return generated;
  };

  it('takes the likeliest tokens, as scoring has them', async () => {
    const generated = await alone({ ...request(3), sampling: undefined });
    const cache = model.createCache(1, 40);
    const { prompt, adapter } = request(3);
    let tokens = prompt;
    for (const token of generated.tokens) {
      const logits = await cache.decode([{ sequence: 0, tokens, adapter: adapter?.decoder }]);
      expect(token).toBe(logits.indexOf(Math.max(...logits)));
      tokens = Uint32Array.of(token);
    }
    expect(generated.finishReason).toBe('length');
    expect(generated.tokens.length).toBe(6);
    expect(generated.logProbabilities.every((log) => log < 0)).toBe(true);
    cache.close();
  });

  it('gives each of many requests what it would get alone, with its own adapter', async () => {
    const generator = new Generator(model, { sequences: 3, positions: 40, promptTokens: 4 });
    const requests = Array.from({ length: 12 }, (_, i) => request(i));
    const together = await Promise.all(requests.map((each) => generator.generate(each)));
    for (const [i, each] of requests.entries()) {
      expect((await alone(each)).tokens).toEqual(together[i].tokens);
    }
    expect(new Set(together.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(8);
    generator.close();
  });

  it('goes on from what it still knows, of the same revision of the same adapter only', async () => {
    const generator = new Generator(model, { sequences: 2, positions: 40 });
    const prompt = randomTokens('long', 12);
    const [adapter] = adapters;
    const first = await generator.generate({ prompt, adapter, maxNewTokens: 4 });
    expect(first.reusedTokens).toBe(0);
    const longer = Uint32Array.from([...prompt, ...first.tokens.slice(0, 2), 5]);
    const second = await generator.generate({ prompt: longer, adapter, maxNewTokens: 4 });
    expect(second.reusedTokens).toBe(14);
    expect(second.tokens).toEqual((await alone({ prompt: longer, adapter, maxNewTokens: 4 })).tokens);
    const same = await generator.generate({ prompt, adapter, maxNewTokens: 4 });
    expect(same.reusedTokens).toBe(11);
    expect(same.tokens).toEqual(first.tokens);
    expect((await generator.generate({ prompt, adapter: adapters[1], maxNewTokens: 1 })).reusedTokens).toBe(0);
    expect((await generator.generate({ prompt, maxNewTokens: 1 })).reusedTokens).toBe(0);
    await generator.generate({ prompt, adapter, maxNewTokens: 1 });
    await adapter.restore(await adapter.state());
    const stale = await generator.generate({ prompt, adapter, maxNewTokens: 4 });
    expect(stale.reusedTokens).toBe(0);
    expect(stale.tokens).toEqual(first.tokens);
    generator.close();
  });

  it('ends at a stop token, when told to, and at the end of the room', async () => {
    const generator = new Generator(model, { sequences: 1, positions: 16 });
    const prompt = randomTokens('stop', 6);
    const free = await generator.generate({ prompt });
    expect(free).toMatchObject({ finishReason: 'length' });
    expect(free.tokens.length).toBe(10);
    const at = free.tokens.findIndex((token, i) => i > 2 && free.tokens.indexOf(token) === i);
    const stopped = await generator.generate({ prompt, stopTokens: [free.tokens[at]] });
    expect(stopped).toMatchObject({ finishReason: 'stop', tokens: free.tokens.slice(0, at) });
    const seen: number[] = [];
    const told = await generator.generate({ prompt, onToken: (token) => seen.push(token) === 4 });
    expect(told).toMatchObject({ finishReason: 'stop', tokens: free.tokens.slice(0, 4) });
    expect(seen).toEqual([...free.tokens.slice(0, 4)]);
    generator.close();
  });

  it('serves the others when one fails, is aborted or throws', async () => {
    const generator = new Generator(model, { sequences: 3, positions: 40 });
    const doomed = await createLanguageAdapter(model);
    const controller = new AbortController();
    const good = request(2);
    const expected = await alone(good);
    let seen = 0;
    const results = await Promise.allSettled([
      generator.generate({
        ...request(4),
        adapter: doomed,
        maxNewTokens: 20,
        onToken: () => {
          if (++seen === 2) doomed.close();
        },
      }),
      generator.generate({
        ...request(1),
        maxNewTokens: 20,
        signal: controller.signal,
        onToken: () => {
          controller.abort('enough');
        },
      }),
      generator.generate(good),
      generator.generate({
        ...request(1),
        onToken: () => {
          throw new Error('mine');
        },
      }),
      generator.generate(good),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled', 'rejected', 'fulfilled']);
    const reasons = results.map((result) => (result.status === 'rejected' ? result.reason : undefined));
    expect(reasons[0]).toMatchObject({ code: 'ERR_CLOSED' });
    expect(reasons[1]).toMatchObject({ code: 'ERR_ABORTED', cause: 'enough' });
    expect(reasons[3].message).toBe('mine');
    for (const i of [2, 4]) expect(results[i]).toMatchObject({ value: { tokens: expected.tokens } });
    generator.close();
  });

  it('refuses requests that it cannot serve', async () => {
    const generator = new Generator(model, { sequences: 1, positions: 8 });
    const refused = (of: Partial<TokenRequest>, code: string) =>
      expect(generator.generate({ prompt: Uint32Array.of(1), ...of })).rejects.toMatchObject({ code });
    await refused({ prompt: new Uint32Array() }, 'ERR_INVALID_ARGUMENT');
    await refused({ prompt: [1] as never }, 'ERR_INVALID_ARGUMENT');
    await refused({ prompt: Uint32Array.of(99) }, 'ERR_OUT_OF_RANGE');
    await refused({ prompt: randomTokens('full', 8) }, 'ERR_CONTEXT_FULL');
    await refused({ maxNewTokens: 0 }, 'ERR_INVALID_CONFIG');
    await refused({ sampling: { topP: 2 } }, 'ERR_INVALID_CONFIG');
    const waiting = generator.generate({ prompt: Uint32Array.of(1) });
    generator.close();
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_CLOSED' });
    await refused({}, 'ERR_CLOSED');
  });
});
