/** The checks of every argument of the decoder contract, the same for all backends. */
import {
  fail,
  rejectUnknownKeys,
  requireBoolean,
  requireInteger,
  requireNumber,
  requireOneOf,
  requireVector,
} from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import {
  ADAPTER_VECTORS,
  type AdapterStep,
  type AdapterVector,
  type DecodeEntry,
  type DecoderOptions,
  type DecoderShape,
  type ForwardOptions,
  LORA_MODULES,
  type LoraTarget,
  type TokenBatch,
  type WeightDtype,
  type WeightName,
} from './contract.js';
import { weightKey, weightNames, weightSize } from './layout.js';

const MAX_SIZE = 2 ** 24;
const MAX_LAYERS = 4096;
const MAX_RANK = 4096;
const MAX_SEED = Number.MAX_SAFE_INTEGER;
const ELEMENT_BYTES = { f32: 4, bf16: 2, f16: 2 } as const satisfies Record<WeightDtype, number>;

/** Throws ERR_INVALID_CONFIG. */
export function checkShape(shape: DecoderShape): void {
  for (const key of ['vocabSize', 'hiddenSize', 'intermediateSize', 'heads', 'keyValueHeads', 'headDim'] as const) {
    requireInteger(`shape.${key}`, shape[key], 1, MAX_SIZE);
  }
  requireInteger('shape.layers', shape.layers, 1, MAX_LAYERS);
  if (shape.heads % shape.keyValueHeads !== 0) {
    fail('ERR_INVALID_CONFIG', 'shape.keyValueHeads', shape.keyValueHeads, `a divisor of heads (${shape.heads})`);
  }
  if (shape.headDim % 2 !== 0) fail('ERR_INVALID_CONFIG', 'shape.headDim', shape.headDim, 'an even number');
  requireBoolean('shape.queryKeyNorms', shape.queryKeyNorms);
  requireBoolean('shape.tied', shape.tied);
  requireNumber('shape.rmsNormEps', shape.rmsNormEps, { min: 0 });
  for (const module of shape.biases) requireOneOf('shape.biases', module, LORA_MODULES);
  const frequencies = shape.inverseFrequencies;
  if (!(frequencies instanceof Float64Array) || frequencies.length !== shape.headDim / 2) {
    fail(
      'ERR_INVALID_CONFIG',
      'shape.inverseFrequencies',
      frequencies,
      `a Float64Array of length ${shape.headDim / 2}`,
    );
  }
  for (const frequency of frequencies) requireNumber('shape.inverseFrequencies', frequency);
}

/** Throws ERR_INVALID_CONFIG. */
export function checkOptions(options: DecoderOptions): void {
  rejectUnknownKeys('options', options, ['weightStorage', 'arithmetic', 'threads']);
  requireOneOf('options.weightStorage', options.weightStorage, ['f32', 'bf16', 'f16', 'int8']);
  requireOneOf('options.arithmetic', options.arithmetic, ['f32', 'bf16']);
  requireInteger('options.threads', options.threads, 1, 1024);
}

/** The number of rows in `bytes`. */
export function checkWeights(
  shape: DecoderShape,
  name: WeightName,
  firstRow: number,
  dtype: WeightDtype,
  bytes: Uint8Array,
): number {
  const key = weightKey(name);
  if (!weightNames(shape).some((known) => weightKey(known) === key)) {
    fail('ERR_INVALID_ARGUMENT', 'name', key, 'a tensor that this shape has');
  }
  if (!Object.hasOwn(ELEMENT_BYTES, dtype)) fail('ERR_INVALID_ARGUMENT', 'dtype', dtype, 'f32, bf16 or f16');
  if (!(bytes instanceof Uint8Array)) fail('ERR_INVALID_ARGUMENT', 'bytes', bytes, 'a Uint8Array');
  const { rows, columns } = weightSize(shape, name);
  requireInteger('firstRow', firstRow, 0, rows - 1, 'ERR_OUT_OF_RANGE');
  const rowBytes = columns * ELEMENT_BYTES[dtype];
  const written = bytes.length / rowBytes;
  if (!Number.isInteger(written) || written < 1 || firstRow + written > rows) {
    const most = rows - firstRow;
    throw new LorakeetError(
      'ERR_LENGTH_MISMATCH',
      `bytes: got ${bytes.length}, expected 1 to ${most} rows of ${rowBytes} bytes (${key} from row ${firstRow} on)`,
    );
  }
  return written;
}

