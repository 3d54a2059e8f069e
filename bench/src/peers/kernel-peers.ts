/** Our kernel against every peer, same problem, same process where possible, one core. */
import type { KernelRow } from '../kernel-suite.js';
import type { Operation, Shape } from '../model.js';
import { shapeName } from '../population.js';
import { checkPeer } from './check-peer.js';
import type { Peer } from './native-peers.js';
import type { PeerProblem } from './peer-process.js';

export interface PeerTime {
  ns: number;
  /** Its time over ours. */
  ratio: number;
}

/** Cached populations, SGD with EWC. */
export interface PeerTiming extends Shape {
  op: Operation;
  /** Rows per user. */
  n: number;
  users: number;
  /** ns per user of our kernel, called from C. */
  ours: number;
  peers: Record<string, PeerTime>;
}

export interface PeerProblems {
  shapes: readonly Shape[];
  /** Rows per user. */
  rows: readonly number[];
  users: (shape: Shape, rows: number) => number;
  onProgress?: (what: string) => void;
}

/** A peer that is wrong is not timed from there on: `refused` says why. Throws where a measurement fails. */
export async function timePeers(
  peers: readonly Peer[],
  { shapes, rows: rowCounts, users: usersOf, onProgress }: PeerProblems,
): Promise<{ timings: PeerTiming[]; refused: Record<string, string> }> {
  const timings: PeerTiming[] = [];
  const refused: Record<string, string> = {};
  for (const shape of shapes) {
    onProgress?.(shapeName(shape));
    for (const rows of rowCounts) {
      const users = usersOf(shape, rows);
      for (const peer of peers.filter(({ label }) => !(label in refused))) {
        await checkPeer(peer.program, peer.name, shape, rows).catch((error: Error) => {
          refused[peer.label] = error.message;
        });
      }
      const good = peers.filter(({ label }) => !(label in refused));
      for (const operation of ['apply', 'update'] as const) {
        const times = await timeTogether(good, { ...shape, operation, users, rows });
        if (times) timings.push({ op: operation, ...shape, n: rows, users, ...times });
      }
    }
  }
  return { timings, refused };
}

/** Peers of one program in one request, ours among them; others right after, against ours of the first. */
async function timeTogether(
  peers: readonly Peer[],
  problem: PeerProblem,
): Promise<Pick<PeerTiming, 'ours' | 'peers'> | null> {
  const times: Record<string, PeerTime> = {};
  let first: number | undefined;
  for (const program of new Set(peers.map((peer) => peer.program))) {
    const together = peers.filter((peer) => peer.program === program);
    const names = together.map(({ name }) => name);
    const { own } = together[0];
    const measured = await program.time(own ? [own, ...names] : names, problem);
    const ours = own ? measured.shift() : first;
    if (ours === undefined) continue; // nothing of ours to set it against
    first ??= ours;
    together.forEach(({ label }, i) => {
      times[label] = { ns: measured[i], ratio: measured[i] / ours };
    });
  }
  return first === undefined ? null : { ours: first, peers: times };
}

/** The rows with what was found about them: the peers, and plain JavaScript as the kernel suite has measured it. */
export function withPeers(
  rows: readonly KernelRow[],
  { isa, kernels }: { isa: string; kernels: readonly PeerTiming[] },
): KernelRow[] {
  return rows.map((row) => {
    if (row.isa !== isa || row.population !== 'cached' || row.optimizer === 'adamw') return row;
    const same = ({ op, dim, rank, n }: PeerTiming): boolean =>
      op === row.op && dim === row.dim && rank === row.rank && n === row.n;
    const js: PeerTime = { ns: row.nsPerUser * row.jsRatio, ratio: row.jsRatio };
    return { ...row, peers: { ...kernels.find(same)?.peers, js } };
  });
}
