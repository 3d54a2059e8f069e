/** One layer of the reference decoder, forward and backward. */
import type { LoraModule } from '../contract.js';
import type { JsAdapter } from './adapter.js';
import { addAttentionBackward, attend, type SequenceRows } from './attention.js';
import { addRmsNormBackward, rmsNorm, rotate, swiglu, swigluBackward } from './elementwise.js';
import type { JsModel } from './model.js';
import { addProjectionBackward, type Dropout, type LoraPart, project } from './projection.js';

/** The rows of a computation: which sequence each belongs to, and its place there. */
export interface Rows {
  count: number;
  /** [count] */
  positions: Uint32Array;
  sequences: readonly SequenceRows[];
}

/** What changes a layer. */
export interface Change {
  adapter?: JsAdapter;
  dropout?: Dropout;
}

/** What backward needs of a layer. */
interface LayerState {
  attentionInput: Float64Array;
  /** Before their norms, if the shape has those. */
  rawQueries: Float64Array;
  rawKeys: Float64Array;
  queries: Float64Array;
  keys: Float64Array;
  values: Float64Array;
  attended: Float64Array;
  afterAttention: Float64Array;
  mlpInput: Float64Array;
  gate: Float64Array;
  up: Float64Array;
  gated: Float64Array;
}

/** One layer of one model as an adapter changes it. */
export class Layer {
  readonly #model: JsModel;
  readonly #index: number;
  readonly #change: Change;

  constructor(model: JsModel, index: number, change: Change) {
    this.#model = model;
    this.#index = index;
    this.#change = change;
  }

  /** What the layer makes of x [rows × hiddenSize]. */
  forward(x: Float64Array, rows: Rows, attention: Attention = attendWithin(rows)): Float64Array {
    return this.#run(x, rows, attention).out;
  }

  /** ∂L/∂x, dy being ∂L/∂out; the gradients of the layer's targets are added to the adapter's. */
  backward(dy: Float64Array, x: Float64Array, rows: Rows): Float64Array {
    const { shape } = this.#model;
    const { state } = this.#run(x, rows, attendWithin(rows));
    const eps = shape.rmsNormEps;

    const dGated = new Float64Array(state.gated.length);
    this.#addBackward(dGated, dy, state.gated, rows, 'down_proj');
    const { dGate, dUp } = swigluBackward(dGated, state.gate, state.up);
    const dMlpInput = new Float64Array(x.length);
    this.#addBackward(dMlpInput, dGate, state.mlpInput, rows, 'gate_proj');
    this.#addBackward(dMlpInput, dUp, state.mlpInput, rows, 'up_proj');
    const dAfter = dy.slice();
    addRmsNormBackward(dAfter, dMlpInput, state.afterAttention, this.#vector('post_attention_layernorm'), eps);

    const dAttended = new Float64Array(state.attended.length);
    this.#addBackward(dAttended, dAfter, state.attended, rows, 'o_proj');
    const dq = new Float64Array(state.queries.length);
    const dk = new Float64Array(state.keys.length);
    const dv = new Float64Array(state.values.length);
    for (const at of rows.sequences) {
      addAttentionBackward(shape, at, state.queries, state.keys, state.values, dAttended, dq, dk, dv);
    }
    rotate(dq, rows.positions, shape.inverseFrequencies, -1);
    rotate(dk, rows.positions, shape.inverseFrequencies, -1);
    const dInput = new Float64Array(x.length);
    this.#addBackward(dInput, this.#beforeNorm(dq, state.rawQueries, 'q_norm'), state.attentionInput, rows, 'q_proj');
    this.#addBackward(dInput, this.#beforeNorm(dk, state.rawKeys, 'k_norm'), state.attentionInput, rows, 'k_proj');
    this.#addBackward(dInput, dv, state.attentionInput, rows, 'v_proj');
    const dx = dAfter;
    addRmsNormBackward(dx, dInput, x, this.#vector('input_layernorm'), eps);
    return dx;
  }

  #run(x: Float64Array, rows: Rows, attention: Attention): { out: Float64Array; state: LayerState } {
    const { shape } = this.#model;
    const attentionInput = rmsNorm(x, this.#vector('input_layernorm'), shape.rmsNormEps);
    const rawQueries = this.#project(attentionInput, rows, 'q_proj');
    const rawKeys = this.#project(attentionInput, rows, 'k_proj');
    const values = this.#project(attentionInput, rows, 'v_proj');
    const queries = this.#normed(rawQueries, 'q_norm');
    const keys = this.#normed(rawKeys, 'k_norm');
    rotate(queries, rows.positions, shape.inverseFrequencies, 1);
    rotate(keys, rows.positions, shape.inverseFrequencies, 1);
    const attended = attention(this.#model, this.#index, queries, keys, values);
    const afterAttention = added(x, this.#project(attended, rows, 'o_proj'));
    const mlpInput = rmsNorm(afterAttention, this.#vector('post_attention_layernorm'), shape.rmsNormEps);
    const gate = this.#project(mlpInput, rows, 'gate_proj');
    const up = this.#project(mlpInput, rows, 'up_proj');
    const gated = swiglu(gate, up);
    const out = added(afterAttention, this.#project(gated, rows, 'down_proj'));
    const state = {
      attentionInput,
      rawQueries,
      rawKeys,
      queries,
      keys,
      values,
      attended,
      afterAttention,
      mlpInput,
      gate,
      up,
      gated,
    };
    return { out, state };
  }

  #project(x: Float64Array, rows: Rows, module: LoraModule): Float64Array {
    return project(x, rows.count, this.#model.projection(this.#index, module), this.#lora(module));
  }

  #addBackward(dx: Float64Array, dy: Float64Array, x: Float64Array, rows: Rows, module: LoraModule): void {
    addProjectionBackward(dx, dy, x, rows.count, this.#model.projection(this.#index, module), this.#lora(module));
  }

  #lora(module: LoraModule): LoraPart | undefined {
    const { adapter, dropout } = this.#change;
    const target = adapter?.target(this.#index, module);
    return adapter && target && { adapter, target, dropout };
  }

  #vector(name: 'input_layernorm' | 'post_attention_layernorm' | 'q_norm' | 'k_norm'): Float32Array {
    return this.#model.weight(`layers.${this.#index}.${name}`);
  }

  /** A copy, which may be changed. */
  #normed(raw: Float64Array, name: 'q_norm' | 'k_norm'): Float64Array {
    const { shape } = this.#model;
    return shape.queryKeyNorms ? rmsNorm(raw, this.#vector(name), shape.rmsNormEps) : raw.slice();
  }

  #beforeNorm(dy: Float64Array, raw: Float64Array, name: 'q_norm' | 'k_norm'): Float64Array {
    const { shape } = this.#model;
    if (!shape.queryKeyNorms) return dy;
    const dx = new Float64Array(dy.length);
    addRmsNormBackward(dx, dy, raw, this.#vector(name), shape.rmsNormEps);
    return dx;
  }
}

/** What the queries of one layer's rows find among the keys. */
export type Attention = (
  model: JsModel,
  layer: number,
  queries: Float64Array,
  keys: Float64Array,
  values: Float64Array,
) => Float64Array;

/** Every row sees the rows before it in its sequence, and no others. */
function attendWithin(rows: Rows): Attention {
  return ({ shape }, _layer, queries, keys, values) => {
    const out = new Float64Array(queries.length);
    for (const at of rows.sequences) attend(shape, at, queries, { keys, values, first: at.row, last: at.row }, out);
    return out;
  };
}

function added(x: Float64Array, y: Float64Array): Float64Array {
  return x.map((value, i) => value + y[i]);
}
