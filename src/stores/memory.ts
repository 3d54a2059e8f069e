export { MemoryAdapterStore } from './memory-adapters.js';
export { MemoryVersionStore } from './memory-versions.js';
