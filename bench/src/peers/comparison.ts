/** `--peers`: everything that is measured beside the kernel table. */
import { join } from 'node:path';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import type { Caches } from '../machine.js';
import type { Shape } from '../model.js';
import { cachedUsers, shapeName } from '../population.js';
import { installJsPeers } from './install.js';
import { JS_PEERS } from './js-adapters.js';
import { type PeerTiming, timePeers } from './kernel-peers.js';
import { openPeers } from './native-peers.js';
import { type PublicApiRow, timeInProcess, timePublicApi } from './public-api.js';

export interface Comparison {
  /** Instruction set of ours. */
  isa: string;
  kernels: PeerTiming[];
  publicApi: PublicApiRow[];
  versions: Record<string, string>;
  /** What could not be measured, and why: not installed, or refused because it is wrong. */
  missing: Record<string, string>;
  refused: Record<string, string>;
}

export interface ComparisonSettings {
  root: string;
  caches: Caches;
  /** Ours. */
  backend: KernelBackend;
  shapes: readonly Shape[];
  rows: readonly number[];
  onProgress: (what: string) => void;
}

/** Shapes of the comparison through the public API. */
const PUBLIC_SHAPES = ['64/4', '128/8', '768/16'];

export async function compareWithPeers(settings: ComparisonSettings): Promise<Comparison> {
  const { root, caches, backend, shapes, rows, onProgress } = settings;
  const isa = backend.device;
  const native = backend.name === 'cpu';
  const { peers, missing, close } = await openPeers(root, native ? isa : null);
  try {
    const { timings, refused } = await timePeers(peers, {
      shapes,
      rows,
      users: (shape, n) => cachedUsers(shape, 'sgd', n, caches),
      onProgress,
    });
    const folder = join(root, 'bench', 'peers');
    const reason = installJsPeers(folder, onProgress);
    if (reason !== null) for (const name of Object.keys(JS_PEERS)) missing[name] = reason;
    const publicShapes = shapes.filter((shape) => PUBLIC_SHAPES.includes(shapeName(shape)));
    const api =
      reason === null
        ? timePublicApi(publicShapes, timeInProcess(folder), onProgress)
        : { rows: [], versions: {}, refused: {} };
    const versions = Object.fromEntries(peers.map(({ label, version }) => [label, version]));
    return {
      isa,
      kernels: timings,
      publicApi: api.rows,
      versions: { ...versions, ...api.versions },
      missing,
      refused: { ...refused, ...api.refused },
    };
  } finally {
    await close();
  }
}
