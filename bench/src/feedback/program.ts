/**
 * Rows of feedback per second in each store, from one caller who waits for every answer and from 50 at once, beside one synced
 * write of the same bytes into a plain file, which is what a row costs without group commit. Every row is counted afterwards.
 */
import { strictEqual } from 'node:assert';
import { randomUUID } from 'node:crypto';
import { closeSync, fsyncSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  type FeedbackInput,
  type FeedbackStore,
  PostgresFeedbackStore,
  SqliteFeedbackStore,
} from '#lorakeet/service/index.js';
import { cpuClock } from '../measure.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';

export interface FeedbackFigures {
  store: string;
  callers: number;
  perSecond: number;
  cpuMicrosPerRow: number;
  /** Of an answer, in milliseconds. */
  p50: number;
  p99: number;
}

interface OpenStore {
  name: string;
  store: FeedbackStore;
  /** Leaves nothing behind. */
  close(): Promise<void>;
}

const CALLERS = [1, 50];
const ANSWER = 'A small change to the weights of a model, as the product of two thin matrices. '.repeat(5);

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const { rows, postgres } = parseOptions(args);
  const figures = await runFeedback(rows, postgres, onProgress);
  console.log(`\n${rows} rows of ${Buffer.byteLength(JSON.stringify(feedback()))} bytes each\n`);
  const texts = figures.map(({ store, callers, perSecond, cpuMicrosPerRow, p50, p99 }) => [
    ...[store, String(callers), perSecond.toFixed(0), cpuMicrosPerRow.toFixed(0), p50.toFixed(2), p99.toFixed(2)],
  ]);
  console.log(formatTable(['<store', 'callers', 'rows/s', 'CPU µs/row', 'p50 ms', 'p99 ms'], texts));
  return { rows, figures };
}

export async function runFeedback(
  rows: number,
  postgres: boolean,
  onProgress: (what: string) => void,
): Promise<FeedbackFigures[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-feedback-'));
  const figures: FeedbackFigures[] = [];
  try {
    const file = openSync(join(folder, 'plain'), 'w');
    const line = JSON.stringify(feedback());
    onProgress('plain file');
    figures.push(
      await timed('plain file', 1, rows, async () => {
        writeSync(file, line);
        fsyncSync(file);
      }),
    );
    closeSync(file);
    for (const callers of CALLERS) {
      const openers = [() => openFile(join(folder, `${callers}.db`)), ...(postgres ? [openPostgres] : [])];
      for (const open of openers) {
        const { name, store, close } = await open();
        onProgress(`${name}, ${callers} at once`);
        try {
          figures.push(await timed(name, callers, rows, async () => void (await store.append([feedback()]))));
          strictEqual((await store.count({})).total, rows);
        } finally {
          await close();
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return figures;
}

async function timed(
  store: string,
  callers: number,
  rows: number,
  append: () => Promise<void>,
): Promise<FeedbackFigures> {
  const waits: number[] = [];
  const [begin, cpu] = [performance.now(), cpuClock()];
  let left = rows;
  const call = async () => {
    while (left-- > 0) {
      const start = performance.now();
      await append();
      waits.push(performance.now() - start);
    }
  };
  await Promise.all(Array.from({ length: callers }, call));
  const seconds = (performance.now() - begin) / 1000;
  const sorted = Float64Array.from(waits).sort();
  const at = (share: number) => sorted[Math.min(rows - 1, Math.floor(rows * share))];
  const cpuMicrosPerRow = ((cpuClock() - cpu) * 1000) / rows;
  return { store, callers, perSecond: rows / seconds, cpuMicrosPerRow, p50: at(0.5), p99: at(0.99) };
}

function feedback(): FeedbackInput {
  return {
    type: 'thumbs_up',
    request: { messages: [{ role: 'user', content: 'What is a LoRA adapter?' }], intent: 'explain' },
    response: { choices: [{ message: { role: 'assistant', content: ANSWER } }] },
  };
}

async function openFile(path: string): Promise<OpenStore> {
  const store = new SqliteFeedbackStore(path);
  return { name: 'SQLite', store, close: () => store.close() };
}

/** Where the server is, and the keys to it, is in the environment (PGHOST, …), so that no record has them. */
async function openPostgres(): Promise<OpenStore> {
  const schema = `lorakeet_bench_${randomUUID().replaceAll('-', '')}`;
  const store = await PostgresFeedbackStore.open({ schema });
  const close = async () => {
    await store.close();
    const { default: pg } = await import('pg');
    const client = new pg.Client();
    await client.connect();
    await client.query(`DROP SCHEMA "${schema}" CASCADE`);
    await client.end();
  };
  return { name: 'Postgres', store, close };
}

function parseOptions(args: readonly string[]): { rows: number; postgres: boolean } {
  const options = { rows: { type: 'string' }, postgres: { type: 'boolean' } } as const;
  let values: { rows?: string; postgres?: boolean };
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { rows: text = '5000', postgres = false } = values;
  const rows = Number(text);
  if (!Number.isInteger(rows) || rows < 1 || rows > 1e6) {
    throw new UsageError(`--rows: got ${text}, expected an integer from 1 to 1000000`);
  }
  return { rows, postgres };
}
