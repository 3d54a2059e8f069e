/** How many cores this process may keep busy. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';

/**
 * Whole cores granted to this process, at least 1: those that it may be scheduled on (Node's availableParallelism, which
 * knows the affinity mask), or what its cgroups' quotas of CPU time come to where that is less. A container limited to two
 * of a machine's cores sees all of them, and threads on all of them would only stop each other.
 *
 * Quotas are cpu.max of cgroup v2 and cpu.cfs_quota_us of v1, of the process's own cgroup and of all above it. `root` is
 * where /proc and /sys lie; where they are missing, as they are outside Linux, there is no quota.
 */
export function grantedCores(root = '/', available = availableParallelism()): number {
  return Math.max(1, Math.floor(Math.min(available, ...quotasInCores(root))));
}

function quotasInCores(root: string): number[] {
  const memberships = read(join(root, 'proc/self/cgroup'))?.split('\n') ?? [];
  return memberships.flatMap((membership) => {
    // hierarchy:controllers:path, v2 with no controllers; a path may itself have colons
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(membership) ?? [];
    if (controllers === '') return withAncestors(path).map((group) => quotaOfVersion2(root, group));
    if (controllers?.split(',').includes('cpu'))
      return withAncestors(path).map((group) => quotaOfVersion1(root, group));
    return [];
  });
}

/** '/a/b' → '/a/b', '/a', '/'. A container may see its own group as '/', whatever the path says. */
function withAncestors(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, i) => `/${parts.slice(0, parts.length - i).join('/')}`).concat('/');
}

/** cpu.max: quota and period in µs, or max for no limit. */
function quotaOfVersion2(root: string, group: string): number {
  const text =
    read(join(root, 'sys/fs/cgroup', group, 'cpu.max')) ?? read(join(root, 'sys/fs/cgroup/unified', group, 'cpu.max'));
  const [quota, period] = (text ?? '').split(' ').map(Number);
  return coresOf(quota, period);
}

/** µs in two files; a quota of −1 for no limit. */
function quotaOfVersion1(root: string, group: string): number {
  const folder = join(root, 'sys/fs/cgroup/cpu', group);
  return coresOf(Number(read(join(folder, 'cpu.cfs_quota_us'))), Number(read(join(folder, 'cpu.cfs_period_us'))));
}

function coresOf(quota: number, period: number): number {
  return quota > 0 && period > 0 ? quota / period : Infinity;
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
