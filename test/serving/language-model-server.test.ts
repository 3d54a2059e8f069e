/** The in-process server while versions are swapped under requests that are being answered. */
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { encodeLanguageAdapter } from '../../src/llm/adapter-file.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import { LanguageModelServer } from '../../src/serving/language-model-server.js';
import { root } from '../support/imports.js';

const NAME = 'feed';
const PROMPT = 'ROMEO:';
const brief = { maxNewTokens: 6, temperature: 0 };
let model: LanguageModel;
const bytes: Uint8Array[] = [];
/** What the base model and each version answer. */
const texts: string[] = [];

beforeAll(async () => {
  model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  texts.push((await model.generate(PROMPT, brief)).text);
  for (const seed of [1, 2]) {
    const adapter = await model.createAdapter({ rank: 4, seed, targetModules: ['v_proj', 'o_proj'], train: false });
    const state = await adapter.state();
    state.parameters.forEach((value, i) => {
      // loraB, which a new adapter has at 0
      if (value === 0) state.parameters[i] = ((i * seed * 7919) % 13) / 13 - 0.5;
    });
    await adapter.restore(state);
    texts.push((await model.generate(PROMPT, { ...brief, adapter })).text);
    bytes.push(encodeLanguageAdapter(await adapter.state()));
    adapter.close();
  }
  expect(new Set(texts).size).toBe(3);
});
afterAll(() => model.close());

it('ends what has begun with the version it began with, and frees that version then', async () => {
  const server = new LanguageModelServer(model);
  const ask = () => server.generate(PROMPT, { ...brief, name: NAME });
  const before = ask();
  await server.deploy({ name: NAME, version: 'v1.0', bytes: bytes[0] });
  const first = ask();
  const stream = server.stream(PROMPT, { ...brief, name: NAME });
  let streamed = (await stream.next()).value as string;
  await server.deploy({ name: NAME, version: 'v1.1', bytes: bytes[1] });
  expect(server.versions).toBe(2);
  const second = ask();
  await server.disable(NAME);
  expect(server.versions).toBe(2);
  const after = ask();
  for (let next = await stream.next(); ; next = await stream.next()) {
    if (next.done) {
      expect(next.value).toMatchObject({ version: 'v1.0', text: texts[1] });
      break;
    }
    streamed += next.value;
  }
  expect(streamed).toBe(texts[1]);
  expect(await before).toMatchObject({ version: null, text: texts[0] });
  expect(await first).toMatchObject({ version: 'v1.0', text: texts[1] });
  expect(await second).toMatchObject({ version: 'v1.1', text: texts[2] });
  expect(await after).toMatchObject({ version: null, text: texts[0] });
  expect(server.versions).toBe(0);
  server.close();
});

it('frees a version whose reader fails or leaves', async () => {
  const server = new LanguageModelServer(model);
  await server.deploy({ name: NAME, version: 'v1.0', bytes: bytes[0] });
  const stream = server.stream(PROMPT, { name: NAME });
  await stream.next();
  const refused = server.generate(PROMPT, { name: NAME, temperature: -1 });
  await expect(refused).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
  await server.disable(NAME);
  expect(server.versions).toBe(1);
  await stream.return(undefined as never);
  expect(server.versions).toBe(0);
  server.close();
});

it('refuses adapters of other models, bad weights, and everything once closed', async () => {
  const server = new LanguageModelServer(model);
  const request = { name: NAME, version: 'v1.0', bytes: bytes[0] };
  const sha256 = 'a'.repeat(64);
  const foreign = server.deploy({ ...request, baseModel: { name: 'another', sha256 } });
  await expect(foreign).rejects.toMatchObject({ code: 'ERR_ADAPTER_MISMATCH' });
  await expect(server.deploy({ ...request, bytes: bytes[0].slice(0, 99) })).rejects.toMatchObject({
    code: 'ERR_ADAPTER_CORRUPT',
  });
  expect(server.versions).toBe(0);
  await server.deploy({ ...request, baseModel: { name: 'this one', sha256: model.hash } });
  const under = server.deploy({ ...request, version: 'v1.1' });
  const last = server.generate(PROMPT, { ...brief, name: NAME });
  server.close();
  await expect(under).rejects.toMatchObject({ code: expect.stringMatching(/ERR_CLOSED|ERR_ABORTED/) });
  expect(await last).toMatchObject({ version: 'v1.0', text: texts[1] });
  expect(server.versions).toBe(0);
  await expect(server.generate(PROMPT)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
  await expect(server.deploy(request)).rejects.toMatchObject({ code: 'ERR_CLOSED' });
});
