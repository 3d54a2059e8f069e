/** `--peers`: everything that is measured beside the kernel table. */
import { freemem } from 'node:os';
import { join } from 'node:path';
import type { KernelBackend } from '#lorakeet/kernels/contract.js';
import type { Machine } from '../machine.js';
import type { Shape } from '../model.js';
import { cachedUsers, shapeName } from '../population.js';
import { type GrowthRow, timeGrowth } from './growth.js';
import { installJsPeers } from './install.js';
import { JS_PEERS } from './js-adapters.js';
import { type PeerTiming, timePeers } from './kernel-peers.js';
import { openPeers } from './native-peers.js';
import { type PublicApiRow, timeInProcess, timePublicApi } from './public-api.js';
import { type TwoCoresRow, timeTwoCores } from './two-cores.js';

export interface Comparison {
  /** Instruction set of ours. */
  isa: string;
  kernels: PeerTiming[];
  publicApi: PublicApiRow[];
  twoCores: TwoCoresRow[];
  growth: GrowthRow[];
  versions: Record<string, string>;
  /** What could not be measured, and why: not installed, or refused because it is wrong. */
  missing: Record<string, string>;
  refused: Record<string, string>;
}

export interface ComparisonSettings {
  root: string;
  machine: Machine;
  /** Ours. */
  backend: KernelBackend;
  shapes: readonly Shape[];
  rows: readonly number[];
  onProgress: (what: string) => void;
}

/** Shapes of the comparison through the public API. */
const PUBLIC_SHAPES = ['64/4', '128/8', '768/16'];
/** 24 KB a slot. */
const GROWTH_SHAPE = { dim: 128, rank: 8 };
const GROWTH_USERS = [1_000, 3_000, 10_000, 30_000, 100_000];

export async function compareWithPeers(settings: ComparisonSettings): Promise<Comparison> {
  const { root, machine, backend, shapes, rows, onProgress } = settings;
  const { caches } = machine;
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
    const enoughCores = native && machine.cores > 1;
    if (!enoughCores) missing['two cores'] = native ? 'one core here' : 'plain JavaScript runs on one';
    if (enoughCores) onProgress('two cores against one');
    const twoCores = enoughCores ? timeTwoCores(backend, { shapes, caches }) : [];
    onProgress('growth');
    const ours = peers.find(({ own }) => own !== undefined)?.program;
    const growth = await timeGrowth(backend, {
      shape: GROWTH_SHAPE,
      users: GROWTH_USERS,
      caches,
      memoryBytes: freemem() / 2,
      bytesPerUser: ours ? (shape, users) => ours.bytesPerUser(isa, shape, users) : null,
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
      twoCores,
      growth,
      versions: { ...versions, ...api.versions },
      missing,
      refused: { ...refused, ...api.refused },
    };
  } finally {
    await close();
  }
}
