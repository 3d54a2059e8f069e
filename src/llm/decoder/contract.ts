/**
 * The language-model contract: a Llama-family decoder whose base is frozen and whose LoRA adapters learn. js/ is the
 * reference and the fallback, native/ the addon; native/include/lorakeet/decoder.h is this file in C.
 *
 * Shapes are row-major. Tokens are ids below vocabSize. Anything outside its range throws ERR_INVALID_ARGUMENT (or a more
 * telling code) before anything has changed. Methods that compute return promises and leave the event loop free as far as
 * the backend can; calls on one adapter, pass or cache that are made while another runs wait for it. What has been closed throws
 * ERR_CLOSED.
 */

export type WeightDtype = 'f32' | 'bf16' | 'f16';

/** How projections, embedding and head are kept in memory; norms and biases are always float32. */
export type WeightStorage = WeightDtype | 'int8';

/**
 * How the products with base weights are computed. 'bf16' rounds the activations that enter them to bfloat16 where the
 * processor has instructions for it, and is 'f32' elsewhere; sums are float32 either way.
 */
export type Arithmetic = 'f32' | 'bf16';

export interface DecoderOptions {
  weightStorage: WeightStorage;
  arithmetic: Arithmetic;
  threads: number;
}

export const LORA_MODULES = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type LoraModule = (typeof LORA_MODULES)[number];

/** What of a model's configuration its arithmetic depends on. */
export interface DecoderShape {
  vocabSize: number;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  /** Divides heads. */
  keyValueHeads: number;
  /** Even. */
  headDim: number;
  /** Which projections have a bias. */
  biases: readonly LoraModule[];
  /** RMSNorm over headDim of every query and key before RoPE (Qwen3). */
  queryKeyNorms: boolean;
  /** The head is the embedding. */
  tied: boolean;
  rmsNormEps: number;
  /** [headDim / 2], of RoPE. Entry i turns the pair (i, i + headDim / 2), as Hugging Face's rotate_half does. */
  inverseFrequencies: Float64Array;
}

/** A tensor of the base: of a layer, or of none. `bias` and the query and key norms only where the shape has them. */
export type WeightName =
  | { layer: number; tensor: LoraModule; bias: boolean }
  | { layer: number; tensor: 'input_layernorm' | 'post_attention_layernorm' | 'q_norm' | 'k_norm' }
  | { tensor: 'embed_tokens' | 'norm' | 'lm_head' };

/** y = W·x + scaling · loraB·(loraA·x) in one projection of one layer. */
export interface LoraTarget {
  layer: number;
  module: LoraModule;
  rank: number;
  /** alpha / rank, or alpha / √rank with rsLoRA. */
  scaling: number;
}

/** The vectors of an adapter. All but the parameters exist only in one made with `train`. */
export const ADAPTER_VECTORS = ['parameters', 'gradient', 'moment1', 'moment2', 'fisher', 'anchor'] as const;
export type AdapterVector = (typeof ADAPTER_VECTORS)[number];

/**
 * Token sequences, packed one after another; each sees only itself. `positions` are the indices, rising, in `tokens` of the
 * targets: tokens that are to be predicted from those before them in their sequence, so never the first of a sequence.
 */
export interface TokenBatch {
  tokens: Uint32Array;
  /** [sequences + 1], from 0, strictly rising, up to tokens.length. */
  offsets: Uint32Array;
  positions: Uint32Array;
}

export interface ForwardOptions {
  /** A backward follows. Default false: then nothing is kept. */
  keep?: boolean;
  /** Keep only what enters each layer and compute the rest again in backward: less memory, about a third more work. Default false. */
  recompute?: boolean;
  /**
   * The coefficients of the loss, known beforehand; backward then takes none. Saves computing the logits twice.
   * [targets], finite.
   */
  coefficients?: Float32Array;
  /** Score a token drawn from the model's own distribution in place of each target (for the true Fisher); seeds are integers below 2⁵³. */
  sampleSeed?: number;
  /** Share of the entries of what enters loraA that are set to 0, the others scaled by 1 / (1 − dropout). Default 0. */
  dropout?: number;
  /** Same seed, same batch: same entries. Default 0. */
  dropoutSeed?: number;
}

export interface ForwardResult {
  /** [targets]: natural logarithms. */
  logProbabilities: Float32Array;
  /** [targets]: the tokens scored, the batch's own unless sampled. */
  labels: Uint32Array;
}

/**
 * One optimiser step over all parameters θ with gradient g, after which g is 0:
 * g is scaled to maxGradNorm where its Euclidean norm is larger; AdamW (Loshchilov & Hutter 2019) as PyTorch writes it,
 * θ ← θ − η·weightDecay·θ, m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², θ ← θ − η · (m/(1−β₁ᵗ)) / (√(v/(1−β₂ᵗ)) + ε);
 * then, with fisher F and anchor θ*, the proximal step of the EWC penalty, θ ← (θ + ηλFθ*) / (1 + ηλF).
 */
