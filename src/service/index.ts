/** `lorakeet/service`: the parts of the learning engine service, for programs of your own. */
export { type DescribedKey, describeConfig } from './config/describe.js';
export type { ServiceConfig } from './config/keys.js';
export type { Scope, ServiceToken } from './config/kinds.js';
export { type ConfigSource, type LoadConfigOptions, type LoadedConfig, loadConfig } from './config/load.js';
export { Secret } from './config/secret.js';
