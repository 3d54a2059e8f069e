/** The versions of the adapter, for people to look at. */
import { LorakeetError } from '../../errors.js';
import type { AdapterVersions, VersionState, VersionSummary } from '../../versions/adapter-versions.js';
import type { VersionManifest } from '../../versions/manifest.js';
import type { Json } from '../jobs/job.js';
import type { AdapterDetails, AdapterSummary } from './operations.js';

/** Of manifests that are read at the same time. */
const CONCURRENCY = 16;

/** What of a manifest is shown in lists. */
type Shown = Pick<AdapterSummary, 'author' | 'sizeBytes' | 'metrics'>;

export class AdapterList {
  readonly #versions: AdapterVersions;
  /** By version; a version never changes, and no number is given twice. */
  readonly #shown = new Map<string, Shown>();

  constructor(versions: AdapterVersions) {
    this.#versions = versions;
  }

  /** Newest first. */
  async summaries(): Promise<AdapterSummary[]> {
    const state = await this.#versions.state();
    const newest = state.versions.toReversed();
    const summaries: AdapterSummary[] = [];
    for (let start = 0; start < newest.length; start += CONCURRENCY) {
      const some = newest.slice(start, start + CONCURRENCY);
      const shown = await Promise.all(some.map(({ version }) => this.#show(version)));
      for (const [i, one] of some.entries()) {
        const about = shown[i];
        if (about) summaries.push({ ...flagsOf(state, one), ...about });
      }
    }
    const known = new Set(newest.map(({ version }) => version));
    for (const version of this.#shown.keys()) if (!known.has(version)) this.#shown.delete(version);
    return summaries;
  }

  /** Rejects with ERR_VERSION_NOT_FOUND; `active` with ERR_ADAPTER_DISABLED under the kill switch. */
  async details(versionOrAlias: string): Promise<AdapterDetails> {
    const manifest = await this.#versions.manifest(versionOrAlias);
    const state = await this.#versions.state();
    const summary = state.versions.find(({ version }) => version === manifest.version);
    if (!summary) throw gone(manifest.version);
    const { parents, baseModel, files, training, libraryVersion } = manifest;
    return {
      ...flagsOf(state, summary),
      ...shownOf(manifest),
      parents: parents.map(({ adapter, version }) => ({ adapter, version })),
      baseModel,
      files: Object.entries(files).map(([name, { sizeBytes, sha256 }]) => ({ name, sizeBytes, sha256 })),
      training: training as { readonly [name: string]: Json },
      libraryVersion,
    };
  }

  /** undefined for a version that has been deleted meanwhile. */
  async #show(version: string): Promise<Shown | undefined> {
    const known = this.#shown.get(version);
    if (known) return known;
    try {
      const shown = shownOf(await this.#versions.manifest(version));
      this.#shown.set(version, shown);
      return shown;
    } catch (error) {
      if (error instanceof LorakeetError && error.code === 'ERR_VERSION_NOT_FOUND') return undefined;
      throw error;
    }
  }
}

function flagsOf({ aliases }: VersionState, summary: VersionSummary) {
  const own = Object.entries(aliases).filter(([, version]) => version === summary.version);
  return { ...summary, aliases: own.map(([alias]) => alias).sort() };
}

function shownOf({ author, files, metrics }: VersionManifest): Shown {
  const sizeBytes = Object.values(files).reduce((sum, file) => sum + file.sizeBytes, 0);
  return { author, sizeBytes, metrics };
}

function gone(version: string): LorakeetError {
  return new LorakeetError('ERR_VERSION_NOT_FOUND', `${version} has been deleted`);
}
