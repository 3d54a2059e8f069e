/** `lorakeet/llm`: language models of the Llama family in the folders of Hugging Face. */
export { type BaseTensor, storedBytes } from './base-tensors.js';
export { type ChatMessage, type ChatOptions, ChatTemplate, openChatTemplate } from './chat-template.js';
export type { DecoderConfig, ModelType } from './model-config.js';
export {
  type LoadOptions,
  ModelFolder,
  type ModelFolderOptions,
  openModelFolder,
  type WeightPiece,
} from './model-folder.js';
export type { RopeConfig, RopeScaling } from './rope.js';
export { StopFinder, TokenStream } from './token-stream.js';
export { type DecodeOptions, type EncodeOptions, openTokenizer, TextTokenizer } from './tokenizer.js';
