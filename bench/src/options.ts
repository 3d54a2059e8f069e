/** The command line of the benchmark. */
import { parseArgs } from 'node:util';
import { SHAPES, shapeName } from './population.js';
import { PROGRAMS } from './programs.js';
import { UsageError } from './usage-error.js';

export const SUITES = ['kernels', 'facade'] as const;
export type Suite = (typeof SUITES)[number];

/** What is learned, not how fast; only when asked for by name. */
export const CONTINUAL = 'continual';

export interface BenchOptions {
  suites: readonly Suite[];
  /** Measure forgetting; no suite is timed unless one is named as well. */
  continual: boolean;
  /** Few configurations, for a first look; false once a suite is asked for by name. */
  short: boolean;
  /** An instruction set, 'all', or undefined: the fastest. */
  isa?: string;
  /** `dim/rank`: only this shape. */
  shape?: string;
  /** Also measure what the kernels are compared with. */
  peers: boolean;
  /** Write the figures into README.md and docs/benchmarks.md. */
  docs: boolean;
  /** File to write the results to. */
  json?: string;
  help: boolean;
}

export const HELP = `Measures kernels and facade against this machine's ceilings and against plain JavaScript, on one core, by CPU time.

npm run bench -- [suite …] [flags]

  kernels          apply and update: every shape, batch size, optimizer and population; growth to 100,000 users, bf16, memory,
                   two cores against one
  facade           what a call from TypeScript costs on top of the kernel, and pool.learn
                   (no suite: a short form of both)
  continual        forgetting: the permuted-task protocol and two tasks one after the other; on the fastest backend

  --isa NAME       instruction set of the cpu backend, or all (default: the fastest)
  --shape D/R      only this shape: ${SHAPES.map(shapeName).join(', ')}
  --peers          with kernels: also OpenBLAS, Eigen, naive C++ and PyTorch where they are found, the adapters that npm has
                   (installed into bench/peers)
  --docs           write the figures into README.md and docs/benchmarks.md: needs kernels, facade and --peers, whole
  --json FILE      also write the results to FILE
  --help           show this

npm run bench -- NAME [flags], each alone and with flags of its own:

${Object.entries(PROGRAMS)
  .map(([name, { summary }]) => `  ${name.padEnd(16)} ${summary}`)
  .join('\n')}

Every run is added to bench/results/kernels.jsonl, those of continual and of NAME to a file of that name there. docs/benchmarks.md explains the columns.
`;

/** Throws UsageError. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean' } as const;
  const options = {
    isa: text,
    shape: text,
    json: text,
    peers: flag,
    docs: flag,
    help: flag,
  } as const;
  let parsed: ReturnType<typeof parseArgs<{ options: typeof options; allowPositionals: true }>>;
  try {
    parsed = parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const { values, positionals } = parsed;
  for (const suite of positionals) requireOneOf('suite', suite, [...SUITES, CONTINUAL]);
  if (values.shape !== undefined) requireOneOf('--shape', values.shape, SHAPES.map(shapeName));
  if (values.isa === '') throw new UsageError('--isa: got an empty name, expected an instruction set or all');
  if (values.json === '') throw new UsageError('--json: got an empty name, expected a path');
  const suites = positionals.length > 0 ? SUITES.filter((suite) => positionals.includes(suite)) : SUITES;
  if (values.peers && !suites.includes('kernels')) throw new UsageError('--peers: needs the suite kernels');
  const whole = positionals.includes('kernels') && positionals.includes('facade') && values.peers === true;
  if (values.docs && (!whole || values.shape !== undefined || values.isa !== undefined)) {
    throw new UsageError('--docs: needs kernels, facade and --peers, and every shape on the fastest instruction set');
  }
  return {
    suites,
    continual: positionals.includes(CONTINUAL),
    short: positionals.length === 0,
    isa: values.isa,
    shape: values.shape,
    peers: values.peers === true,
    docs: values.docs === true,
    json: values.json,
    help: values.help === true,
  };
}

function requireOneOf(name: string, value: string, allowed: readonly string[]): void {
  if (!allowed.includes(value)) {
    throw new UsageError(`${name}: got ${JSON.stringify(value)}, expected one of ${allowed.join(', ')}`);
  }
}
