/** Generates with lorakeet, in a process of its own as its peer has one. */
import { performance } from 'node:perf_hooks';
import type { WeightStorage } from '#lorakeet/llm/decoder/contract.js';
import { selectDecoder } from '#lorakeet/llm/decoder/select.js';
import { Generator } from '#lorakeet/llm/generator.js';
import { adapterFromModules, createLanguageAdapter, type LanguageAdapter } from '#lorakeet/llm/language-adapter.js';
import { openModelFolder } from '#lorakeet/llm/model-folder.js';
import { answerLines } from './line-worker.js';
import { median, TASK } from './task.js';

export type DecodeQuestion =
  | {
      kind: 'open';
      folder: string;
      weightStorage: WeightStorage;
      threads: number;
      sequences: number;
      positions: number;
    }
  | { kind: 'generate'; prompts: number[][]; newTokens: number }
  | { kind: 'swap'; prompts: number[][]; newTokens: number };

export interface Generated {
  /** From the first token of an answer to the last of all. */
  seconds: number;
  /** Tokens after the first of each answer. */
  timed: number;
  tokens: number[][];
}

export interface Swapped {
  /** Medians of a request's time: with the adapter of the one before it, and with another. */
  sameSeconds: number;
  otherSeconds: number;
  /** A file's worth of numbers into a new adapter that is then ready for requests. */
  loadSeconds: number;
}

const opened: { generator?: Generator; adapters: LanguageAdapter[]; loadSeconds: number } = {
  adapters: [],
  loadSeconds: 0,
};

await answerLines(async (question: DecodeQuestion): Promise<object> => {
  if (question.kind === 'open') return open(question);
  if (!opened.generator) throw new Error(`${question.kind}: no model has been opened`);
  const prompts = question.prompts.map((prompt) => Uint32Array.from(prompt));
  return question.kind === 'generate'
    ? generate(opened.generator, prompts, question.newTokens)
    : swap(opened.generator, prompts, question.newTokens);
});
process.exit(0);

async function open({
  folder,
  weightStorage,
  threads,
  sequences,
  positions,
}: Extract<DecodeQuestion, { kind: 'open' }>) {
  const files = await openModelFolder(folder);
  const { backend } = selectDecoder('auto');
  const model = backend.createModel(files.config.shape, { weightStorage, arithmetic: 'f32', threads });
  await files.load(model);
  await files.close();
  opened.generator = new Generator(model, { sequences, positions });
  const { rank, alpha, modules } = TASK;
  const first = await createLanguageAdapter(model, { rank, alpha, targetModules: modules, seed: 1, train: false });
  const numbers = await first.modules();
  for (const module of numbers.values()) module.loraB.fill(0.01);
  const times: number[] = [];
  for (let i = 0; i < 8; i++) {
    const start = performance.now();
    opened.adapters.push(await adapterFromModules(model, numbers, { train: false }));
    times.push((performance.now() - start) / 1000);
  }
  opened.loadSeconds = median(times);
  return { name: `${model.backend} ${model.device}` };
}

async function generate(generator: Generator, prompts: Uint32Array[], newTokens: number): Promise<Generated> {
  let first = 0;
  const onToken = () => {
    first ||= performance.now();
  };
  const answers = await Promise.all(
    prompts.map((prompt) => generator.generate({ prompt, maxNewTokens: newTokens, onToken })),
  );
  const seconds = (performance.now() - first) / 1000;
  return { seconds, timed: prompts.length * (newTokens - 1), tokens: answers.map(({ tokens }) => [...tokens]) };
}

/** Requests one after another, of which every second one comes with another adapter than the one before it. */
async function swap(generator: Generator, prompts: Uint32Array[], newTokens: number): Promise<Swapped> {
  const times: { same: number[]; other: number[] } = { same: [], other: [] };
  for (const [i, prompt] of prompts.entries()) {
    // 0, 0, 1, 1, 2, …: odd requests stay with the adapter
    const adapter = opened.adapters[(i >> 1) % opened.adapters.length];
    const start = performance.now();
    await generator.generate({ prompt, adapter, maxNewTokens: newTokens });
    times[i % 2 === 1 ? 'same' : 'other'].push((performance.now() - start) / 1000);
  }
  return {
    sameSeconds: median(times.same),
    otherSeconds: median(times.other),
    loadSeconds: opened.loadSeconds,
  };
}
