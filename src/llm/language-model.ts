/** A language model with its tokenizer: generates, scores, and trains adapters, all by text. */
import type { LoraModules } from '../adapter/lora-module.js';
import { fail, requireInteger } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { grantedCores } from '../kernels/threads.js';
import { decodeLanguageAdapter } from './adapter-file.js';
import { type ChatMessage, type ChatTemplate, openChatTemplate } from './chat-template.js';
import type { Arithmetic, DecoderModel, LoraTarget, WeightStorage } from './decoder/contract.js';
import { type DecoderName, selectDecoder } from './decoder/select.js';
import { type ConsolidateOptions, consolidateLanguageAdapter } from './fisher.js';
import { Generator } from './generator.js';
import { scoreSequences } from './gradients.js';
import {
  adapterFromModules,
  type CreateAdapterOptions,
  createLanguageAdapter,
  LanguageAdapter,
} from './language-adapter.js';
import type { DecoderConfig } from './model-config.js';
import { type LoadOptions, type ModelFolder, type ModelFolderOptions, openModelFolder } from './model-folder.js';
import { sequencesOf, sum, type TokenExample, type TokenSequence } from './objectives.js';
import type { SamplingOptions } from './sampling.js';
import { encodeCompletion, encodeExample, type TextEncoding, type TextExample } from './text-examples.js';
import { StopFinder } from './token-stream.js';
import { openTokenizer, type TextTokenizer } from './tokenizer.js';
import { type TrainingReport, trainLanguageAdapter } from './trainer.js';
import { requireExamples, type TrainingOptions } from './training-options.js';

export interface LoadModelOptions extends ModelFolderOptions, LoadOptions {
  /** Default 'auto': the fastest that works here; `model.backend.reason` says why. */
  backend?: DecoderName | 'auto';
  /** How the weights are kept. Default: as the files have them, f32 where they differ. */
  weightStorage?: WeightStorage;
  /** Of products with the weights. Default 'f32'; 'bf16' is faster where the processor has instructions for it. */
  arithmetic?: Arithmetic;
  /** Default: the cores granted to this process. */
  threads?: number;
  /** Answers that are written at the same time. Default 4. */
  sequences?: number;
  /** Tokens of prompt and answer together. Default: the context of the model, at most 2048. */
  positions?: number;
}

/** A prompt is text, a conversation, or tokens. */
export type Prompt = string | readonly ChatMessage[] | Uint32Array;

export interface GenerateOptions extends SamplingOptions {
  adapter?: LanguageAdapter;
  /** Default: as many as there is room for. */
  maxNewTokens?: number;
  /** Texts that end the answer, and are not part of it. */
  stop?: readonly string[];
  signal?: AbortSignal;
  /** Called with each piece of the answer's text. */
  onText?: (text: string) => void;
}

export interface Generated {
  text: string;
  tokens: Uint32Array;
  /** Of each token, as the model itself has it. */
  logProbabilities: Float32Array;
  /** 'stop': the model ended it, or a stop text came; 'length': there was no room for more. */
  finishReason: 'stop' | 'length';
  promptTokens: number;
  /** Tokens of the prompt that were still known from an earlier request. */
  reusedTokens: number;
}

export interface Scored {
  /** Σ log p of the completion's tokens. */
  logProbability: number;
  tokens: Uint32Array;
  /** Of each of them. */
  logProbabilities: Float32Array;
}

const DEFAULT_POSITIONS = 2048;
const DEFAULT_SEQUENCES = 4;
const SCORE_PASS_TOKENS = 1024;

export class LanguageModel {
  readonly config: DecoderConfig;
  readonly tokenizer: TextTokenizer;
  readonly decoder: DecoderModel;
  /** SHA-256 of what the model computes with. */
  readonly hash: string;
  readonly backend: { name: DecoderModel['backend']; device: string; reason: string };
  readonly #generator: Generator;
  readonly #chatTemplate: ChatTemplate | LorakeetError;

  /** Use loadBaseModel. */
  constructor(parts: {
    config: DecoderConfig;
    tokenizer: TextTokenizer;
    decoder: DecoderModel;
    hash: string;
    reason: string;
    chatTemplate: ChatTemplate | LorakeetError;
    sequences: number;
    positions: number;
  }) {
    const { config, tokenizer, decoder, hash, reason, chatTemplate, sequences, positions } = parts;
    this.config = config;
    this.tokenizer = tokenizer;
    this.decoder = decoder;
    this.hash = hash;
    this.backend = { name: decoder.backend, device: decoder.device, reason };
    this.#chatTemplate = chatTemplate;
    this.#generator = new Generator(decoder, { sequences, positions });
  }

  /** A new adapter, which changes nothing yet. Throws ERR_INVALID_CONFIG. */
  createAdapter(config: CreateAdapterOptions = {}): Promise<LanguageAdapter> {
    return createLanguageAdapter(this.decoder, config);
  }

