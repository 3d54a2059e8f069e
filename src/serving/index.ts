export { AdapterServer, type AdapterServerOptions } from './adapter-server.js';
export { ControlPlaneDriver, type ControlPlaneOptions } from './control-plane-driver.js';
export type {
  AdapterSource,
  DeployOptions,
  DeployRequest,
  OperationOptions,
  ServingDriver,
  ServingStatus,
} from './driver.js';
export { type HttpOptions, ServingAnswerError } from './http-client.js';
export { LanguageModelServer, type Served, type ServeOptions } from './language-model-server.js';
export { LlamaCppDriver, type LlamaCppOptions } from './llama-cpp-driver.js';
export type { DialectName } from './multi-lora-dialects.js';
export { MultiLoraDriver, type MultiLoraOptions } from './multi-lora-driver.js';
export { type Reconciled, type ReconcileOptions, reconcile, sourceOf } from './reconcile.js';
export { Reconciler, type ReconcilerOptions } from './reconciler.js';
