/**
 * The mathematics of one slot in the js backend: forward, gradient, optimizer step, Fisher. docs/math.md has the
 * derivations. Everything is computed in double and rounded once, when it is stored; the work arrays belong to the pool
 * and are reused by every call.
 */
import { roundingKey, roundStochastically, roundToNearest } from './bf16.js';
import { type PoolConfig, UpdateFlag } from './contract.js';
import { accumulate, expand, project } from './js-blocks.js';
import type { SlotState } from './js-slots.js';
import { type SlabLayout, type SlabSection, sectionView } from './layout.js';

/** The largest step count that a Uint32Array can report; the counter stops there. */
const MAX_STEP = 2 ** 32 - 1;

/** Rows as vectors in `data`, or as ids of rows of `data`. */
export interface RowSource {
  data: Float32Array;
  ids: Uint32Array | null;
}

export interface StepParameters {
  learningRate: number;
  maxGradNorm: number;
  ewcLambda: number;
}

export interface StepResult {
  loss: number;
  gradNorm: number;
  flags: number;
}

export class SlotMath {
  readonly #config: Readonly<PoolConfig>;
  readonly #layout: SlabLayout;
  /** Two rows each: the input, the output (later its error), A·x, and Bᵀ·error. */
  readonly #x: Float64Array;
  readonly #y: Float64Array;
  readonly #h: Float64Array;
  readonly #back: Float64Array;
  /** [parameterCount], laid out like the weights of a slot; allocated by the first update. */
  #gradient = new Float64Array(0);
  /** The slot after the step, kept apart until it is known to be finite. */
  #next = new Float32Array(0);

  constructor(config: Readonly<PoolConfig>, layout: SlabLayout) {
    this.#config = config;
    this.#layout = layout;
    this.#x = new Float64Array(2 * config.inFeatures);
    this.#y = new Float64Array(2 * config.outFeatures);
    this.#h = new Float64Array(2 * config.rank);
    this.#back = new Float64Array(2 * config.rank);
  }

  /** y[first + i] for `count` (1 or 2) rows that belong to the same slot. */
  apply(values: Float32Array, x: RowSource, first: number, count: number, y: Float32Array): void {
    const { outFeatures } = this.#config;
    this.#forward(values, x, first, count);
    const output = this.#y;
    const start = first * outFeatures;
    const length = count * outFeatures;
    for (let i = 0; i < length; i++) y[start + i] = output[i];
  }