/** Throws ERR_INVALID_CONFIG. */
export function checkTargets(shape: DecoderShape, targets: readonly LoraTarget[]): void {
  if (!Array.isArray(targets) || targets.length === 0) {
    fail('ERR_INVALID_CONFIG', 'targets', targets, 'an array with at least one target');
  }
  const seen = new Set<string>();
  targets.forEach((target, i) => {
    requireInteger(`targets[${i}].layer`, target.layer, 0, shape.layers - 1);
    requireOneOf(`targets[${i}].module`, target.module, LORA_MODULES);
    requireInteger(`targets[${i}].rank`, target.rank, 1, MAX_RANK);
    requireNumber(`targets[${i}].scaling`, target.scaling);
    const key = `${target.layer} ${target.module}`;
    if (seen.has(key)) fail('ERR_INVALID_CONFIG', `targets[${i}]`, key, 'each layer and module at most once');
    seen.add(key);
  });
}

/** The vector's name if the adapter has it: ERR_INVALID_ARGUMENT, ERR_INVALID_STATE. */
export function checkVector(vector: AdapterVector, train: boolean): AdapterVector {
  if (!ADAPTER_VECTORS.includes(vector)) {
    fail('ERR_INVALID_ARGUMENT', 'vector', vector, `one of ${ADAPTER_VECTORS.join(', ')}`);
  }
  if (vector !== 'parameters') checkTrains(train);
  return vector;
}

/** Throws ERR_INVALID_STATE. */
export function checkTrains(train: boolean): void {
  if (!train) throw new LorakeetError('ERR_INVALID_STATE', 'adapter: it was made without { train: true }');
}

/** Throws ERR_OUT_OF_RANGE. */
export function checkSpan(first: number, count: number, parameterCount: number): void {
  requireInteger('first', first, 0, parameterCount, 'ERR_OUT_OF_RANGE');
  requireInteger('count', count, 0, parameterCount - first, 'ERR_OUT_OF_RANGE');
}

/** With every default filled in. Throws ERR_INVALID_CONFIG. */
export function checkStep(step: AdapterStep): Required<AdapterStep> {
  const full = {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0,
    maxGradNorm: Infinity,
    ewcLambda: 0,
    ...step,
  };
  rejectUnknownKeys('step', full, [
    'learningRate',
    'step',
    'beta1',
    'beta2',
    'epsilon',
    'weightDecay',
    'maxGradNorm',
    'ewcLambda',
  ]);
  requireNumber('step.learningRate', full.learningRate, { min: 0 });
  requireInteger('step.step', full.step, 1, 2 ** 31 - 1);
  for (const key of ['beta1', 'beta2'] as const) {
    requireNumber(`step.${key}`, full[key], { min: 0 });
    if (full[key] >= 1) fail('ERR_INVALID_CONFIG', `step.${key}`, full[key], 'a number below 1');
  }
  requireNumber('step.epsilon', full.epsilon, { min: 0 });
  requireNumber('step.weightDecay', full.weightDecay, { min: 0 });
  requireNumber('step.maxGradNorm', full.maxGradNorm, { above: 0, infinity: true });
  requireNumber('step.ewcLambda', full.ewcLambda, { min: 0 });
  return full;
}

function requireIds(name: string, value: unknown): Uint32Array {
  if (!(value instanceof Uint32Array)) fail('ERR_INVALID_ARGUMENT', name, value, 'a Uint32Array');
  return value;
}

function checkTokens(name: string, tokens: Uint32Array, vocabSize: number): void {
  requireIds(name, tokens);
  const i = tokens.findIndex((token) => token >= vocabSize);
  if (i >= 0) fail('ERR_OUT_OF_RANGE', `${name}[${i}]`, tokens[i], `a token below ${vocabSize}`);
}

