/** Our public TypeScript API against the npm packages, each in a process of its own, one right after another. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Shape } from '../model.js';
import { shapeName } from '../population.js';
import { JS_PEERS } from './js-adapters.js';
import { type JsTimes, OURS } from './js-timing.js';
import type { PeerTime } from './kernel-peers.js';

export const USES = {
  one: 'apply, one vector',
  many: 'apply, 1000 users',
  update: 'update, 1000 users × 16 rows',
  sgd: 'the same, ours with SGD',
} as const;

export interface PublicApiRow extends Shape {
  /** One of USES. */
  what: string;
  /** ns per vector, or per user updated; CPU time of the process. */
  ours: number;
  peers: Record<string, PeerTime>;
}

export interface PublicApiTimes {
  rows: PublicApiRow[];
  versions: Record<string, string>;
  /** Peers that are wrong or do not run, and what they said. */
  refused: Record<string, string>;
}

/** Runs NAME on a shape; throws an Error where it is wrong. */
export type TimeJs = (name: string, shape: Shape) => JsTimes;

export function timePublicApi(
  shapes: readonly Shape[],
  timeJs: TimeJs,
  onProgress?: (what: string) => void,
): PublicApiTimes {
  const rows: PublicApiRow[] = [];
  const versions: Record<string, string> = {};
  const refused: Record<string, string> = {};
  for (const shape of shapes) {
    onProgress?.(`public API, ${shapeName(shape)}`);
    const ours = timeJs(OURS, shape);
    versions[OURS] = ours.version;
    const peers: Record<string, JsTimes> = {};
    for (const name of Object.keys(JS_PEERS).filter((peer) => !(peer in refused))) {
      try {
        peers[name] = timeJs(name, shape);
        versions[name] = peers[name].version;
      } catch (error) {
        refused[name] = (error as Error).message;
      }
    }
    for (const [use, what] of Object.entries(USES) as [keyof typeof USES, string][]) {
      rows.push({ what, ...shape, ours: ours[use] as number, peers: ratios(use, ours, peers) });
    }
  }
  return { rows, versions, refused };
}

function ratios(use: keyof typeof USES, ours: JsTimes, peers: Record<string, JsTimes>): Record<string, PeerTime> {
  const times: Record<string, PeerTime> = {};
  for (const [name, { [use]: ns }] of Object.entries(peers)) {
    if (ns !== null) times[name] = { ns, ratio: ns / (ours[use] as number) };
  }
  return times;
}

/** In a child process; `folder` is bench/peers. */
export function timeInProcess(folder: string): TimeJs {
  const worker = fileURLToPath(new URL('./js-worker.js', import.meta.url));
  return (name, { dim, rank }) => {
    const args = [worker, name, folder, String(dim), String(rank)];
    const { status, stdout, stderr, error } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    if (status !== 0) throw new Error(error?.message ?? (stderr.trim().split('\n').at(-1) || `exit ${status}`));
    return JSON.parse(stdout.trim().split('\n').at(-1) as string) as JsTimes;
  };
}
