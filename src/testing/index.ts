export { type AdapterBlobConformanceOptions, adapterBlobConformance } from './adapter-blob-conformance.js';
export { type AdapterStorageConformanceOptions, adapterStorageConformance } from './adapter-storage-conformance.js';
export {
  type BankConformanceOptions,
  bankConformance,
  examplePattern,
  exampleSituation,
} from './bank-conformance.js';
export { BUDGETS } from './budgets.js';
export type { GoldenCase, KernelGoldens } from './cases-golden.js';
export { adapterCollectionConformance } from './collection-conformance.js';
export { type FeedbackStoreConformanceOptions, feedbackStoreConformance } from './feedback-store-conformance.js';
export type { ConformanceCase } from './harness.js';
export { type ConformanceOptions, kernelConformance } from './kernel-conformance.js';
export { SeededRandom } from './random.js';
export { type ServingConformanceOptions, type ServingFixture, servingConformance } from './serving-conformance.js';
export { adapterStoreConformance, type StoreConformanceOptions } from './store-conformance.js';
export { type VectorConformanceOptions, vectorConformance } from './vector-conformance.js';
export { type VersionStoreConformanceOptions, versionStoreConformance } from './version-store-conformance.js';
export { makeWorkload, WORKLOAD_KINDS, type Workload, type WorkloadKind, type WorkloadSize } from './workloads.js';