/** Throws ERR_INVALID_ARGUMENT, ERR_OUT_OF_RANGE and ERR_ROW_OFFSETS. */
export function checkBatch(shape: DecoderShape, batch: TokenBatch): void {
  const { tokens, offsets, positions } = batch;
  checkTokens('batch.tokens', tokens, shape.vocabSize);
  requireIds('batch.offsets', offsets);
  requireIds('batch.positions', positions);
  const last = offsets.length - 1;
  if (last < 1 || offsets[0] !== 0 || offsets[last] !== tokens.length) {
    fail('ERR_ROW_OFFSETS', 'batch.offsets', offsets, `0 first, ${tokens.length} (the number of tokens) last`);
  }
  for (let i = 0; i < last; i++) {
    if (offsets[i] >= offsets[i + 1]) {
      fail(
        'ERR_ROW_OFFSETS',
        `batch.offsets[${i + 1}]`,
        offsets[i + 1],
        `more than ${offsets[i]}: no sequence is empty`,
      );
    }
  }
  let sequence = 0;
  for (let i = 0; i < positions.length; i++) {
    const position = positions[i];
    if (position >= tokens.length || (i > 0 && position <= positions[i - 1])) {
      fail('ERR_OUT_OF_RANGE', `batch.positions[${i}]`, position, `rising and below ${tokens.length}`);
    }
    while (offsets[sequence + 1] <= position) sequence++;
    if (position === offsets[sequence]) {
      fail('ERR_OUT_OF_RANGE', `batch.positions[${i}]`, position, 'not the first token of a sequence');
    }
  }
}

/** Throws ERR_INVALID_CONFIG and, for coefficients, ERR_INVALID_ARGUMENT, ERR_LENGTH_MISMATCH and ERR_NOT_FINITE. */
export function checkForward(options: ForwardOptions, targets: number): void {
  rejectUnknownKeys('options', options, ['keep', 'recompute', 'coefficients', 'sampleSeed', 'dropout', 'dropoutSeed']);
  if (options.keep !== undefined) requireBoolean('options.keep', options.keep);
  if (options.recompute !== undefined) requireBoolean('options.recompute', options.recompute);
  if (options.coefficients !== undefined) checkCoefficients('options.coefficients', options.coefficients, targets);
  if (options.sampleSeed !== undefined) requireInteger('options.sampleSeed', options.sampleSeed, 0, MAX_SEED);
  if (options.dropout !== undefined) {
    requireNumber('options.dropout', options.dropout, { min: 0 });
    if (options.dropout >= 1) fail('ERR_INVALID_CONFIG', 'options.dropout', options.dropout, 'a number below 1');
  }
  if (options.dropoutSeed !== undefined) requireInteger('options.dropoutSeed', options.dropoutSeed, 0, MAX_SEED);
}

export function checkCoefficients(name: string, value: Float32Array, targets: number): void {
  requireVector(name, value, targets);
}

/** Throws ERR_INVALID_ARGUMENT, ERR_OUT_OF_RANGE and ERR_CONTEXT_FULL. */
export function checkEntries(
  shape: DecoderShape,
  entries: readonly DecodeEntry[],
  cache: { sequences: number; positions: number; length(sequence: number): number },
): void {
  if (!Array.isArray(entries) || entries.length === 0) {
    fail('ERR_INVALID_ARGUMENT', 'entries', entries, 'an array with at least one entry');
  }
  const seen = new Set<number>();
  entries.forEach(({ sequence, tokens }, i) => {
    requireInteger(`entries[${i}].sequence`, sequence, 0, cache.sequences - 1, 'ERR_OUT_OF_RANGE');
    if (seen.has(sequence)) {
      fail('ERR_INVALID_ARGUMENT', `entries[${i}].sequence`, sequence, 'each sequence at most once in a call');
    }
    seen.add(sequence);
    checkTokens(`entries[${i}].tokens`, tokens, shape.vocabSize);
    if (tokens.length === 0) fail('ERR_INVALID_ARGUMENT', `entries[${i}].tokens`, tokens, 'at least one token');
    const held = cache.length(sequence);
    if (held + tokens.length > cache.positions) {
      throw new LorakeetError(
        'ERR_CONTEXT_FULL',
        `entries[${i}].tokens: got ${tokens.length} for a sequence that holds ${held}, expected at most ${cache.positions} in all`,
      );
    }
  });
}
