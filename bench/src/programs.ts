/** Benchmarks that stand alone: `npm run bench -- NAME [flags]`, with results of their own in bench/results/NAME.jsonl. */
import { join, relative } from 'node:path';
import { describeMachine, readCommit } from './machine.js';
import { appendRecord } from './results.js';
import { UsageError } from './usage-error.js';

export interface Program {
  /** Measures, prints tables on standard output, and returns what goes into the record. Throws UsageError. */
  run(args: readonly string[], onProgress: (what: string) => void): Promise<object>;
  /** Writes the figures of the records so far, `file`, into documents below `root`. With `--docs`. */
  document?(root: string, file: string): void;
}

interface Entry {
  /** For --help. */
  summary: string;
  load(): Promise<Program>;
}

export const PROGRAMS: Record<string, Entry> = {
  feedback: {
    summary: 'rows of feedback per second in each store, from one caller and from 50 (--rows N, --postgres)',
    load: () => import('./feedback/program.js'),
  },
  learning: {
    summary: 'trainings of the adapter learning engine, and what they forget (docs/learning.md)',
    load: () => import('./learning/program.js'),
  },
  llm: {
    summary:
      'language models: training against PEFT, memory, decoding against llama.cpp; or forgetting, by that name (--docs, --recorded)',
    load: () => import('./llm/program.js'),
  },
  merge: {
    summary: 'merging 32 adapters of rank 16 at 4096 × 4096, against dense matrices in numpy',
    load: () => import('./merge/program.js'),
  },
  packed: {
    summary: 'a snapshot of 100,000 users into a packed store and back, against the disk (--users N, --folder PATH)',
    load: () => import('./packed/program.js'),
  },
  products: {
    summary: 'matrix products of the language-model decoder, against OpenBLAS',
    load: () => import('./products/program.js'),
  },
  reasoning: {
    summary: 'updates that new users spare with the embedded ReasoningBank (--seeds N, default 10)',
    load: () => import('./reasoning/program.js'),
  },
  service: {
    summary: 'lorakeet serve under load while it trains (--seconds N, --rate N, --generate N, --threads N, --postgres)',
    load: () => import('./service/program.js'),
  },
  'service-form': {
    summary: 'the service form of the pool against direct calls: micro-batches, eviction, latency',
    load: () => import('./service-form/program.js'),
  },
  versions: {
    summary: 'publishing, activating and loading versions on each store (--versions N, --postgres, --s3 BUCKET)',
    load: () => import('./versions/program.js'),
  },
};

/** Instead of all other flags: the documents are written from what has been measured before. */
const RECORDED = '--recorded';

/** Runs the program and adds machine, commit, date and its figures to its results as one line. */
export async function runProgram(root: string, name: string, args: readonly string[]): Promise<void> {
  const machine = describeMachine();
  const [date, commit] = [new Date().toISOString(), readCommit(root)];
  console.log(`${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${date}, ${commit}`);
  const program = await PROGRAMS[name].load();
  const file = join(root, 'bench', 'results', `${name}.jsonl`);
  if (args.includes(RECORDED)) return documentRecorded(program, root, file, args);
  const figures = await program.run(args, (what) => console.error(`bench: ${name} ${what}`));
  const command = ['npm run bench --', name, ...args].join(' ');
  appendRecord(file, { date, commit, command, machine, ...figures });
  console.log(`\nadded to ${relative(root, file)}`);
  if (args.includes('--docs')) program.document?.(root, file);
}

/** Measures nothing. */
function documentRecorded(program: Program, root: string, file: string, args: readonly string[]): void {
  if (args.length > 1 || !program.document) throw new UsageError(`${RECORDED}: it stands alone, for what has --docs`);
  program.document(root, file);
}