  /** One optimizer step on rows `first` … `end`−1; leaves the state untouched when it is rejected. */
  update(
    state: SlotState,
    x: RowSource,
    target: RowSource,
    weight: Float32Array | undefined,
    first: number,
    end: number,
    parameters: StepParameters,
  ): StepResult {
    this.#allocateStepMemory();
    let totalWeight = 0;
    for (let i = first; i < end; i++) totalWeight += weight ? weight[i] : 1;
    if (totalWeight === 0) return { loss: 0, gradNorm: 0, flags: UpdateFlag.NO_WEIGHT };

    const loss = this.#lossAndGradient(state.values, x, target, weight, first, end, totalWeight);
    if (this.#config.ewc?.form === 'gradient') this.#addEwcGradient(state.values, parameters.ewcLambda);
    const gradNorm = norm(this.#gradient);
    const clipped = gradNorm > parameters.maxGradNorm;
    const clipScale = clipped ? parameters.maxGradNorm / gradNorm : 1;

    // rounded as the report will be: what cannot be reported as a finite number is not stepped on
    const finite = Number.isFinite(Math.fround(loss)) && Number.isFinite(Math.fround(gradNorm));
    if (!finite || !this.#step(state, clipScale, parameters)) return { loss, gradNorm, flags: UpdateFlag.REJECTED };

    state.values.set(this.#next);
    state.step = Math.min(state.step + 1, MAX_STEP);
    return { loss, gradNorm, flags: clipped ? UpdateFlag.CLIPPED : 0 };
  }

  /**
   * The Fisher after rows `first` … `end`−1 (Gauss–Newton: F_B[o,k] = s²·mean(z_k²), F_A[k,j] = s²·mean(x_j²)·Σ_o B_ok²,
   * z = A·x), or null when it would not be finite. The array is reused by the next call.
   */
  fisher(values: Float32Array, x: RowSource, first: number, end: number, decay: number): Float32Array | null {
    this.#allocateStepMemory();
    const { rank, inFeatures, outFeatures, scaling } = this.#config;
    const { parameterCount, loraALength } = this.#layout;
    const input = this.#x;
    const latent = this.#h;
    const inputSquares = new Float64Array(inFeatures);
    const latentSquares = new Float64Array(rank);
    for (let i = first; i < end; i++) {
      this.#load(x, inFeatures, i, 1, input);
      project(values, 0, rank, inFeatures, input, 1, latent);
      for (let j = 0; j < inFeatures; j++) inputSquares[j] += input[j] * input[j];
      for (let k = 0; k < rank; k++) latentSquares[k] += latent[k] * latent[k];
    }

    const perRow = (scaling * scaling) / (end - first);
    const old = this.#offset('fisher');
    const next = this.#next.subarray(0, parameterCount);
    for (let k = 0; k < rank; k++) {
      const b = loraALength + k * outFeatures;
      let weightSquares = 0;
      for (let o = 0; o < outFeatures; o++) weightSquares += values[b + o] * values[b + o];
      for (let j = 0; j < inFeatures; j++) {
        const index = k * inFeatures + j;
        next[index] = decay * values[old + index] + perRow * inputSquares[j] * weightSquares;
      }
      for (let o = 0; o < outFeatures; o++) next[b + o] = decay * values[old + b + o] + perRow * latentSquares[k];
    }
    return allFinite(next) ? next : null;
  }

  /** Stores a new Fisher and makes the present weights the anchor. */
  setFisherAndAnchor(state: SlotState, fisher: Float32Array): void {
    const { values } = state;
    values.set(fisher, this.#offset('fisher'));
    values.copyWithin(this.#offset('anchor'), 0, this.#layout.parameterCount);
    if (this.#config.stateDtype === 'bf16') {
      const view = (section: SlabSection) => sectionView(this.#layout, values, section) as Float32Array;
      roundStochastically(view('fisher'), roundingKey(state.step, state.consolidations));
      roundToNearest(view('anchor'));
    }
    state.consolidations += 1;
  }

  #offset(section: SlabSection): number {
    return this.#layout.sections.indexOf(section) * this.#layout.parameterCount;
  }

  #allocateStepMemory(): void {
    if (this.#gradient.length > 0) return;
    this.#gradient = new Float64Array(this.#layout.parameterCount);
    this.#next = new Float32Array(this.#layout.slabLength);
  }

  #load(source: RowSource, features: number, first: number, count: number, into: Float64Array): void {
    const { data, ids } = source;
    for (let r = 0; r < count; r++) {
      const from = (ids ? ids[first + r] : first + r) * features;
      const to = r * features;
      for (let j = 0; j < features; j++) into[to + j] = data[from + j];
    }
  }

  /** Leaves x in #x, A·x in #h and the output in #y. */
  #forward(values: Float32Array, x: RowSource, first: number, count: number): void {
    const { rank, inFeatures, outFeatures, scaling, residual } = this.#config;
    this.#load(x, inFeatures, first, count, this.#x);
    project(values, 0, rank, inFeatures, this.#x, count, this.#h);
    expand(values, this.#layout.loraALength, rank, outFeatures, this.#h, count, this.#y);
    const input = this.#x;
    const output = this.#y;
    const length = count * outFeatures;
    if (residual) for (let i = 0; i < length; i++) output[i] = input[i] + scaling * output[i];
    else for (let i = 0; i < length; i++) output[i] *= scaling;
  }

  /** Σwℓ/Σw, and its gradient in #gradient. With eᵢ = 2wᵢ(yᵢ−tᵢ)/(out·Σw): ∂B = s·Σeᵢ(Axᵢ)ᵀ, ∂A = s·ΣBᵀeᵢxᵢᵀ. */
  #lossAndGradient(
    values: Float32Array,
    x: RowSource,
    target: RowSource,
    weight: Float32Array | undefined,
    first: number,
    end: number,
    totalWeight: number,
  ): number {
    const { rank, inFeatures, outFeatures, scaling } = this.#config;
    const b = this.#layout.loraALength;
    this.#gradient.fill(0);
    let lossSum = 0;
    for (let i = first; i < end; i += 2) {
      const count = Math.min(2, end - i);
      this.#forward(values, x, i, count);
      for (let r = 0; r < count; r++) {
        const w = weight ? weight[i + r] : 1;
        lossSum += w * this.#error(target, i + r, r * outFeatures, (2 * w) / (outFeatures * totalWeight));
      }
      project(values, b, rank, outFeatures, this.#y, count, this.#back);
      for (let k = 0; k < count * rank; k++) {
        this.#h[k] *= scaling;
        this.#back[k] *= scaling;
      }
      accumulate(this.#gradient, b, rank, outFeatures, this.#h, count, this.#y);
      accumulate(this.#gradient, 0, rank, inFeatures, this.#back, count, this.#x);
    }
    return lossSum / totalWeight;
  }

  /** Turns one output row in #y into its error, scaled; returns the row's mean squared error. */
  #error(target: RowSource, row: number, start: number, scale: number): number {
    const { outFeatures } = this.#config;
    const { data, ids } = target;
    const output = this.#y;
    const from = (ids ? ids[row] : row) * outFeatures;
    let squares = 0;
    for (let o = 0; o < outFeatures; o++) {
      const difference = output[start + o] - data[from + o];
      squares += difference * difference;
      output[start + o] = scale * difference;
    }
    return squares / outFeatures;
  }

  #addEwcGradient(values: Float32Array, lambda: number): void {
    const fisher = this.#offset('fisher');
    const anchor = this.#offset('anchor');
    const gradient = this.#gradient;
    for (let i = 0; i < gradient.length; i++) {
      gradient[i] += lambda * values[fisher + i] * (values[i] - values[anchor + i]);
    }
  }

  /** Puts the slot after the step into #next; false when a number in it is not finite. */
  #step(state: SlotState, clipScale: number, { learningRate, ewcLambda }: StepParameters): boolean {
    const { optimizer, ewc } = this.#config;
    const { parameterCount } = this.#layout;
    const { values } = state;
    const direction = this.#gradient;
    const next = this.#next;
    next.set(values);
    if (clipScale !== 1) for (let i = 0; i < parameterCount; i++) direction[i] *= clipScale;
    if (optimizer.kind === 'adamw') this.#adamDirection(optimizer, state);

    const keep = 1 - learningRate * optimizer.weightDecay;
    const pull = ewc?.form === 'proximal' ? learningRate * ewcLambda : 0;
    if (pull > 0) {
      const fisher = this.#offset('fisher');
      const anchor = this.#offset('anchor');
      for (let i = 0; i < parameterCount; i++) {
        const strength = pull * values[fisher + i];
        const theta = keep * values[i] - learningRate * direction[i];
        next[i] = (theta + strength * values[anchor + i]) / (1 + strength);
      }
    } else {
      for (let i = 0; i < parameterCount; i++) next[i] = keep * values[i] - learningRate * direction[i];
    }
    return allFinite(next);
  }

  /** Turns the gradient into AdamW's direction m̂/(√v̂ + ε); puts the new moments into #next. */
  #adamDirection(optimizer: PoolConfig['optimizer'] & { kind: 'adamw' }, { values, step }: SlotState): void {
    const { beta1, beta2, epsilon } = optimizer;
    const { parameterCount } = this.#layout;
    const gradient = this.#gradient;
    const next = this.#next;
    const t = Math.min(step + 1, MAX_STEP);
    const correction1 = 1 - beta1 ** t;
    const correction2 = 1 - beta2 ** t;
    const m = this.#offset('moment1');
    const v = this.#offset('moment2');
    for (let i = 0; i < parameterCount; i++) {
      const g = gradient[i];
      const moment1 = beta1 * values[m + i] + (1 - beta1) * g;
      const moment2 = beta2 * values[v + i] + (1 - beta2) * g * g;
      next[m + i] = moment1;
      next[v + i] = moment2;
      gradient[i] = moment1 / correction1 / (Math.sqrt(moment2 / correction2) + epsilon);
    }
  }
}

/** Global L2 norm; NaN or Infinity when an element is. */
function norm(values: Float64Array): number {
  let squares = 0;
  for (let i = 0; i < values.length; i++) squares += values[i] * values[i];
  return Math.sqrt(squares);
}

function allFinite(values: Float32Array): boolean {
  for (let i = 0; i < values.length; i++) if (values[i] - values[i] !== 0) return false;
  return true;
}
