/** Language models: training against PEFT, its memory, and decoding against llama.cpp, on random weights of known shapes. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { grantedCores } from '#lorakeet/kernels/threads.js';
import { openModelFolder } from '#lorakeet/llm/model-folder.js';
import { installJsPeers } from '../peers/install.js';
import { UsageError } from '../usage-error.js';
import { compareDecoding, type Decoding, type DecodingCase, decodingTable, swapTable } from './decoding.js';
import { type ForgettingRow, forgettingTable, runForgetting } from './forgetting.js';
import { MODEL_SHAPES, type ModelShapeName, writeRandomModel } from './random-model.js';
import { TASK } from './task.js';
import {
  compareTraining,
  type EpochRow,
  epochTable,
  measureEpoch,
  ratioLines,
  type TrainingComparison,
  trainingTable,
} from './training.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** What there is to measure. Each adds its part to the record. */
const PARTS = ['training', 'memory', 'decoding', 'forgetting'] as const;
/** Without a name: what takes minutes, not an hour. */
const TIMED: readonly Part[] = ['training', 'memory', 'decoding'];
/** Of every way to learn Alice: as many as PEFT's figures were taken with. */
const FORGETTING_STEPS = 400;
type Part = (typeof PARTS)[number];

export interface LlmFigures {
  threads: number;
  training?: TrainingComparison;
  epochs?: EpochRow[];
  decoding?: Decoding;
  forgetting?: ForgettingRow[];
}

export { writeLlmDocuments as document } from './documents.js';

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const parts = parseParts(args);
  const threads = grantedCores();
  const scratch = mkdtempSync(join(tmpdir(), 'lorakeet-llm-'));
  const figures: LlmFigures = { threads };
  try {
    const models = new Models(scratch, onProgress);
    console.log(
      `${threads} threads; training: ${TASK.batchSize} × ${TASK.tokens} tokens, ${TASK.targets} of each scored, rank ${TASK.rank} on ${TASK.modules.join(', ')}`,
    );
    if (parts.includes('training')) {
      const cases = [
        { model: '135m', folder: await models.folder('135m'), threads, rounds: 4 },
        { model: '0.5b', folder: await models.folder('0.5b'), threads, rounds: 1 },
      ];
      const training = await compareTraining(cases, findPython(), onProgress);
      figures.training = training;
      console.log(`\nAgainst PEFT: ${training.peft}\n\n${trainingTable(training)}\n`);
      for (const line of ratioLines(training)) console.log(line);
    }
    if (parts.includes('memory')) {
      figures.epochs = await measureEpochs(models, threads, onProgress);
      console.log(`\nOne epoch of ${TASK.examples} examples in a fresh process, within a quarter of the weights\n`);
      console.log(epochTable(figures.epochs));
    }
    if (parts.includes('decoding')) {
      const decoding = await compareDecoding(await decodingCases(models, threads), findLlamaCpp(), onProgress);
      figures.decoding = decoding;
      console.log(`\nDecoding, against ${decoding.llamaCpp}\n\n${decodingTable(decoding)}\n\n${swapTable(decoding)}`);
    }
    if (parts.includes('forgetting')) {
      figures.forgetting = await runForgetting(ROOT, FORGETTING_STEPS, onProgress);
      console.log(
        `\nA model of Shakespeare learns Alice, ${FORGETTING_STEPS} steps\n\n${forgettingTable(figures.forgetting)}`,
      );
    }
  } finally {
    rmSync(scratch, { recursive: true });
  }
  return figures;
}

/** The whole epoch with the smaller model; with the larger one some steps of it. */
async function measureEpochs(models: Models, threads: number, onProgress: (what: string) => void): Promise<EpochRow[]> {
  const rows: EpochRow[] = [];
  for (const [model, whole] of [
    ['135m', TASK.examples / TASK.batchSize],
    ['0.5b', 4],
  ] as const) {
    for (const storage of ['bf16', 'f32'] as const) {
      const steps = storage === 'bf16' ? whole : 2;
      onProgress(`memory: ${model}, ${storage}, ${steps} steps`);
      const folder = await models.folder(model);
      rows.push(await measureEpoch({ model, folder, threads, steps, arithmetic: storage, weightStorage: storage }));
    }
  }
  return rows;
}

