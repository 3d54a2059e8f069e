/**
 * The decoder's matrix products, at the shapes of two language models, against OpenBLAS's in the same run: the forward
 * product x·Wᵀ and the one back, g·W. The native program compares before it times.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeInfo } from '#lorakeet/kernels/native.js';
import { grantedCores } from '#lorakeet/kernels/threads.js';
import { buildProgram } from '../peers/native-peers.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

/** [out, in] of the linear layers, and of the head where it is worth timing. */
const MODELS = {
  '135m': [
    [576, 576],
    [192, 576],
    [1536, 576],
    [576, 1536],
    [49152, 576],
  ],
  '0.5b': [
    [896, 896],
    [128, 896],
    [4864, 896],
    [896, 4864],
  ],
} as const;

/** Tokens of a training batch, of a prompt, of four sequences that are decoded together, of one. */
const ROWS = [512, 128, 4, 1];
/** Of the head, only what a chunk of target tokens takes. */
const MOST_HEAD_ROWS = 128;
/** As much as no cache holds. */
const WEIGHT_MEGABYTES = 256;

export interface ProductCase {
  threads: number;
  rows: number;
  out: number;
  in: number;
  /** Of floats that the weights are spread over. */
  megabytes: number;
}

export interface ProductTimes extends ProductCase {
  model?: string;
  /** What OpenBLAS calls the processor that it was made for. */
  openblas: string;
  /** What as many threads read from memory, in GB/s. */
  read_gbps: number;
  /** Per call. openblas · f32: weights and arithmetic · bf16: weights · bf16-arithmetic; with `-back` the product back. */
  seconds: Record<string, number>;
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  if (args.length > 0) throw new UsageError(`products takes no flags, got ${args.join(' ')}`);
  const isa = nativeInfo().isas[0];
  const built = buildProgram(ROOT, 'lorakeet_products_time');
  if ('reason' in built) throw new UsageError(`${built.reason}; OpenBLAS is needed (Debian: libopenblas-dev)`);
  const results: ProductTimes[] = [];
  for (const threads of new Set([1, grantedCores()])) {
    for (const [model, shapes] of Object.entries(MODELS)) {
      for (const rows of ROWS) {
        for (const [out, input] of shapes) {
          if (out > 10_000 && rows > MOST_HEAD_ROWS) continue;
          onProgress(`${model}, ${threads} threads, ${rows} rows, ${out}×${input}`);
          results.push({
            model,
            ...timeProduct(built.executable, isa, {
              threads,
              rows,
              out,
              in: input,
              megabytes: WEIGHT_MEGABYTES,
            }),
          });
        }
      }
    }
    const ofThreads = results.filter((result) => result.threads === threads);
    console.log(`\n${threads} thread${threads > 1 ? 's' : ''}, OpenBLAS for ${ofThreads[0].openblas}; GFLOP/s\n`);
    console.log(speedTable(ofThreads.filter(({ rows }) => rows > 8)));
    console.log('\nGB/s of weights read\n');
    console.log(bandwidthTable(ofThreads.filter(({ rows }) => rows <= 8)));
  }
  return { isa, results };
}

export function timeProduct(executable: string, isa: string, product: ProductCase): ProductTimes {
  const args = [isa, product.threads, product.rows, product.out, product.in, product.megabytes].map(String);
  // An older OpenBLAS takes a processor that it does not know for one without AVX-512; told better, it is at its best.
  const env = isa === 'avx512' ? { ...process.env, OPENBLAS_CORETYPE: 'SkylakeX' } : process.env;
  const { status, stdout, stderr, error, signal } = spawnSync(executable, args, { encoding: 'utf8', env });
  if (status !== 0)
    throw new Error(`lorakeet_products_time ${args.join(' ')}: ${error?.message ?? (stderr || signal)}`);
  return {
    ...product,
    ...(JSON.parse(stdout) as { openblas: string; read_gbps: number; seconds: ProductTimes['seconds'] }),
  };
}

/** × is how many times as fast as OpenBLAS. */
export function speedTable(results: readonly ProductTimes[]): string {
  return formatTable(
    ['<model', 'rows', '<out×in', '<product', 'OpenBLAS', 'f32', '×', 'bf16', '×', 'bf16 arithmetic', '×'],
    results.flatMap(({ model, rows, out, in: input, seconds }) =>
      ['', '-back'].map((back) => {
        const gflops = (name: string): string => ((2e-9 * rows * out * input) / seconds[name + back]).toFixed(0);
        const own = ['f32', 'bf16', 'bf16-arithmetic'].flatMap((name) =>
          name + back in seconds
            ? [gflops(name), (seconds[`openblas${back}`] / seconds[name + back]).toFixed(2)]
            : ['', ''],
        );
        return [model ?? '', String(rows), `${out}×${input}`, back ? 'back' : 'forward', gflops('openblas'), ...own];
      }),
    ),
  );
}

/** Of memory: what the threads read at most, over the same memory. */
export function bandwidthTable(results: readonly ProductTimes[]): string {
  return formatTable(
    ['<model', 'rows', '<out×in', 'memory', 'OpenBLAS f32', 'f32', 'bf16', 'bf16 of memory', 'µs, bf16'],
    results.map(({ model, rows, out, in: input, read_gbps, seconds }) => {
      const gbps = (name: string, bytes: number): number => (1e-9 * out * input * bytes) / seconds[name];
      return [
        ...[model ?? '', String(rows), `${out}×${input}`, read_gbps.toFixed(1), gbps('openblas', 4).toFixed(1)],
        ...[gbps('f32', 4).toFixed(1), gbps('bf16', 2).toFixed(1)],
        ...[`${((100 * gbps('bf16', 2)) / read_gbps).toFixed(0)} %`, (1e6 * seconds.bf16).toFixed(1)],
      ];
    }),
  );
}
