/** Walking a whole store: is everything there, whole, and as it was written; and removing what nothing points to. */
import { rejectUnknownKeys, requireNumber } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { readChanges } from './change.js';
import type { Head } from './head.js';
import { readHead } from './head-changes.js';
import { decodeManifest, type VersionManifest, type VersionParent } from './manifest.js';
import { requireEntry } from './rules.js';
import { readBlob, type VersionStore } from './version-store.js';

export interface StoreReport {
  adapters: number;
  versions: number;
  changes: number;
  /** All blobs in the store, and those of them that nothing points to: left by calls that failed, or by deleted versions. */
  blobs: number;
  unreferenced: number;
  /** Of all blobs together. */
  sizeBytes: number;
  /** What is wrong, a line each; none in a store that is whole. */
  problems: string[];
}

export interface GarbageOptions {
  /**
   * Blobs put within this time are kept, for somebody may be about to point to them. It must be longer than any publish may
   * take from its first file to its last step. Default: a day.
   */
  olderThanMs?: number;
  /** The clock, which must be that of the store; default: the system's. */
  now?: () => Date;
}

const DAY_MS = 86_400_000;

/** What has been seen on the way. */
interface Marks {
  /** Everything that something points to. */
  blobs: Set<string>;
  /** Manifests of ancestors whose own ancestors have been walked: a blob may be known for another reason too. */
  lineages: Set<string>;
}

const newMarks = (): Marks => ({ blobs: new Set(), lineages: new Set() });

/**
 * Reads everything: each head, each manifest, each file, the manifests of all ancestors, and the whole audit trail, which
 * must lead to what the heads say. Rejects only if the store fails; what is wrong is in the report.
 */
export async function checkStore(store: VersionStore): Promise<StoreReport> {
  const report = { adapters: 0, versions: 0, changes: 0, blobs: 0, unreferenced: 0, sizeBytes: 0 };
  const problems: string[] = [];
  const marks = newMarks();
  for await (const name of store.listHeads()) {
    report.adapters += 1;
    const head = await noting(problems, async () => (await readHead(store, name)).head);
    if (!head) continue;
    for (const version of head.versions.keys()) {
      report.versions += 1;
      await noting(problems, () => checkVersion(store, head, version, marks));
    }
    await noting(problems, async () => {
      report.changes += await checkChanges(store, head, marks);
    });
  }
  for await (const { sha256, sizeBytes } of store.listBlobs()) {
    report.blobs += 1;
    report.sizeBytes += sizeBytes;
    if (!marks.blobs.has(sha256)) report.unreferenced += 1;
  }
  return { ...report, problems };
}

/**
 * Removes the blobs that no version and no change points to, in all adapters; how many. The manifests of ancestors stay, so
 * that lineage is never lost. Rejects, with nothing removed, with ERR_STORE_FAILURE if not everything can be read that
 * might point to something.
 */
export async function collectGarbage(store: VersionStore, options: GarbageOptions = {}): Promise<number> {
  rejectUnknownKeys('options', options, ['olderThanMs', 'now']);
  const { olderThanMs = DAY_MS, now = () => new Date() } = options;
  requireNumber('options.olderThanMs', olderThanMs, { min: 0 });
  // before anything is looked at: whatever is put from here on is kept
  const putBefore = new Date(now().getTime() - olderThanMs);
  const marks = newMarks();
  for await (const name of store.listHeads()) {
    const { head } = await readHead(store, name);
    for (const version of head.versions.keys()) {
      const manifest = await readManifest(store, head, version, marks);
      for (const { sha256 } of Object.values(manifest.files)) marks.blobs.add(sha256);
    }
    for await (const { sha256 } of readChanges(store, head)) marks.blobs.add(sha256);
  }
  let removed = 0;
  for await (const { sha256 } of store.listBlobs()) {
    if (!marks.blobs.has(sha256) && (await store.deleteBlob(sha256, putBefore))) removed += 1;
  }
  return removed;
}

async function checkVersion(store: VersionStore, head: Head, version: string, marks: Marks): Promise<void> {
  const entry = requireEntry(head, version);
  const { files, createdAt } = await readManifest(store, head, version, marks);
  const what = `${head.adapter} ${version}`;
  if (createdAt !== entry.createdAt) {
    throw new LorakeetError('ERR_STORE_FAILURE', `${what}: got createdAt ${entry.createdAt}, expected ${createdAt}`);
  }
  for (const [name, { sha256, sizeBytes }] of Object.entries(files)) {
    marks.blobs.add(sha256);
    const { length } = await readBlob(store, `${name} of ${what}`, sha256);
    if (length !== sizeBytes) {
      throw new LorakeetError('ERR_STORE_FAILURE', `${name} of ${what}: got ${length} bytes, expected ${sizeBytes}`);
    }
  }
}

/** The newest move of every alias must be where the head has it. */
async function checkChanges(store: VersionStore, head: Head, marks: Marks): Promise<number> {
  const moved = new Map<string, string | null>();
  let changes = 0;
  for await (const { sha256, change } of readChanges(store, head)) {
    marks.blobs.add(sha256);
    changes += 1;
    for (const { alias, to } of change.aliases) if (!moved.has(alias)) moved.set(alias, to);
  }
  for (const alias of new Set([...moved.keys(), ...head.aliases.keys()])) {
    const [is, was] = [head.aliases.get(alias) ?? null, moved.get(alias) ?? null];
    if (is !== was) {
      const what = `${head.adapter}: ${alias} points to ${is}, by the audit trail to ${was}`;
      throw new LorakeetError('ERR_STORE_FAILURE', what);
    }
  }
  return changes;
}

/** The manifest, with its own hash and those of all its ancestors' noted. */
async function readManifest(store: VersionStore, head: Head, version: string, marks: Marks): Promise<VersionManifest> {
  const read = async ({ adapter, version, manifest }: VersionParent) => {
    marks.blobs.add(manifest);
    return decodeManifest(await readBlob(store, `the manifest of ${adapter} ${version}`, manifest), adapter, version);
  };
  const { manifest: sha256 } = requireEntry(head, version);
  const manifest = await read({ adapter: head.adapter, version, manifest: sha256 });
  const ancestors = [...manifest.parents];
  for (let next = ancestors.pop(); next; next = ancestors.pop()) {
    if (marks.lineages.has(next.manifest)) continue;
    marks.lineages.add(next.manifest);
    ancestors.push(...(await read(next)).parents);
  }
  return manifest;
}

/** Puts what is wrong with the content on the list; other failures are the caller's. */
async function noting<T>(problems: string[], body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (!(error instanceof LorakeetError && error.code === 'ERR_STORE_FAILURE')) throw error;
    problems.push(error.message);
    return undefined;
  }
}
