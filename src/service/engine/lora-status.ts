/** What is true of the adapter: the store's word, its history, and what the replicas serve. */
import type { AdapterVersions, VersionState } from '../../versions/adapter-versions.js';
import type { VersionChange } from '../../versions/change.js';
import { ACTIVE, KNOWN_GOOD, PREVIOUS } from '../../versions/head.js';
import type { LoraChange, LoraStatus, ServingReport } from './operations.js';

const HISTORY_CHANGES = 100;

/** The newest changes. They never change, so that each is read once, one blob each. */
export class LoraHistory {
  readonly #versions: AdapterVersions;
  /** Newest first. */
  #known: VersionChange[] = [];

  constructor(versions: AdapterVersions) {
    this.#versions = versions;
  }

  /** At least up to the change of this number, which there must have been. */
  async upTo(sequence: number): Promise<LoraChange[]> {
    const before = this.#known[0]?.sequence ?? 0;
    if (sequence > before) {
      let read = await this.#versions.history(Math.min(HISTORY_CHANGES, sequence - before));
      // there were more meanwhile, and some of them would be missing in between
      if (oldestOf(read) > before + 1) read = await this.#versions.history(HISTORY_CHANGES);
      if (read[0].sequence > (this.#known[0]?.sequence ?? 0)) {
        const older = this.#known.filter((change) => change.sequence < oldestOf(read));
        this.#known = [...read, ...older].slice(0, HISTORY_CHANGES);
      }
    }
    return this.#known.map(changeOf);
  }
}

function oldestOf(changes: readonly VersionChange[]): number {
  return changes[changes.length - 1].sequence;
}

export function statusOf(
  state: VersionState,
  history: LoraChange[],
  serving: ServingReport[],
  adaptersEnabled: boolean,
): LoraStatus {
  const { disabled, aliases, sequence, versions } = state;
  return {
    enabled: adaptersEnabled && !disabled,
    active: aliases[ACTIVE] ?? null,
    previous: aliases[PREVIOUS] ?? null,
    knownGood: aliases[KNOWN_GOOD] ?? null,
    quarantined: versions.filter(({ quarantined }) => quarantined).map(({ version }) => version),
    versionCount: versions.length,
    sequence,
    serving,
    history,
  };
}

function changeOf({ at, operation, version, aliases, actor, reason, override }: VersionChange): LoraChange {
  const moved = aliases.find(({ alias }) => alias === ACTIVE);
  return { at, operation, version, fromVersion: moved?.from ?? null, actor, reason, override };
}
