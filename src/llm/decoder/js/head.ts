/** From hidden rows to log-probabilities of tokens, and back. */
import { rmsNorm } from './elementwise.js';
import type { JsModel } from './model.js';
import { addTimes, timesTransposed } from './products.js';
import { mixed } from './projection.js';

/** [rows × vocabSize]: head · rmsNorm(x). */
export function logitsOf(model: JsModel, x: Float64Array, rows: number): Float64Array {
  const { shape } = model;
  const normed = rmsNorm(x, model.weight('norm'), shape.rmsNormEps);
  return timesTransposed(normed, rows, model.head, headFeatures(model));
}

/** log Σ exp(logits) */
export function logSumExp(logits: Float64Array): number {
  const largest = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  return largest + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0));
}

/** A token drawn from softmax(logits); the same for the same seed and index. */
export function sampleToken(logits: Float64Array, normalizer: number, seed: number, index: number): number {
  const key = mixed(seed % 2 ** 32) ^ mixed(Math.floor(seed / 2 ** 32) + 0x9e3779b9);
  let left = (mixed(key + Math.imul(index, 0x85ebca6b)) >>> 0) / 2 ** 32;
  for (let token = 0; token < logits.length; token++) {
    left -= Math.exp(logits[token] - normalizer);
    if (left < 0) return token;
  }
  return logits.indexOf(logits.reduce((a, b) => Math.max(a, b), -Infinity)); // what rounding left over
}

/** ∂L/∂normed [hiddenSize] for L = −coefficient · log p(label). */
export function backwardOfTarget(
  model: JsModel,
  logits: Float64Array,
  label: number,
  coefficient: number,
): Float64Array {
  const normalizer = logSumExp(logits);
  const dLogits = logits.map((logit) => coefficient * Math.exp(logit - normalizer));
  dLogits[label] -= coefficient;
  const dNormed = new Float64Array(model.shape.hiddenSize);
  addTimes(dNormed, 1, dLogits, 1, model.head, headFeatures(model));
  return dNormed;
}

function headFeatures({ shape }: JsModel) {
  return { in: shape.hiddenSize, out: shape.vocabSize };
}
