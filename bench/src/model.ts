/**
 * What a kernel has to do at least, and how long this machine needs for that at least: the floor.
 *
 * With P = 2·rank·dim numbers in an adapter and n rows of one user:
 *
 *   apply             4·n·r·d flops         4P bytes read, 8·n·d bytes copied (rows in, rows out)
 *   update, SGD       10·n·r·d + 12P flops  20P + 8·n·d bytes: weights and Fisher read and written, anchor read; x, target
 *   update, AdamW     10·n·r·d + 12P flops  36P + 8·n·d bytes: two moments more, read and written
 *
 * This is the model that all figures of the project refer to. It lets an update rewrite the Fisher; ours only reads it
 * and so moves 4P bytes less. docs/benchmarks.md discusses it.
 */

/** Streams by their mix of reads and writes; bench/native/streams.h. */
export type Stream = 'read' | 'copy' | 'update';

export type Level = 'L1' | 'L2' | 'L3' | 'DRAM';

/** Of one core, measured in the same run as the kernels. */
export interface Ceilings {
  /** GFLOP/s (= flops per ns) of fp32 multiply-adds, by instruction set */
  fma: Record<string, number>;
  /** GB/s (= bytes per ns) */
  bandwidth: Record<Level, Record<Stream, number>>;
}

export type Operation = 'apply' | 'update';
export type Optimizer = 'sgd' | 'adamw';

export interface Shape {
  dim: number;
  rank: number;
}

/** The work of one user's rows. */
export interface Work {
  flops: number;
  bytes: Partial<Record<Stream, number>>;
}

export function workOf(operation: Operation, { dim, rank }: Shape, rows: number, optimizer: Optimizer): Work {
  const parameters = 2 * rank * dim;
  const rowBytes = 8 * rows * dim;
  if (operation === 'apply') return { flops: 4 * rows * rank * dim, bytes: { read: 4 * parameters, copy: rowBytes } };
  return {
    flops: 10 * rows * rank * dim + 12 * parameters,
    bytes: { update: (optimizer === 'sgd' ? 20 : 36) * parameters + rowBytes },
  };
}

export function totalBytes({ bytes }: Work): number {
  return Object.values(bytes).reduce((sum, part) => sum + part, 0);
}

export interface Floor {
  /** ns at the FMA peak */
  computeNs: number;
  /** ns at the bandwidth of `level` */
  memoryNs: number;
  /** The larger of the two: no kernel does it in less. */
  floorNs: number;
}

/** `isa`: whose FMA peak counts; one that was not measured (js) is held to the fastest. */
export function floorOf(work: Work, ceilings: Ceilings, isa: string, level: Level): Floor {
  const computeNs = work.flops / (ceilings.fma[isa] ?? Math.max(...Object.values(ceilings.fma)));
  let memoryNs = 0;
  for (const [stream, bytes] of Object.entries(work.bytes)) {
    memoryNs += bytes / ceilings.bandwidth[level][stream as Stream];
  }
  return { computeNs, memoryNs, floorNs: Math.max(computeNs, memoryNs) };
}

/** Every ceiling at the better of two measurements: noise only ever lowers them. */
export function betterOf(a: Ceilings, b: Ceilings): Ceilings {
  const max = <Key extends string>(x: Record<Key, number>, y: Record<Key, number>): Record<Key, number> => {
    const best = { ...x };
    for (const key of Object.keys(y) as Key[]) best[key] = Math.max(best[key] ?? 0, y[key]);
    return best;
  };
  const bandwidth = { ...a.bandwidth };
  for (const level of Object.keys(b.bandwidth) as Level[]) bandwidth[level] = max(bandwidth[level], b.bandwidth[level]);
  return { fma: max(a.fma, b.fma), bandwidth };
}
