/** The benchmark's native programs: built where the addon was built, when a compiler is there. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Caches } from './machine.js';
import type { Ceilings, Operation, Optimizer, Shape } from './model.js';

export interface NativePrograms {
  ceilings(caches: Caches): Ceilings;
  /** ns per user of a kernel called from C, all users in one call. */
  kernelTimeNs(kernel: KernelCase): number;
}

export interface KernelCase extends Shape {
  isa: string;
  operation: Operation;
  optimizer: Optimizer;
  users: number;
  rows: number;
}

/** The programs, or the reason why there are none. */
export function buildNativePrograms(root: string): NativePrograms | string {
  const build = join(root, 'build');
  if (!existsSync(join(build, 'CMakeCache.txt'))) return 'the native addon was not built here';
  const how = ['--target', 'lorakeet_bench', '--config', 'Release', '--parallel', String(availableParallelism())];
  const result = spawnSync('cmake', ['--build', build, ...how], { encoding: 'utf8' });
  if (result.error) return `cmake cannot be run: ${result.error.message}`;
  if (result.status !== 0) return 'they do not build; `cmake --build build --target lorakeet_bench` says why';
  const program = (name: string, args: (string | number)[]): string => {
    const run = spawnSync(join(build, 'bench-native', name), args.map(String), { encoding: 'utf8' });
    if (run.status !== 0)
      throw new Error(`${name} ${args.join(' ')}: ${run.error?.message ?? (run.stderr || run.signal)}`);
    return run.stdout;
  };
  return {
    ceilings: ({ L1, L2, L3 }) => JSON.parse(program('lorakeet_ceilings', [L1, L2, L3])) as Ceilings,
    kernelTimeNs: ({ isa, operation, optimizer, dim, rank, users, rows }) =>
      Number(program('lorakeet_kernel_time', [isa, operation, optimizer, dim, rank, users, rows])),
  };
}
