/** `lorakeet/formats`: adapters in the files of other tools, and the bytes of our own. */
export { decodeAdapter, encodeAdapter } from './adapter/codec.js';
export type { AdapterShape } from './adapter/config.js';
export type { Dtype, FloatDtype, TensorArray } from './adapter/formats/dtypes.js';
export type { GgufDtype } from './adapter/formats/gguf.js';
export { type GgufBaseModel, type GgufLoraOptions, writeGgufLora } from './adapter/formats/gguf-lora.js';
export type { PeftSettings } from './adapter/formats/peft-config.js';
export {
  type DecodePeftOptions,
  decodePeft,
  type PeftAdapter,
  type PeftFiles,
  type ReadPeftOptions,
  readPeft,
} from './adapter/formats/peft-reader.js';
export { type EncodePeftOptions, encodePeft, type WritePeftOptions, writePeft } from './adapter/formats/peft-writer.js';
export type { TensorInfo } from './adapter/formats/safetensors-header.js';
export { type ElementRange, openSafetensors, type SafetensorsFile } from './adapter/formats/safetensors-reader.js';
export {
  encodeSafetensors,
  type SafetensorsOptions,
  type TensorSource,
  writeSafetensors,
} from './adapter/formats/safetensors-writer.js';
export { type LoraModule, type LoraModules, modulesOfState, stateOfModule } from './adapter/lora-module.js';
export type { JsonObject, JsonValue } from './adapter/meta.js';
export { decodeSnapshot, encodeSnapshot } from './adapter/snapshot.js';
export type { AdapterState } from './adapter/state.js';
export {
  readAdapterFolder,
  type WriteAdapterFolderOptions,
  writeAdapterFolder,
} from './personalization/peft-folders.js';
