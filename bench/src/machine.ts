/** Where and when a run took place, so that its figures mean something later. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { availableParallelism, cpus, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import { nativeInfo } from '#lorakeet/kernels/native.js';

export interface Caches {
  L1: number;
  L2: number;
  L3: number;
}

export interface Machine {
  cpu: string;
  /** Cores this process may use. */
  cores: number;
  memoryGiB: number;
  platform: string;
  node: string;
  /** Bytes; `assumed` where the system does not tell. */
  caches: Caches & { assumed: boolean };
  /** The addon's file, or why there is none. */
  addon: string;
  instructionSets: readonly string[];
}

const ASSUMED_CACHES: Caches = { L1: 32 << 10, L2: 1 << 20, L3: 32 << 20 };

export function describeMachine(): Machine {
  const { available, file, reason, isas } = nativeInfo();
  return {
    cpu: cpus()[0]?.model.trim() || 'unknown',
    cores: availableParallelism(),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
    caches: readCaches(),
    addon: available ? (file ?? 'unknown') : `none: ${reason}`,
    instructionSets: isas,
  };
}

/** Data caches of the first core as Linux lists them. A missing last level counts as the one below it. */
export function readCaches(folder = '/sys/devices/system/cpu/cpu0/cache'): Caches & { assumed: boolean } {
  const found: Partial<Record<keyof Caches, number>> = {};
  try {
    for (const name of readdirSync(folder).filter((entry) => /^index\d+$/.test(entry))) {
      const read = (file: string) => readFileSync(join(folder, name, file), 'utf8').trim();
      const size = /^(\d+)([KM]?)$/.exec(read('size'));
      if (read('type') === 'Instruction' || !size) continue;
      found[`L${read('level')}` as keyof Caches] = Number(size[1]) * { '': 1, K: 2 ** 10, M: 2 ** 20 }[size[2]]!;
    }
  } catch {
    // not Linux, or a system that keeps it to itself
  }
  if (!found.L1 || !found.L2) return { ...ASSUMED_CACHES, assumed: true };
  return { L1: found.L1, L2: found.L2, L3: found.L3 ?? found.L2, assumed: false };
}

/** The commit that HEAD of the repository in `root` points to, read without git; 'unknown' outside of one. */
export function readCommit(root: string): string {
  try {
    const folder = gitFolder(root);
    const head = readFileSync(join(folder, 'HEAD'), 'utf8').trim();
    if (!head.startsWith('ref: ')) return head;
    const name = head.slice('ref: '.length);
    const commonFile = join(folder, 'commondir');
    const common = existsSync(commonFile) ? resolve(folder, readFileSync(commonFile, 'utf8').trim()) : folder;
    for (const place of [folder, common]) {
      if (existsSync(join(place, name))) return readFileSync(join(place, name), 'utf8').trim();
    }
    const packed = readFileSync(join(common, 'packed-refs'), 'utf8').split('\n');
    return packed.find((line) => line.endsWith(` ${name}`))?.split(' ')[0] ?? 'unknown';
  } catch {
    return 'unknown';
  }
}

/** In a linked work tree `.git` is a file that names the folder. */
function gitFolder(root: string): string {
  const path = join(root, '.git');
  const link = existsSync(join(path, 'HEAD')) ? null : /^gitdir: (.+)$/m.exec(readFileSync(path, 'utf8'));
  return link ? resolve(root, link[1]) : path;
}