  /** One of parameters that are all 0, to be restored from a state. Throws ERR_INVALID_CONFIG. */
  createEmptyAdapter(targets: readonly LoraTarget[], { train = true }: { train?: boolean } = {}): LanguageAdapter {
    return new LanguageAdapter(this.decoder, targets, train);
  }

  /** One from LoRA modules by path, as readPeft and merges give them. Throws ERR_ADAPTER_MISMATCH. */
  importAdapter(modules: LoraModules, options: { train?: boolean } = {}): Promise<LanguageAdapter> {
    return adapterFromModules(this.decoder, modules, options);
  }

  /** One from the bytes of encodeLanguageAdapter. Throws ERR_ADAPTER_CORRUPT, ERR_ADAPTER_VERSION, ERR_INVALID_CONFIG. */
  async loadAdapter(bytes: Uint8Array, { train = true }: { train?: boolean } = {}): Promise<LanguageAdapter> {
    const { state } = await decodeLanguageAdapter(bytes);
    const adapter = this.createEmptyAdapter(state.targets, { train });
    try {
      await adapter.restore(state);
    } catch (error) {
      adapter.close();
      throw error;
    }
    return adapter;
  }

  /**
   * Trains the adapter; see TrainingOptions, whose replay and validation are texts here. Throws what trainLanguageAdapter and
   * encodeExample throw, the adapter then being as it was.
   */
  train(
    adapter: LanguageAdapter,
    examples: readonly TextExample[],
    options: TextTrainingOptions = {},
  ): Promise<TrainingReport> {
    const { replay, validation, ...rest } = options;
    return trainLanguageAdapter(this.decoder, adapter, this.encode('examples', examples), {
      ...rest,
      ...(replay && { replay: this.encode('options.replay', replay) }),
      ...(validation && { validation: this.encode('options.validation', validation) }),
      contextLength: this.config.contextLength,
    });
  }

  /** Makes the adapter hold on to what it knows of the examples: see consolidateLanguageAdapter. */
  async fisher(
    adapter: LanguageAdapter,
    examples: readonly TextExample[],
    options: ConsolidateOptions = {},
  ): Promise<void> {
    const encoded = this.encode('examples', examples).flatMap(sequencesOf);
    await consolidateLanguageAdapter(this.decoder, adapter, encoded, options);
  }

  /** The examples as tokens. Throws ERR_INVALID_ARGUMENT, ERR_FORMAT_UNSUPPORTED, ERR_CONTEXT_FULL. */
  encode(name: string, examples: readonly TextExample[]): TokenExample[] {
    if (!Array.isArray(examples)) fail('ERR_INVALID_ARGUMENT', name, examples, 'an array of examples');
    const encoded = examples.map((example: TextExample, i) => encodeExample(`${name}[${i}]`, example, this.#encoding));
    requireExamples(name, encoded, this.config.contextLength);
    return encoded;
  }

  /** Throws ERR_INVALID_ARGUMENT, ERR_INVALID_CONFIG, ERR_CONTEXT_FULL, ERR_ABORTED, ERR_CLOSED. */
  async generate(prompt: Prompt, options: GenerateOptions = {}): Promise<Generated> {
    const { adapter, maxNewTokens, stop = [], signal, onText, ...sampling } = options;
    const tokens = this.#encodePrompt(prompt);
    const stream = this.tokenizer.stream(tokens);
    const stops = new StopFinder(stop);
    let text = '';
    const give = (piece: string) => {
      if (piece === '') return;
      text += piece;
      onText?.(piece);
    };
    const generated = await this.#generator.generate({
      prompt: tokens,
      adapter,
      maxNewTokens,
      sampling,
      stopTokens: this.config.eosIds,
      signal,
      onToken: (token) => {
        give(stops.push(stream.push(token)));
        return stops.stopped;
      },
    });
    if (!stops.stopped) give(stops.push(stream.end()));
    if (!stops.stopped) give(stops.end());
    const finishReason = stops.stopped ? 'stop' : generated.finishReason;
    return { ...generated, text, finishReason, promptTokens: tokens.length };
  }

  /** The answer's text in pieces, as it is written. Leaving the loop ends the generation. */
  async *stream(prompt: Prompt, options: Omit<GenerateOptions, 'onText'> = {}): AsyncGenerator<string, Generated> {
    const pieces: string[] = [];
    const done = new AbortController();
    let wake = () => {};
    const signal = options.signal ? AbortSignal.any([options.signal, done.signal]) : done.signal;
    const generating = this.generate(prompt, {
      ...options,
      signal,
      onText: (text) => {
        pieces.push(text);
        wake();
      },
    });
    const ended = generating.then(
      () => true,
      () => true,
    );
    try {
      for (let over = false; ; ) {
        const piece = pieces.shift();
        if (piece !== undefined) yield piece;
        else if (over) return await generating;
        else over = await Promise.race([ended, new Promise<false>((resolve) => (wake = () => resolve(false)))]);
      }
    } finally {
      done.abort();
    }
  }

