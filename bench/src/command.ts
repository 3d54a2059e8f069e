/** The benchmark's command: what runs in which order, and where the results go. */
import { existsSync } from 'node:fs';
import { freemem } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import { jsBackend } from '#lorakeet/kernels/js.js';
import { createNativeBackend } from '#lorakeet/kernels/native.js';
import { runContinualSuite } from './continual/suite.js';
import { writeDocuments } from './documents.js';
import { runFacadeSuite } from './facade-suite.js';
import { runKernelSuite, toRow } from './kernel-suite.js';
import { describeMachine, type Machine, readCommit } from './machine.js';
import { betterOf, type Shape } from './model.js';
import { buildNativePrograms } from './native-programs.js';
import { type BenchOptions, HELP, parseOptions } from './options.js';
import { compareWithPeers } from './peers/comparison.js';
import { withPeers } from './peers/kernel-peers.js';
import { comparisonTables } from './peers/tables.js';
import { SHAPES, shapeName } from './population.js';
import { PROGRAMS, runProgram } from './programs.js';
import { appendRecord, type RunRecord, writeRecord } from './results.js';
import { measureScale } from './scale/scale.js';
import { scaleTables } from './scale/tables.js';
import { ceilingsTable, facadeTable, kernelTable } from './table.js';
import { UsageError } from './usage-error.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');
const RESULTS = join(ROOT, 'bench', 'results', 'kernels.jsonl');

/** Returns the exit code: 0, or 2 for a mistake in the arguments. Throws when a kernel is wrong. */
export async function runCommand(args: readonly string[]): Promise<0 | 2> {
  try {
    const [first, ...rest] = args;
    if (Object.hasOwn(PROGRAMS, first ?? '')) {
      await runProgram(ROOT, first, rest);
      return 0;
    }
    const options = parseOptions(args);
    if (options.help) process.stdout.write(HELP);
    else await runSuites(args, options);
    return 0;
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${error.message}\n\`npm run bench -- --help\` lists what there is.`);
    return 2;
  }
}

async function runSuites(args: readonly string[], options: BenchOptions): Promise<void> {
  if (options.continual) await runContinualSuite(ROOT, args);
  if (options.suites.length > 0) await runBench(args, options);
}

async function runBench(args: readonly string[], options: BenchOptions): Promise<void> {
  if (options.json !== undefined && !existsSync(dirname(options.json))) {
    throw new UsageError(`--json: got ${JSON.stringify(options.json)}, expected a file in a folder that exists`);
  }
  const machine = describeMachine();
  const backends = chooseBackends(options.isa, machine);
  const date = new Date().toISOString();
  const commit = readCommit(ROOT);
  console.log(
    `${machine.cpu}, ${machine.cores} cores, ${machine.platform}, Node ${machine.node}, ${date}, commit ${commit}`,
  );
  console.log(`addon: ${machine.addon}`);

  const programs = buildNativePrograms(ROOT);
  const missing = typeof programs === 'string' ? programs : undefined;
  const native = typeof programs === 'string' ? null : programs;
  const before = native?.ceilings(machine.caches);
  const progress = (suite: string) => (what: string) => console.error(`bench: ${suite} ${what}`);
  const kernelShapes = shapesOf(options, ['64/4', '128/8', '768/16']);
  const rowCounts = options.short ? [8] : [1, 8, 64];
  const timings = options.suites.includes('kernels')
    ? await runKernelSuite({
        shapes: kernelShapes,
        rows: rowCounts,
        backends,
        caches: machine.caches,
        memoryBytes: freemem() / 2 / backends.length,
        onProgress: progress('kernels'),
      })
    : [];
  const scale =
    options.suites.includes('kernels') && !options.short
      ? await measureScale(backends[0], machine, kernelShapes, progress('scale'))
      : undefined;
  const comparison = options.peers
    ? await compareWithPeers({
        root: ROOT,
        caches: machine.caches,
        backend: backends[0],
        shapes: kernelShapes,
        rows: rowCounts,
        onProgress: progress('peers'),
      })
    : undefined;
  const facade = options.suites.includes('facade')
    ? await runFacadeSuite({
        shapes: shapesOf(options, ['64/4']),
        backends,
        caches: machine.caches,
        kernelTimeNs: native?.kernelTimeNs ?? null,
        onProgress: progress('facade'),
      })
    : [];
  const ceilings = native && before ? betterOf(before, native.ceilings(machine.caches)) : null;
  const command = ['npm run bench', ...(args.length > 0 ? ['--', ...withoutPath(args)] : [])].join(' ');
  const withFloors = timings.map((timing) => toRow(timing, ceilings));
  const rows = comparison ? withPeers(withFloors, comparison) : withFloors;
  report(
    { date, commit, command, machine, ceilings, ceilingsMissing: missing, rows, facade, scale, comparison },
    options,
  );
}

/** The native ones asked for, fastest first, then plain JavaScript. */
function chooseBackends(isa: string | undefined, { instructionSets, addon }: Machine): KernelBackend[] {
  if (isa !== undefined && isa !== 'all' && !instructionSets.includes(isa)) {
    const known = instructionSets.length > 0 ? ['all', ...instructionSets].join(', ') : `none here (addon: ${addon})`;
    throw new UsageError(`--isa: got ${JSON.stringify(isa)}, expected one of ${known}`);
  }
  const wanted = isa === 'all' ? instructionSets : isa !== undefined ? [isa] : instructionSets.slice(0, 1);
  return [...wanted.map((name) => createNativeBackend({ device: 'cpu', isa: name })), jsBackend];
}

/** `few`: those of the short form. */
function shapesOf({ short, shape }: BenchOptions, few: readonly string[]): readonly Shape[] {
  if (shape !== undefined) return SHAPES.filter((candidate) => shapeName(candidate) === shape);
  return short ? SHAPES.filter((candidate) => few.includes(shapeName(candidate))) : SHAPES;
}

/** The command as others can repeat it: --json changes no figure, and names a path of this machine. */
function withoutPath(args: readonly string[]): string[] {
  return args.filter((arg, i) => !arg.startsWith('--json') && args[i - 1] !== '--json');
}

function report(record: RunRecord, { json, docs }: BenchOptions): void {
  const { ceilings, ceilingsMissing, rows, facade, scale, comparison, machine } = record;
  if (ceilings)
    console.log(
      `\nCeilings of one core${machine.caches.assumed ? ' (cache sizes assumed)' : ''}\n${ceilingsTable(ceilings)}`,
    );
  else console.log(`\nNo ratios to the floor, because there are no native programs: ${ceilingsMissing}`);
  if (rows.length > 0) console.log(`\n${kernelTable(rows)}`);
  if (scale) console.log(`\n${scaleTables(scale)}`);
  if (comparison) console.log(`\n${comparisonTables(comparison, rows)}`);
  if (facade.length > 0) console.log(`\n${facadeTable(facade)}`);
  if (json !== undefined) writeRecord(json, record);
  appendRecord(RESULTS, record);
  if (docs) writeDocuments(ROOT, record);
  console.log(`\nadded to ${relative(ROOT, RESULTS)}`);
}
