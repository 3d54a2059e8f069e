export { PostgresAdapterStore } from './postgres/adapters.js';
export type { PostgresOptions } from './postgres/database.js';
export type { PostgresClient, PostgresPool, PostgresSettings } from './postgres/driver.js';
export { type PostgresVersionOptions, PostgresVersionStore } from './postgres/versions.js';
