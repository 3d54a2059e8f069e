/** Tokens per second against llama.cpp, and what it costs to change the adapter between two requests. */
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
  /** tokens/s of llama.cpp, by its number of threads. */
  llamaCpp: Record<string, number>;
  /** lorakeet's as a multiple of llama.cpp's better one. */
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

/** llama.cpp in a process of its own. */
interface Peer {
  threads: number;
  worker: LineWorker;
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
  for (const each of cases) {
    for (const [storage, path] of Object.entries(each.gguf)) {
      const weightStorage = storage as WeightStorage;
      const { model, folder, threads } = each;
      const own = new LineWorker(process.execPath, [WORKER]);
      const peers: Peer[] = [];
      try {
        onProgress(`decoding: opening ${model}, ${storage}`);
        await own.ask({ kind: 'open', folder, weightStorage, threads, ...SIZES });
        // its threads wait for each other by spinning: where a core has other work too, one thread may be faster than two
        for (const count of 'reason' in llamaCpp ? [] : new Set([1, threads])) {
          const { script, folder } = llamaCpp as { script: string; folder: string };
          const worker = new LineWorker(process.execPath, [script, folder]);
          peers.push({ threads: count, worker });
          const opened = await worker.ask<{ name: string }>({ kind: 'open', path, threads: count, ...SIZES });
          result.llamaCpp = opened.name;
        }
        for (const sequences of [1, SEQUENCES]) {
          onProgress(`decoding: ${model}, ${storage}, ${sequences} at once`);
          result.rows.push(await compareSpeeds(each, weightStorage, sequences, own, peers));
        }
        if (weightStorage === 'bf16') {
          onProgress(`decoding: ${model}, adapters in turn`);
          const prompts = promptsOf(SWAP_REQUESTS, each.rounds + 1, each.vocabSize);
          const swapped = await own.ask<Swapped>({ kind: 'swap', prompts, newTokens: 2 });
          result.swaps.push({ model, ...swapped, addedSeconds: swapped.otherSeconds - swapped.sameSeconds });
        }
      } finally {
        for (const { worker } of [{ worker: own }, ...peers]) await worker.close();
      }
    }
  }
  return result;
}

/** They take turns, so that what disturbs them disturbs them alike. */
async function compareSpeeds(
  { model, vocabSize, rounds }: DecodingCase,
  weightStorage: WeightStorage,
  sequences: number,
  own: LineWorker,
  peers: readonly Peer[],
): Promise<DecodingRow> {
  const speeds = { own: [] as number[], peers: peers.map(() => [] as number[]) };
  for (let round = 0; round <= rounds; round++) {
    const question = { kind: 'generate', prompts: promptsOf(sequences, round, vocabSize), newTokens: NEW_TOKENS };
    const ours = await own.ask<Generated>(question);
    if (round > 0) speeds.own.push(ours.timed / ours.seconds);
    for (const [i, { worker }] of peers.entries()) {
      const theirs = await worker.ask<Generated>(question);
      requireSameToken(`${model}, ${weightStorage}`, ours, theirs);
      if (round > 0) speeds.peers[i].push(theirs.timed / theirs.seconds);
    }
  }
  const tokensPerSecond = median(speeds.own);
  const llamaCpp = Object.fromEntries(peers.map(({ threads }, i) => [threads, median(speeds.peers[i])]));
  const ratio = peers.length > 0 ? tokensPerSecond / Math.max(...Object.values(llamaCpp)) : null;
  return { model, weightStorage, sequences, tokensPerSecond, llamaCpp, ratio };
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
  const threads = Object.keys(rows[0].llamaCpp);
  return formatTable(
    ['<model', '<weights', 'at once', 'tokens/s', ...threads.map((count) => `llama.cpp, ${count} thr.`), '×'],
    rows.map(({ model, weightStorage, sequences, tokensPerSecond, llamaCpp, ratio }) => [
      model,
      weightStorage,
      String(sequences),
      tokensPerSecond.toFixed(1),
      ...threads.map((count) => llamaCpp[count]?.toFixed(1) ?? ''),
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
