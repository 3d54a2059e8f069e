export { SqliteAdapterStore } from './sqlite-adapters.js';
