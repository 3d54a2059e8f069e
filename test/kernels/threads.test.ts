import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { grantedCores } from '../../src/kernels/threads.js';
import { resolveConfig } from '../../src/personalization/options.js';

const folder = mkdtempSync(join(tmpdir(), 'lorakeet-threads-'));
afterAll(() => rmSync(folder, { recursive: true }));

let machines = 0;
/** A root folder with these files, as the kernel of a machine would show them. */
function machine(files: Record<string, string>): string {
  const root = join(folder, String(machines++));
  for (const [path, text] of Object.entries({ 'proc/version': 'Linux\n', ...files })) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  }
  return root;
}

const V2 = { 'proc/self/cgroup': '0::/user.slice/job:1\n' };
const V1 = {
  'proc/self/cgroup': '5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n1:name=systemd:/docker/abc\n0::/\n',
};
const max = (folder: string, text: string) => ({ [`sys/fs/cgroup${folder}/cpu.max`]: `${text}\n` });
const cfs = (folder: string, quota: number, period = 100_000) => ({
  [`sys/fs/cgroup/cpu${folder}/cpu.cfs_quota_us`]: `${quota}\n`,
  [`sys/fs/cgroup/cpu${folder}/cpu.cfs_period_us`]: `${period}\n`,
});

describe('the cores granted to this process', () => {
  const cases: [string, Record<string, string>, number][] = [
    ['all where nothing is limited', {}, 16],
    [
      'all under a cgroup without a quota',
      { ...V2, ...max('/user.slice/job:1', 'max 100000'), ...max('', 'max 100000') },
      16,
    ],
    ['the quota of its cgroup', { ...V2, ...max('/user.slice/job:1', '400000 100000') }, 4],
    ['in whole cores, not one too many', { ...V2, ...max('/user.slice/job:1', '250000 100000') }, 2],
    ['one, of less than one', { ...V2, ...max('/user.slice/job:1', '20000 100000') }, 1],
    ['another period', { ...V2, ...max('/user.slice/job:1', '150000 50000') }, 3],
    [
      'a tighter quota further up',
      { ...V2, ...max('/user.slice/job:1', '800000 100000'), ...max('/user.slice', '300000 100000') },
      3,
    ],
    ['a container that sees its group as the root', { ...V2, ...max('', '500000 100000') }, 5],
    ['no more than there are', { ...V2, ...max('/user.slice/job:1', '6400000 100000') }, 16],
    ['cgroup v1', { ...V1, ...cfs('/docker/abc', 300_000) }, 3],
    ['cgroup v1, as its root', { ...V1, ...cfs('', 200_000) }, 2],
    ['cgroup v1 without a quota', { ...V1, ...cfs('/docker/abc', -1), ...cfs('', -1) }, 16],
    [
      'v1 and v2 side by side',
      { ...V1, ...cfs('/docker/abc', -1), 'sys/fs/cgroup/unified/cpu.max': '700000 100000' },
      7,
    ],
    ['nonsense', { 'proc/self/cgroup': 'what\n::\n0::/a\n', ...max('/a', 'plenty') }, 16],
  ];
  it.each(cases)('%s', (_, files, cores) => {
    expect(grantedCores(machine(files), 16)).toBe(cores);
  });

  it('here', () => {
    const cores = grantedCores();
    expect(Number.isInteger(cores)).toBe(true);
    expect(cores).toBeGreaterThanOrEqual(1);
    expect(cores).toBeLessThanOrEqual(availableParallelism());
    expect(resolveConfig({}).threads).toBe(Math.min(cores, 256));
  });
});