async function decodingCases(models: Models, threads: number): Promise<DecodingCase[]> {
  const cases: DecodingCase[] = [];
  for (const [model, rounds] of [
    ['15m', 5],
    ['135m', 3],
  ] as const) {
    const folder = await models.folder(model);
    const gguf = { bf16: await models.gguf(model, 'BF16'), f32: await models.gguf(model, 'F32') };
    cases.push({ model, vocabSize: MODEL_SHAPES[model].vocab_size, folder, gguf, threads, rounds });
  }
  return cases;
}

/** Written when they are first asked for. */
class Models {
  readonly #scratch: string;
  readonly #onProgress: (what: string) => void;

  constructor(scratch: string, onProgress: (what: string) => void) {
    this.#scratch = scratch;
    this.#onProgress = onProgress;
  }

  async folder(name: ModelShapeName): Promise<string> {
    const folder = join(this.#scratch, name);
    if (!existsSync(folder)) {
      this.#onProgress(`writing ${name}`);
      await writeRandomModel(folder, MODEL_SHAPES[name]);
    }
    return folder;
  }

  /** The same weights for llama.cpp, by the writer that checks of the interchange use. */
  async gguf(name: ModelShapeName, dtype: 'F32' | 'BF16'): Promise<string> {
    const path = join(this.#scratch, `${name}-${dtype}.gguf`);
    if (existsSync(path)) return path;
    this.#onProgress(`writing ${name} for llama.cpp, ${dtype}`);
    const files = await openModelFolder(await this.folder(name));
    const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
    for (const tensor of files.tensors) {
      weights.set(tensor.name, { shape: tensor.shape, data: await files.readFloat32(tensor) });
    }
    await files.close();
    const writer = pathToFileURL(join(ROOT, 'test', 'interchange', 'base-gguf.mjs')).href;
    const { writeBaseModel } = (await import(writer)) as {
      writeBaseModel: (path: string, config: object, weights: object, options: object) => void;
    };
    writeBaseModel(path, MODEL_SHAPES[name], weights, { dtype });
    return path;
  }
}

/** LORAKEET_PYTHON, the environment of check:interchange, or python3: what it lacks it says itself. */
function findPython(): { command: string; script: string } {
  const installed = join(ROOT, '.setup', 'interchange-venv', 'bin', 'python');
  const command = process.env.LORAKEET_PYTHON || (existsSync(installed) ? installed : 'python3');
  return { command, script: join(ROOT, 'bench', 'peers', 'peft_train.py') };
}

/** The package that check:interchange installs. */
function findLlamaCpp(): { script: string; folder: string } | { reason: string } {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    return { reason: 'nothing: test/interchange names the binaries of linux-x64 only' };
  }
  const folder = join(ROOT, 'test', 'interchange');
  const reason = installJsPeers(folder, (what) => console.error(`bench: llm ${what}`));
  return reason ? { reason: `nothing: ${reason}` } : { script: join(ROOT, 'bench', 'peers', 'llama_cpp.mjs'), folder };
}

/** --docs is for who runs the program. */
function parseParts(args: readonly string[]): readonly Part[] {
  let parsed: { positionals: string[] };
  try {
    parsed = parseArgs({ args: [...args], options: { docs: { type: 'boolean' } }, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { positionals } = parsed;
  for (const part of positionals) {
    if (!PARTS.includes(part as Part)) {
      throw new UsageError(`part: got ${JSON.stringify(part)}, expected one of ${PARTS.join(', ')}`);
    }
  }
  return positionals.length > 0 ? (positionals as Part[]) : TIMED;
}