  /** How likely the completion is after the prompt. Throws as generate. */
  async score(
    prompt: string,
    completion: string,
    { adapter, signal }: { adapter?: LanguageAdapter; signal?: AbortSignal } = {},
  ): Promise<Scored> {
    const sequence = encodeCompletion('completion', prompt, completion, { ...this.#encoding, eosId: undefined });
    const { contextLength } = this.config;
    if (sequence.tokens.length > contextLength) {
      fail('ERR_CONTEXT_FULL', 'prompt and completion', sequence.tokens, `at most ${contextLength} tokens`);
    }
    const [logProbabilities] = await this.scoreTokens([sequence], { adapter, signal });
    const tokens = Uint32Array.from(sequence.targets, (target) => sequence.tokens[target]);
    return { logProbability: sum(logProbabilities), tokens, logProbabilities };
  }

  /** Log-probabilities of the targets of each sequence. Throws ERR_CLOSED; ERR_ABORTED. */
  async scoreTokens(
    sequences: readonly TokenSequence[],
    { adapter, signal }: { adapter?: LanguageAdapter; signal?: AbortSignal } = {},
  ): Promise<Float32Array[]> {
    const pass = this.decoder.createPass();
    try {
      return await scoreSequences(pass, adapter, sequences, SCORE_PASS_TOKENS, signal);
    } catch (error) {
      if (!signal?.aborted) throw error;
      throw new LorakeetError('ERR_ABORTED', 'the scoring was aborted', { cause: signal.reason });
    } finally {
      pass.close();
    }
  }

  /** The memory is given back when the adapters made from the model are closed too. */
  close(): void {
    this.#generator.close();
    this.decoder.close();
  }

  get #encoding(): TextEncoding {
    return {
      tokenizer: this.tokenizer,
      eosId: this.config.eosIds[0],
      chatTemplate: () => {
        if (this.#chatTemplate instanceof LorakeetError) throw this.#chatTemplate;
        return this.#chatTemplate;
      },
    };
  }

  #encodePrompt(prompt: Prompt): Uint32Array {
    if (prompt instanceof Uint32Array) return prompt;
    if (typeof prompt === 'string') return this.tokenizer.encode(prompt);
    const text = this.#encoding.chatTemplate().render(prompt);
    return this.tokenizer.encode(text, { addSpecialTokens: false });
  }
}

export type TextTrainingOptions = Omit<TrainingOptions, 'replay' | 'validation'> & {
  replay?: readonly TextExample[];
  validation?: readonly TextExample[];
};

/**
 * Loads a model folder in the form of Hugging Face. Throws what openModelFolder and openTokenizer throw, ERR_INVALID_CONFIG,
 * ERR_BACKEND_UNAVAILABLE, ERR_OUT_OF_MEMORY, ERR_ABORTED.
 */
export async function loadBaseModel(folder: string, options: LoadModelOptions = {}): Promise<LanguageModel> {
  const { backend: name, weightStorage, arithmetic = 'f32', threads = grantedCores(), ...rest } = options;
  const { sequences = DEFAULT_SEQUENCES, positions, signal, onProgress, ...folderOptions } = rest;
  const { backend, reason } = selectDecoder(name);
  const files = await openModelFolder(folder, folderOptions);
  let decoder: DecoderModel | undefined;
  try {
    const { config } = files;
    requireInteger('options.sequences', sequences, 1, 4096);
    const room = requireInteger(
      'options.positions',
      positions ?? Math.min(config.contextLength, DEFAULT_POSITIONS),
      1,
      config.contextLength,
    );
    const tokenizer = await openTokenizer(files);
    const chatTemplate = await openChatTemplate(files).catch((error) => {
      if (error instanceof LorakeetError) return error; // thrown when somebody wants to chat
      throw error;
    });
    decoder = backend.createModel(config.shape, {
      weightStorage: weightStorage ?? storedAs(files),
      arithmetic,
      threads,
    });
    await files.load(decoder, { signal, onProgress });
    const hash = await files.hash({ signal });
    return new LanguageModel({ config, tokenizer, decoder, hash, reason, chatTemplate, sequences, positions: room });
  } catch (error) {
    decoder?.close();
    throw error;
  } finally {
    await files.close();
  }
}

/** The type that loses nothing of the matrices; norms are kept as float32 in any case. */
function storedAs({ tensors }: ModelFolder): WeightStorage {
  const types = new Set(tensors.filter(({ shape }) => shape.length > 1).map(({ dtype }) => dtype));
  return types.size === 1 ? [...types][0] : 'f32';
}
