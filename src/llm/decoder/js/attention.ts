/** Causal attention with grouped queries (Ainslie et al. 2023) of the reference decoder, one sequence at a time. */
import type { DecoderShape } from '../contract.js';

/** The rows of one sequence among all rows. */
export interface SequenceRows {
  row: number;
  rows: number;
}

/**
 * out[t] = Σⱼ softmaxⱼ(q_t·k_j / √headDim) v_j for the query rows `at`; the first of them sees the keys up to row `last` of
 * `keys` and `values` from row `first` on, each later one another key more.
 */
export function attend(
  shape: DecoderShape,
  at: SequenceRows,
  queries: Float64Array,
  seen: { keys: Float64Array; values: Float64Array; first: number; last: number },
  out: Float64Array,
): void {
  const { keys, values, first } = seen;
  const before = seen.last - first;
  const { headDim } = shape;
  const keyRow = shape.keyValueHeads * headDim;
  const queryRow = shape.heads * headDim;
  const share = new Float64Array(before + at.rows);
  for (let head = 0; head < shape.heads; head++) {
    const keyBase = first * keyRow + keyHead(shape, head);
    for (let t = 0; t < at.rows; t++) {
      const query = (at.row + t) * queryRow + head * headDim;
      const count = before + t + 1;
      softmaxRow(share, count, headDim, queries, query, keys, keyBase, keyRow);
      for (let j = 0; j < count; j++) {
        const value = keyBase + j * keyRow;
        for (let i = 0; i < headDim; i++) out[query + i] += share[j] * values[value + i];
      }
    }
  }
}

/** Adds ∂L/∂q, ∂L/∂k and ∂L/∂v of a sequence without earlier keys, dOut being ∂L/∂out. */
export function addAttentionBackward(
  shape: DecoderShape,
  at: SequenceRows,
  q: Float64Array,
  k: Float64Array,
  v: Float64Array,
  dOut: Float64Array,
  dq: Float64Array,
  dk: Float64Array,
  dv: Float64Array,
): void {
  const { headDim } = shape;
  const scale = 1 / Math.sqrt(headDim);
  const keyRow = shape.keyValueHeads * headDim;
  const queryRow = shape.heads * headDim;
  const share = new Float64Array(at.rows);
  const dShare = new Float64Array(at.rows);
  for (let head = 0; head < shape.heads; head++) {
    const keyBase = at.row * keyRow + keyHead(shape, head);
    for (let t = 0; t < at.rows; t++) {
      const query = (at.row + t) * queryRow + head * headDim;
      const count = t + 1;
      softmaxRow(share, count, headDim, q, query, k, keyBase, keyRow);
      let mean = 0;
      for (let j = 0; j < count; j++) {
        const value = keyBase + j * keyRow;
        let sum = 0;
        for (let i = 0; i < headDim; i++) {
          sum += dOut[query + i] * v[value + i];
          dv[value + i] += share[j] * dOut[query + i];
        }
        dShare[j] = sum;
        mean += share[j] * sum;
      }
      for (let j = 0; j < count; j++) {
        const dScore = scale * share[j] * (dShare[j] - mean);
        const key = keyBase + j * keyRow;
        for (let i = 0; i < headDim; i++) {
          dq[query + i] += dScore * k[key + i];
          dk[key + i] += dScore * q[query + i];
        }
      }
    }
  }
}

function keyHead(shape: DecoderShape, head: number): number {
  return Math.floor((head * shape.keyValueHeads) / shape.heads) * shape.headDim;
}

function softmaxRow(
  share: Float64Array,
  count: number,
  headDim: number,
  q: Float64Array,
  query: number,
  k: Float64Array,
  keyBase: number,
  keyRow: number,
): void {
  const scale = 1 / Math.sqrt(headDim);
  let largest = -Infinity;
  for (let j = 0; j < count; j++) {
    const key = keyBase + j * keyRow;
    let sum = 0;
    for (let i = 0; i < headDim; i++) sum += q[query + i] * k[key + i];
    share[j] = sum * scale;
    largest = Math.max(largest, share[j]);
  }
  let total = 0;
  for (let j = 0; j < count; j++) {
    share[j] = Math.exp(share[j] - largest);
    total += share[j];
  }
  for (let j = 0; j < count; j++) share[j] /= total;
}
