/** An adapter of the reference decoder, and the projections that it changes. */
import { requireVector } from '../../../checks.js';
import { LorakeetError } from '../../../errors.js';
import type { AdapterStep, AdapterVector, DecoderAdapter, LoraModule, LoraTarget } from '../contract.js';
import type { AdapterLayout, PlacedTarget } from '../layout.js';
import { checkSpan, checkStep, checkTrains, checkVector } from '../validate.js';
import type { JsModel } from './model.js';

export class JsAdapter implements DecoderAdapter {
  readonly targets: readonly LoraTarget[];
  readonly parameterCount: number;
  readonly train: boolean;
  /** The model that it was made for. */
  readonly model: JsModel;
  readonly parameters: Float32Array;
  /** In double, as every sum of the reference. Empty without `train`. */
  readonly gradient: Float64Array;
  readonly #state: Record<'moment1' | 'moment2' | 'fisher' | 'anchor', Float32Array>;
  readonly #placed: Map<string, PlacedTarget>;
  #open = true;

  constructor(model: JsModel, layout: AdapterLayout, train: boolean) {
    this.model = model;
    this.targets = layout.targets.map(({ layer, module, rank, scaling }) => ({ layer, module, rank, scaling }));
    this.parameterCount = layout.parameterCount;
    this.train = train;
    const room = train ? layout.parameterCount : 0;
    this.parameters = new Float32Array(layout.parameterCount);
    this.gradient = new Float64Array(room);
    this.#state = {
      moment1: new Float32Array(room),
      moment2: new Float32Array(room),
      fisher: new Float32Array(room),
      anchor: new Float32Array(room),
    };
    this.#placed = new Map(layout.targets.map((target) => [placeKey(target.layer, target.module), target]));
  }

  target(layer: number, module: LoraModule): PlacedTarget | undefined {
    return this.#placed.get(placeKey(layer, module));
  }

  requireOpen(): void {
    if (!this.#open) throw new LorakeetError('ERR_CLOSED', 'adapter: it has been closed');
  }

  async write(vector: AdapterVector, values: Float32Array, first = 0): Promise<void> {
    this.requireOpen();
    const name = checkVector(vector, this.train);
    requireVector('values', values, values?.length);
    checkSpan(first, values.length, this.parameterCount);
    const copy = values.slice();
    await this.model.turn(() => this.#vector(name).set(copy, first));
  }

  async read(vector: AdapterVector, first = 0, count = this.parameterCount - first): Promise<Float32Array> {
    this.requireOpen();
    const name = checkVector(vector, this.train);
    checkSpan(first, count, this.parameterCount);
    return this.model.turn(() => Float32Array.from(this.#vector(name).subarray(first, first + count)));
  }

  async step(step: AdapterStep): Promise<number> {
    this.requireOpen();
    checkTrains(this.train);
    const full = checkStep(step);
    return this.model.turn(() => this.#step(full));
  }

  async addFisher(weight: number): Promise<void> {
    this.requireOpen();
    checkTrains(this.train);
    requireVector('weight', Float32Array.of(weight), 1);
    await this.model.turn(() => {
      const { fisher } = this.#state;
      for (let i = 0; i < fisher.length; i++) fisher[i] += weight * this.gradient[i] ** 2;
      this.gradient.fill(0);
    });
  }

  close(): void {
    this.#open = false;
  }

  #vector(name: AdapterVector): Float32Array | Float64Array {
    if (name === 'parameters') return this.parameters;
    return name === 'gradient' ? this.gradient : this.#state[name];
  }

  #step(step: Required<AdapterStep>): number {
    const norm = Math.sqrt(this.gradient.reduce((sum, g) => sum + g * g, 0));
    if (!Number.isFinite(norm)) {
      this.gradient.fill(0);
      throw new LorakeetError('ERR_NOT_FINITE', `gradient: got a norm of ${norm}, expected a finite one`);
    }
    const { beta1, beta2, learningRate: rate } = step;
    const clip = norm > step.maxGradNorm ? step.maxGradNorm / norm : 1;
    const correction1 = 1 - beta1 ** step.step;
    const correction2 = 1 - beta2 ** step.step;
    const { moment1, moment2, fisher, anchor } = this.#state;
    for (let i = 0; i < this.parameterCount; i++) {
      const g = this.gradient[i] * clip;
      moment1[i] = beta1 * moment1[i] + (1 - beta1) * g;
      moment2[i] = beta2 * moment2[i] + (1 - beta2) * g * g;
      let theta = this.parameters[i] * (1 - rate * step.weightDecay);
      theta -= (rate * (moment1[i] / correction1)) / (Math.sqrt(moment2[i] / correction2) + step.epsilon);
      const hold = rate * step.ewcLambda * fisher[i];
      this.parameters[i] = hold > 0 ? (theta + hold * anchor[i]) / (1 + hold) : theta;
    }
    this.gradient.fill(0);
    return norm;
  }
}

function placeKey(layer: number, module: LoraModule): string {
  return `${layer} ${module}`;
}
