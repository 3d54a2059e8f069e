/** `lorakeet/llm`: language models of the Llama family in the folders of Hugging Face, and LoRA adapters that they learn by. */
export type { LanguageAdapterConfig } from './adapter-config.js';
export { decodeLanguageAdapter, type EncodeLanguageAdapterOptions, encodeLanguageAdapter } from './adapter-file.js';
export { type BaseTensor, storedBytes } from './base-tensors.js';
export { type ChatMessage, type ChatOptions, ChatTemplate, openChatTemplate } from './chat-template.js';
export type { Arithmetic, LoraTarget, WeightStorage } from './decoder/contract.js';
export type { DecoderName } from './decoder/select.js';
export type { ConsolidateOptions } from './fisher.js';
export type { CreateAdapterOptions, LanguageAdapter, LanguageAdapterState } from './language-adapter.js';
export {
  type Generated,
  type GenerateOptions,
  LanguageModel,
  type LoadModelOptions,
  loadBaseModel,
  type Prompt,
  type Scored,
  type TextTrainingOptions,
} from './language-model.js';
export type { DecoderConfig, ModelType } from './model-config.js';
export {
  type LoadOptions,
  ModelFolder,
  type ModelFolderOptions,
  openModelFolder,
  type WeightPiece,
} from './model-folder.js';
export type { TokenExample, TokenSequence } from './objectives.js';
export type { RopeConfig, RopeScaling } from './rope.js';
export type { SamplingOptions } from './sampling.js';
export type { ExamplePrompt, TextExample } from './text-examples.js';
export { StopFinder, TokenStream } from './token-stream.js';
export { type DecodeOptions, type EncodeOptions, openTokenizer, TextTokenizer } from './tokenizer.js';
export type { TrainingReport } from './trainer.js';
export type { CheckpointFile, CheckpointTarget, TrainingOptions, TrainingProgress } from './training-options.js';
