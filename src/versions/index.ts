export {
  AdapterVersions,
  type AdapterVersionsOptions,
  type LoadedVersion,
  type RetentionOptions,
  type VersionState,
  type VersionSummary,
} from './adapter-versions.js';
export type { AliasMove, VersionChange } from './change.js';
export type {
  ActivateOptions,
  ApproveOptions,
  ChangeOptions,
  ExpectOptions,
  ReasonedOptions,
  RollbackOptions,
} from './change-options.js';
export type { VersionFile, VersionManifest, VersionParent } from './manifest.js';
export type { Publication } from './publication.js';
export type { VersionMove } from './rules.js';
export { checkStore, collectGarbage, type GarbageOptions, type StoreReport } from './store-check.js';
export { compareVersions } from './version-number.js';
export {
  type BlobStore,
  MAX_BLOB_BYTES,
  requireBlob,
  requireDate,
  requireHeadName,
  requireSha256,
  type StoredBlob,
  type StoredHead,
  type VersionStore,
} from './version-store.js';
