export { PackedAdapterStore, type PackedStoreOptions, type PackedStoreStats } from './packed/store.js';
