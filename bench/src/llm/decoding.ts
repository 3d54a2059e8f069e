/** Tokens per second against llama.cpp, and what it costs to change the adapter between two requests. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { WeightStorage } from '#lorakeet/llm/decoder/contract.js';
import { formatTable } from '../table.js';
import type { Generated, Swapped } from './decode-worker.js';
import { LineWorker } from './line-worker.js';
import { median, tokenAt } from './task.js';

export interface DecodingCase {
  model: string;
  vocabSize: number;
  folder: string;
  /** The same weights for llama.cpp, by storage. */
  gguf: Partial<Record<WeightStorage, string>>;
  threads: number;
  rounds: number;
}

export interface DecodingRow {
  model: string;
  weightStorage: WeightStorage;
  sequences: number;
  tokensPerSecond: number;
  llamaCpp: number | null;
  /** lorakeet's as a share of llama.cpp's. */
  ratio: number | null;
}

export interface SwapRow extends Swapped {
  model: string;
  /** Of the medians of a request's time. */
  addedSeconds: number;
}

export interface Decoding {
  rows: DecodingRow[];
  swaps: SwapRow[];
  llamaCpp: string;
}

const WORKER = fileURLToPath(new URL('./decode-worker.js', import.meta.url));
const SEQUENCES = 4;
const PROMPT = 16;
const NEW_TOKENS = 32;
const SIZES = { sequences: SEQUENCES, positions: 256 };
/** Requests of the comparison of adapters; half of them change it. */
const SWAP_REQUESTS = 80;

/** `llamaCpp`: the script and the package folder, or why it is not there. */
export async function compareDecoding(
  cases: readonly DecodingCase[],
  llamaCpp: { script: string; folder: string } | { reason: string },
  onProgress: (what: string) => void,
): Promise<Decoding> {
  const result: Decoding = { rows: [], swaps: [], llamaCpp: 'reason' in llamaCpp ? llamaCpp.reason : '' };
  for (const { model, vocabSize, folder, gguf, threads, rounds } of cases) {
    for (const [storage, path] of Object.entries(gguf)) {
      const weightStorage = storage as WeightStorage;
      const own = new LineWorker(process.execPath, [WORKER]);
      const peer =
        'reason' in llamaCpp ? null : new LineWorker(process.execPath, [llamaCpp.script, join(llamaCpp.folder)]);
      try {
        onProgress(`decoding: opening ${model}, ${storage}`);
        await own.ask({ kind: 'open', folder, weightStorage, threads, ...SIZES });
        if (peer) result.llamaCpp = (await peer.ask<{ name: string }>({ kind: 'open', path, threads, ...SIZES })).name;
        for (const sequences of [1, SEQUENCES]) {
          onProgress(`decoding: ${model}, ${storage}, ${sequences} at once`);
          const speeds: { own: number[]; peer: number[] } = { own: [], peer: [] };
          for (let round = 0; round <= rounds; round++) {
            const question = {
              kind: 'generate',
              prompts: promptsOf(sequences, round, vocabSize),
              newTokens: NEW_TOKENS,
            };
            const ours = await own.ask<Generated>(question);
            const theirs = await peer?.ask<Generated>(question);
            if (theirs) requireSameToken(`${model}, ${storage}`, ours, theirs);
            if (round === 0) continue;
            speeds.own.push(ours.timed / ours.seconds);
            if (theirs) speeds.peer.push(theirs.timed / theirs.seconds);
          }
          const tokensPerSecond = median(speeds.own);
          const other = peer ? median(speeds.peer) : null;
          const ratio = other === null ? null : tokensPerSecond / other;
          result.rows.push({ model, weightStorage, sequences, tokensPerSecond, llamaCpp: other, ratio });
        }
        if (weightStorage === 'bf16') {
          onProgress(`decoding: ${model}, adapters in turn`);
          const prompts = promptsOf(SWAP_REQUESTS, rounds + 1, vocabSize);
          const swapped = await own.ask<Swapped>({ kind: 'swap', prompts, newTokens: 2 });
          result.swaps.push({ model, ...swapped, addedSeconds: swapped.otherSeconds - swapped.sameSeconds });
        }
      } finally {
        await own.close();
        await peer?.close();
      }
    }
  }
  return result;
}

function promptsOf(count: number, round: number, vocabSize: number): number[][] {
  return Array.from({ length: count }, (_, sequence) =>
    Array.from({ length: PROMPT }, (_, i) => tokenAt((round * count + sequence) * PROMPT + i, vocabSize)),
  );
}

/** What is wrong is not worth timing. Later tokens may part: of random weights the likeliest tokens are close together. */
function requireSameToken(what: string, ours: Generated, theirs: Generated): void {
  const first = ({ tokens }: Generated): string => tokens.map(([token]) => token).join();
  if (first(ours) !== first(theirs)) {
    throw new Error(`${what}: the first tokens are ${first(ours)}, those of llama.cpp ${first(theirs)}`);
  }
}

export function decodingTable({ rows }: Decoding): string {
  return formatTable(
    ['<model', '<weights', 'sequences', 'tokens/s', 'llama.cpp', 'ratio'],
    rows.map(({ model, weightStorage, sequences, tokensPerSecond, llamaCpp, ratio }) => [
      model,
      weightStorage,
      String(sequences),
      tokensPerSecond.toFixed(1),
      llamaCpp?.toFixed(1) ?? '',
      ratio?.toFixed(2) ?? '',
    ]),
  );
}

export function swapTable({ swaps }: Decoding): string {
  const ms = (seconds: number): string => (1000 * seconds).toFixed(2);
  return formatTable(
    ['<model', 'same adapter, ms', 'another, ms', 'added ms', 'new adapter, ms'],
    swaps.map(({ model, sameSeconds, otherSeconds, addedSeconds, loadSeconds }) => [
      model,
      ...[sameSeconds, otherSeconds, addedSeconds, loadSeconds].map(ms),
    ]),
  );
}
