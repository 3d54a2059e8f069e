/** The peers that run outside of JavaScript: libraries behind a native program, and PyTorch. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { PeerProcess, type PeerProgram } from './peer-process.js';

export interface Peer {
  /** As the tables call it. */
  label: string;
  /** As the program calls it. */
  name: string;
  version: string;
  program: PeerProgram;
  /** Our kernel in the same program, to be timed in turn with the peer; without it in the program of another peer. */
  own?: string;
}

export interface Peers {
  peers: Peer[];
  /** Why the others are not there. */
  missing: Record<string, string>;
  close(): Promise<void>;
}

const DEBIAN_PACKAGES: Record<string, string> = { openblas: 'libopenblas-dev', eigen: 'libeigen3-dev' };

/** `isa`: of our kernel; null where there is no addon, and then there is nothing to compare. */
export async function openPeers(root: string, isa: string | null): Promise<Peers> {
  const missing: Record<string, string> = {};
  const programs: PeerProgram[] = [];
  const peers: Peer[] = [];
  const add = async (program: PeerProgram, own?: string): Promise<void> => {
    programs.push(program);
    for (const [name, version] of Object.entries(await program.names())) {
      peers.push({ label: name, name, version, program, own });
    }
  };
  const built = isa === null ? { reason: 'there is no native addon here' } : buildPeers(root);
  if ('reason' in built) {
    for (const name of ['naive', ...Object.keys(DEBIAN_PACKAGES), 'torch']) missing[name] = built.reason;
  } else {
    const { executable } = built;
    await add(new PeerProcess(executable), `lorakeet:${isa}`);
    for (const [name, debian] of Object.entries(DEBIAN_PACKAGES)) {
      if (!peers.some((peer) => peer.name === name)) missing[name] = `not found by CMake (Debian: ${debian})`;
    }
    const openblas = peers.find(({ name }) => name === 'openblas');
    if (openblas && isa === 'avx512' && !/SkylakeX|Cooperlake|SapphireRapids/.test(openblas.version)) {
      // it does not know this processor and would stay with AVX2; told what it is, it is compared at its best, too
      const told = new PeerProcess(executable, [], { OPENBLAS_CORETYPE: 'SkylakeX' });
      programs.push(told);
      const { openblas: version } = await told.names();
      peers.push({ ...openblas, label: 'openblas-avx512', version, program: told });
    }
    const torch = new PeerProcess(process.env.LORAKEET_PYTHON || 'python3', [join(root, 'bench/peers/torch_peer.py')]);
    await add(torch).catch((error: Error) => {
      missing.torch = error.message.split('\n').at(-1) ?? '';
    });
  }
  const close = async (): Promise<void> => {
    for (const program of programs) await program.close();
  };
  return { peers, missing, close };
}

export function buildPeers(root: string): Built {
  return buildProgram(root, 'lorakeet_peers');
}

export type Built = { executable: string } | { reason: string };

/** A native program, or why there is none. Libraries installed since the addon was built are found. */
export function buildProgram(root: string, target: string): Built {
  const build = join(root, 'build');
  if (!existsSync(join(build, 'CMakeCache.txt'))) return { reason: 'the native addon was not built here' };
  const parallel = String(availableParallelism());
  for (const args of [[build], ['--build', build, '--target', target, '--parallel', parallel]]) {
    const { error, status } = spawnSync('cmake', args, { encoding: 'utf8' });
    if (error) return { reason: `cmake cannot be run: ${error.message}` };
    if (status !== 0) return { reason: `it does not build; \`cmake --build build --target ${target}\` says why` };
  }
  return { executable: join(build, 'bench-native', target) };
}
