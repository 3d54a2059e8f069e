/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import { SHAPES, shapeName } from './population.js';
import { UsageError } from './usage-error.js';

export const SUITES = ['kernels', 'facade'] as const;
export type Suite = (typeof SUITES)[number];

export interface BenchOptions {
  suites: readonly Suite[];
  /** Few configurations, for a first look; false once a suite is asked for by name. */
  short: boolean;
  /** An instruction set, 'all', or undefined: the fastest. */
  isa?: string;
  /** `dim/rank`: only this shape. */
  shape?: string;
  /** File to write the results to. */
  json?: string;
  help: boolean;
}

export const HELP = `Measures kernels and facade against this machine's ceilings and against plain JavaScript, on one core, by CPU time.

npm run bench -- [suite …] [flags]

  kernels          apply and update: every shape, batch size, optimizer and population
  facade           what a call from TypeScript costs on top of the kernel, and pool.learn
                   (no suite: a short form of both)

  --isa NAME       instruction set of the cpu backend, or all (default: the fastest)
  --shape D/R      only this shape: ${SHAPES.map(shapeName).join(', ')}
  --json FILE      also write the results to FILE
  --help           show this

Every run is added to bench/results/kernels.jsonl. docs/benchmarks.md explains the columns.
`;

/** Throws UsageError. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const options = { isa: text, shape: text, json: text, help: { type: 'boolean' } } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  for (const suite of positionals) requireOneOf('suite', suite, SUITES);
  if (values.shape !== undefined) requireOneOf('--shape', values.shape, SHAPES.map(shapeName));
  if (values.isa === '') throw new UsageError('--isa: got an empty name, expected an instruction set or all');
  if (values.json === '') throw new UsageError('--json: got an empty name, expected a path');
  return {
    suites: positionals.length > 0 ? SUITES.filter((suite) => positionals.includes(suite)) : SUITES,
    short: positionals.length === 0,
    isa: values.isa,
    shape: values.shape,
    json: values.json,
    help: values.help === true,
  };
}

function requireOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) {
    throw new UsageError(`${name}: got ${JSON.stringify(value)}, expected one of ${allowed.join(', ')}`);
  }
}