export interface AdapterStep {
  learningRate: number;
  /** t, from 1. */
  step: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** Default 0. */
  weightDecay?: number;
  /** Default Infinity. */
  maxGradNorm?: number;
  /** λ. Default 0: no pull. */
  ewcLambda?: number;
}

/** Parameters lie target after target, in the order given: loraA [rank × in], then loraB [out × rank]. New ones are 0. */
export interface DecoderAdapter {
  readonly targets: readonly LoraTarget[];
  readonly parameterCount: number;
  readonly train: boolean;
  /** `values` become those of `vector` from `first` on (default 0). Rejects with ERR_NOT_FINITE for NaN or ∞. */
  write(vector: AdapterVector, values: Float32Array, first?: number): Promise<void>;
  /** `count` values from `first` on. Default: all. */
  read(vector: AdapterVector, first?: number, count?: number): Promise<Float32Array>;
  /**
   * The norm of the gradient before clipping. Rejects with ERR_NOT_FINITE, the gradient set to 0 and nothing else changed,
   * where that is NaN or ∞.
   */
  step(step: AdapterStep): Promise<number>;
  /** fisher ← fisher + weight · gradient², and the gradient becomes 0. */
  addFisher(weight: number): Promise<void>;
  close(): void;
}

/**
 * Scores targets and takes gradients. The loss is L = −Σ coefficientᵢ · log p(targetᵢ): whoever knows ∂L/∂log p of every
 * target can train any objective of them.
 */
export interface DecoderPass {
  forward(adapter: DecoderAdapter | undefined, batch: TokenBatch, options?: ForwardOptions): Promise<ForwardResult>;
  /**
   * Adds ∂L/∂θ, for the forward that ran last with `keep` and this adapter, to the adapter's gradient, and frees what it
   * kept. The parameters must not have changed since. `coefficients` [targets], finite; left out if forward had them.
   */
  backward(adapter: DecoderAdapter, coefficients?: Float32Array): Promise<void>;
  close(): void;
}

/** One sequence of a decode call. */
export interface DecodeEntry {
  /** Of the cache; each at most once in a call. */
  sequence: number;
  /** Appended to the sequence; at least one. */
  tokens: Uint32Array;
  adapter?: DecoderAdapter;
}

/** Keys and values of token sequences that grow. */
export interface DecoderCache {
  readonly sequences: number;
  /** Tokens that each sequence can hold. */
  readonly positions: number;
  /** Tokens that the sequence holds. */
  length(sequence: number): number;
  /** Forgets the tokens of a sequence from `length` on; `length` is at most what it holds. */
  truncate(sequence: number, length: number): void;
  /**
   * Appends each entry's tokens: [entries × vocabSize], the logits after the last token of each. ERR_CONTEXT_FULL, with
   * nothing changed, where one has no room.
   */
  decode(entries: readonly DecodeEntry[]): Promise<Float32Array>;
  close(): void;
}

/** A model is complete when every row of every tensor has been written; computing before that is ERR_INVALID_STATE. */
export interface DecoderModel {
  readonly backend: 'cpu' | 'cuda' | 'js';
  /** The instruction set or the name of the GPU; 'JavaScript' for js. */
  readonly device: string;
  readonly shape: DecoderShape;
  readonly options: DecoderOptions;
  /** Bytes that the weights take. */
  readonly weightBytes: number;
  /** Rows from `firstRow` on, little endian, in `dtype`: `bytes` holds whole rows. A vector is one row. */
  writeWeights(name: WeightName, firstRow: number, dtype: WeightDtype, bytes: Uint8Array): void;
  /** A target is a layer and a module, each pair once. `train` (default false) makes room for learning. */
  createAdapter(targets: readonly LoraTarget[], options?: { train?: boolean }): DecoderAdapter;
  createPass(): DecoderPass;
  createCache(sequences: number, positions: number): DecoderCache;
  /** Bytes that a forward of `tokens` tokens in `sequences` sequences, and its backward if kept, takes at most beside the model. */
  passBytes(
    targets: readonly LoraTarget[],
    size: { tokens: number; sequences: number; targets: number },
    options?: ForwardOptions,
  ): number;
  cacheBytes(sequences: number, positions: number): number;
  /** Frees the weights when the last adapter, pass and cache made from the model is closed. */
  close(): void;
}

export interface DecoderBackend {
  readonly name: 'cpu' | 'cuda' | 'js';
  createModel(shape: DecoderShape, options: DecoderOptions): DecoderModel;
}
