/** What EWC holds on to in a run: which importance of the parameters, and where it is from. */

import { LorakeetError } from '../../../errors.js';
import { consolidateLanguageAdapter } from '../../../llm/fisher.js';
import {
  decodeLanguageAdapter,
  type LanguageAdapter,
  type LanguageModel,
  type TokenExample,
} from '../../../llm/index.js';
import { AdapterVersions } from '../../../versions/adapter-versions.js';
import type { ServiceParts } from '../parts.js';
import { keptSequences } from './examples.js';

/** JSON throughout. */
export interface Importance {
  /**
   * computed: from earlier feedback, in this run; calculated: by an earlier job for the version that the run starts from;
   * carried: as that version has it; none: nothing is held on to.
   */
  source: 'computed' | 'calculated' | 'carried' | 'none';
  /** Examples that it was estimated from in this run, or by that job. */
  samples?: number;
  /** Of the adapter that keeps calculated importance. */
  fisherVersion?: string;
}

export const FISHER_FILE = 'fisher.bin';

/** The versions of calculated importance; the alias aliasOf(version) points to the newest for a version of the adapter. */
export function fisherVersionsOf({ versionStore, versions, clock }: ServiceParts): AdapterVersions {
  return new AdapterVersions(versionStore, `${versions.adapter}/fisher`, { now: () => new Date(clock.now()) });
}

export const aliasOf = (version: string) => `of-${version}`;

/**
 * Sets Fisher information and anchor of the adapter; the anchor is where the training starts. `history` is only asked for
 * where nobody has calculated it for the version before.
 */
export async function prepareImportance(
  parts: ServiceParts,
  model: LanguageModel,
  start: { adapter: LanguageAdapter; version: string | null },
  history: () => Promise<TokenExample[]>,
  options: { signal: AbortSignal; onProgress: (done: number, total: number) => void },
): Promise<Importance> {
  const { adapter, version } = start;
  const calculated = version === null ? undefined : await calculatedFor(parts, version, adapter);
  if (calculated) {
    await adapter.decoder.write('fisher', calculated.fisher);
    await anchorHere(adapter);
    return { source: 'calculated', samples: calculated.samples, fisherVersion: calculated.fisherVersion };
  }
  const sequences = keptSequences(await history());
  if (sequences.length > 0) {
    const { ewc, training } = parts.config;
    const settings = { kind: 'true', decay: ewc.decay, seed: training.seed } as const;
    await consolidateLanguageAdapter(model.decoder, adapter, sequences, { ...settings, ...options });
    return { source: 'computed', samples: sequences.length };
  }
  const carried = (await adapter.state()).fisher !== undefined;
  if (carried) await anchorHere(adapter);
  return { source: carried ? 'carried' : 'none' };
}

async function anchorHere(adapter: LanguageAdapter): Promise<void> {
  await adapter.decoder.write('anchor', await adapter.decoder.read('parameters'));
}

/** What a job has published for the version, where its shape is that of the adapter. */
async function calculatedFor(parts: ServiceParts, version: string, adapter: LanguageAdapter) {
  const versions = fisherVersionsOf(parts);
  const { aliases } = await versions.state();
  const fisherVersion = aliases[aliasOf(version)];
  if (fisherVersion === undefined) return undefined;
  const { manifest, files } = await versions.load(fisherVersion);
  const bytes = files.get(FISHER_FILE);
  if (!bytes)
    throw new LorakeetError('ERR_STORE_FAILURE', `${versions.adapter} ${fisherVersion}: has no ${FISHER_FILE}`);
  const { state } = await decodeLanguageAdapter(bytes);
  const fits = JSON.stringify(state.targets) === JSON.stringify(adapter.targets);
  if (!fits || !state.fisher) return undefined;
  return { fisher: state.fisher, samples: Number(manifest.training.samples), fisherVersion };
}
