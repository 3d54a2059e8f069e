/**
 * The real model in models/ learns Alice in Wonderland, and how much Shakespeare it forgets meanwhile: without anything
 * against it, with EWC, with replay, with both. PEFT's figures for the same task are in docs/benchmarks.md.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { consolidateLanguageAdapter } from '#lorakeet/llm/fisher.js';
import { type LanguageModel, loadBaseModel } from '#lorakeet/llm/index.js';
import type { LanguageAdapter } from '#lorakeet/llm/language-adapter.js';
import { type TokenExample, targetsFrom } from '#lorakeet/llm/objectives.js';
import { trainLanguageAdapter } from '#lorakeet/llm/trainer.js';
import { formatTable } from '../table.js';

/** Ids in a window, all but the first of which are predicted. */
const WINDOW = 256;
const BATCH = 8;
const RANK = 16;
const LEARNING_RATE = 1e-3;
const MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;

interface Way {
  name: string;
  modules: readonly (typeof MODULES)[number][];
  ewcLambda: number;
  replayShare: number;
}

const WAYS: readonly Way[] = [
  { name: 'q, k, v only', modules: ['q_proj', 'k_proj', 'v_proj'], ewcLambda: 0, replayShare: 0 },
  { name: 'all linear layers', modules: MODULES, ewcLambda: 0, replayShare: 0 },
  { name: 'with EWC, λ 1000', modules: MODULES, ewcLambda: 1000, replayShare: 0 },
  { name: 'with replay, 1 in 4', modules: MODULES, ewcLambda: 0, replayShare: 0.25 },
  { name: 'with both, λ 100', modules: MODULES, ewcLambda: 100, replayShare: 0.25 },
];

export interface ForgettingRow {
  way: string;
  /** Mean −log p per id of the last tenth of Alice, in nats. */
  aliceBefore: number;
  aliceAfter: number;
  /** Of 32 windows of Shakespeare that are neither replayed nor in the Fisher. */
  shakespeareBefore: number;
  shakespeareAfter: number;
}

interface Texts {
  learn: TokenExample[];
  alice: Uint32Array[];
  shakespeare: Uint32Array[];
  /** What may be replayed. */
  old: Uint32Array[];
}

export async function runForgetting(
  root: string,
  steps: number,
  onProgress: (what: string) => void,
): Promise<ForgettingRow[]> {
  const model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'), { arithmetic: 'bf16' });
  const texts = readTexts(model, root);
  const before = [await lossOf(model, texts.alice), await lossOf(model, texts.shakespeare)];
  const rows: ForgettingRow[] = [];
  for (const way of WAYS) {
    onProgress(`Alice, ${way.name}`);
    const adapter = await model.createAdapter({ rank: RANK, targetModules: way.modules });
    await learn(model, adapter, texts, way, steps);
    rows.push({
      way: way.name,
      aliceBefore: before[0],
      aliceAfter: await lossOf(model, texts.alice, adapter),
      shakespeareBefore: before[1],
      shakespeareAfter: await lossOf(model, texts.shakespeare, adapter),
    });
    adapter.close();
  }
  model.close();
  return rows;
}

export function forgettingTable(rows: readonly ForgettingRow[]): string {
  return formatTable(
    ['<learns Alice', 'Alice before', 'after', 'lower', 'Shakespeare before', 'after', 'rise'],
    rows.map((row) => [
      row.way,
      row.aliceBefore.toFixed(3),
      row.aliceAfter.toFixed(3),
      `${(100 * (1 - row.aliceAfter / row.aliceBefore)).toFixed(1)} %`,
      row.shakespeareBefore.toFixed(3),
      row.shakespeareAfter.toFixed(3),
      (row.shakespeareAfter - row.shakespeareBefore).toFixed(3),
    ]),
  );
}

function readTexts(model: LanguageModel, root: string): Texts {
  const windowsOf = (file: string, from: number, to: number) => {
    const ids = model.tokenizer.encode(readFileSync(join(root, 'data', file), 'utf8'), { addSpecialTokens: false });
    const part = ids.slice(Math.floor(from * ids.length), Math.floor(to * ids.length));
    return Array.from({ length: Math.floor(part.length / WINDOW) }, (_, i) => part.slice(i * WINDOW, (i + 1) * WINDOW));
  };
  const shakespeare = windowsOf('tiny-shakespeare-last-tenth.txt', 0, 1);
  return {
    learn: windowsOf('alice-in-wonderland.txt', 0, 0.9).map(asExample),
    alice: windowsOf('alice-in-wonderland.txt', 0.9, 1),
    shakespeare: shakespeare.slice(0, 32),
    old: shakespeare.slice(64),
  };
}

function asExample(tokens: Uint32Array): TokenExample {
  return { kind: 'supervised', weight: 1, sequence: targetsFrom(tokens, 1) };
}

async function learn(model: LanguageModel, adapter: LanguageAdapter, texts: Texts, way: Way, steps: number) {
  const { ewcLambda, replayShare } = way;
  if (ewcLambda > 0) {
    const sequences = texts.old.map((tokens) => targetsFrom(tokens, 1));
    await consolidateLanguageAdapter(model.decoder, adapter, sequences);
  }
  await trainLanguageAdapter(model.decoder, adapter, texts.learn, {
    contextLength: WINDOW,
    batchSize: BATCH,
    epochs: steps, // maxSteps ends it
    maxSteps: steps,
    learningRate: LEARNING_RATE,
    maxPassTokens: BATCH * WINDOW,
    ewcLambda,
    ...(replayShare > 0 && { replay: texts.old.map(asExample), replayShare }),
  });
}

async function lossOf(
  model: LanguageModel,
  windows: readonly Uint32Array[],
  adapter?: LanguageAdapter,
): Promise<number> {
  const logs = await model.scoreTokens(
    windows.map((tokens) => targetsFrom(tokens, 1)),
    { adapter },
  );
  const count = logs.reduce((sum, each) => sum + each.length, 0);
  return -logs.reduce((sum, each) => each.reduce((a, b) => a + b, sum), 0) / count;
}
