/**
 * The permuted-task protocol: six classification tasks one after the other, whose inputs are the same images with the
 * pixels in another order each, and one adapter that has to learn them all. ACC is the mean accuracy on all tasks at the
 * end, BWT (backward transfer, Lopez-Paz & Ranzato 2017) the mean of what each task lost since it was learned.
 *
 * The images are synthetic: ten classes of three sparse prototypes each, scaled at random, with noise. The adapter maps
 * 784 pixels to 10 outputs at full rank and learns one-hot targets by least squares.
 */
import type { KernelBackend, KernelPool, PoolConfig } from '#lorakeet/kernels/contract.js';
import { sectionView } from '#lorakeet/kernels/layout.js';
import { SeededRandom } from '#lorakeet/testing/random.js';

export const METHODS = ['naive', 'ewc', 'online', 'joint'] as const;
/**
 * naive: nothing is done about forgetting; ewc: one penalty per task, each with its own anchor (Kirkpatrick 2017); online:
 * one penalty, Fisher summed up and anchor moved along, as `consolidate` does it; joint: all tasks at once, the bound
 */
export type Method = (typeof METHODS)[number];

export interface ProtocolSize {
  tasks: number;
  trainImages: number;
  testImages: number;
}

export interface ProtocolResult {
  method: Method;
  lambda: number;
  acc: number;
  /** null for joint, which has no before and after */
  bwt: number | null;
}

const [PIXELS, CLASSES, MODES] = [784, 10, 3];
const [BATCH_ROWS, FISHER_ROWS] = [64, 1000];
const LEARNING_RATE = 0.003;

interface Images {
  /** [n × PIXELS] */
  pixels: Float32Array;
  /** [n] */
  labels: Uint8Array;
}

export class PermutedTasks {
  readonly #backend: KernelBackend;
  readonly #size: ProtocolSize;
  readonly #seed: number;
  readonly #train: Images[];
  readonly #test: Images[];

  constructor(backend: KernelBackend, size: ProtocolSize, seed: number) {
    this.#backend = backend;
    this.#size = size;
    this.#seed = seed;
    const random = new SeededRandom(seed);
    const prototypes = random.normals(CLASSES * MODES * PIXELS).map((value) => Math.max(value, 0));
    for (let i = 0; i < prototypes.length; i++) if (random.uniform() >= 0.2) prototypes[i] = 0;
    const train = makeImages(prototypes, size.trainImages, random);
    const test = makeImages(prototypes, size.testImages, random);
    const orders = Array.from({ length: size.tasks }, () => shuffled(PIXELS, random));
    this.#train = orders.map((order) => permute(train, order));
    this.#test = orders.map((order) => permute(test, order));
  }

  run(method: Method, lambda: number): ProtocolResult {
    const { tasks } = this.#size;
    const pool = this.#backend.createPool(configOf(lambda));
    try {
      const random = new SeededRandom(this.#seed + 1);
      initialize(pool, random);
      const rounds = method === 'joint' ? [this.#train.map((_, task) => task)] : this.#train.map((_, task) => [task]);
      const separate = new SeparatePenalties(pool);
      const learned: number[] = [];
      rounds.forEach((round, i) => {
        this.#learn(pool, round, random);
        learned.push(this.#accuracy(pool, i));
        // the penalties of one round are replaced by those of the next unless they are summed up here
        if (method === 'online') this.#consolidate(pool, i, 1);
        if (method === 'ewc') {
          this.#consolidate(pool, i, 0);
          separate.add();
        }
      });
      const final = this.#test.map((_, task) => this.#accuracy(pool, task));
      const lost = learned.slice(0, -1).map((accuracy, task) => final[task] - accuracy);
      return { method, lambda, acc: mean(final), bwt: method === 'joint' ? null : tasks > 1 ? mean(lost) : 0 };
    } finally {
      pool.close();
    }
  }

  /** One pass over the images of the tasks, in random order. */
  #learn(pool: KernelPool, tasks: readonly number[], random: SeededRandom): void {
    const { trainImages } = this.#size;
    const order = shuffled(tasks.length * trainImages, random);
    const x = new Float32Array(BATCH_ROWS * PIXELS);
    const target = new Float32Array(BATCH_ROWS * CLASSES);
    const report = { loss: new Float32Array(1), gradNorm: new Float32Array(1), flags: new Uint8Array(1) };
    for (let first = 0; first + BATCH_ROWS <= order.length; first += BATCH_ROWS) {
      target.fill(0);
      for (let row = 0; row < BATCH_ROWS; row++) {
        const { pixels, labels } = this.#train[tasks[Math.floor(order[first + row] / trainImages)]];
        const image = order[first + row] % trainImages;
        x.set(pixels.subarray(image * PIXELS, (image + 1) * PIXELS), row * PIXELS);
        target[row * CLASSES + labels[image]] = 1;
      }
      pool.update({ slots: Uint32Array.of(0), rowOffsets: Uint32Array.of(0, BATCH_ROWS), x, target }, report);
    }
  }

  #consolidate(pool: KernelPool, task: number, decay: number): void {
    const rows = Math.min(FISHER_ROWS, this.#size.trainImages);
    const x = this.#train[task].pixels.subarray(0, rows * PIXELS);
    pool.consolidate({ slots: Uint32Array.of(0), rowOffsets: Uint32Array.of(0, rows), x, decay });
  }

  #accuracy(pool: KernelPool, task: number): number {
    const { pixels, labels } = this.#test[task];
    const y = new Float32Array(labels.length * CLASSES);
    pool.apply({ slots: new Uint32Array(labels.length), x: pixels }, y);
    const isRight = (label: number, i: number) => {
      const outputs = y.subarray(i * CLASSES, (i + 1) * CLASSES);
      return outputs.indexOf(Math.max(...outputs)) === label;
    };
    return labels.filter(isRight).length / labels.length;
  }
}

/** Σ over tasks of F·(θ − θ*)²: again of that form, with the summed F and the anchor Σ F·θ* / Σ F. */
class SeparatePenalties {
  readonly #pool: KernelPool;
  readonly #fisher: Float64Array;
  readonly #weighted: Float64Array;

  constructor(pool: KernelPool) {
    this.#pool = pool;
    this.#fisher = new Float64Array(pool.layout.parameterCount);
    this.#weighted = new Float64Array(pool.layout.parameterCount);
  }

  /** Takes the Fisher and anchor in slot 0 for those of one more task, and puts the sum there. */
  add(): void {
    const { layout } = this.#pool;
    const slab = new Float32Array(layout.slabLength);
    const steps = new Uint32Array(1);
    this.#pool.read(Uint32Array.of(0), slab, steps);
    const fisher = sectionView(layout, slab, 'fisher') as Float32Array;
    const anchor = sectionView(layout, slab, 'anchor') as Float32Array;
    for (let i = 0; i < fisher.length; i++) {
      this.#fisher[i] += fisher[i];
      this.#weighted[i] += fisher[i] * anchor[i];
      fisher[i] = this.#fisher[i];
      if (this.#fisher[i] > 0) anchor[i] = this.#weighted[i] / this.#fisher[i];
    }
    this.#pool.write(Uint32Array.of(0), slab, steps);
  }
}

function configOf(lambda: number): PoolConfig {
  return {
    rank: CLASSES,
    inFeatures: PIXELS,
    outFeatures: CLASSES,
    scaling: 1,
    residual: false,
    capacity: 1,
    optimizer: { kind: 'adamw', beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 },
    ewc: { form: 'proximal', lambda },
    stateDtype: 'fp32',
    learningRate: LEARNING_RATE,
    maxGradNorm: Number.POSITIVE_INFINITY,
    threads: 1,
  };
}

/** As initializeWeights: A uniform, B zero. */
function initialize(pool: KernelPool, random: SeededRandom): void {
  const { layout } = pool;
  const slab = new Float32Array(layout.slabLength);
  const bound = Math.sqrt(6 / (PIXELS + CLASSES));
  slab.set(random.uniforms(layout.loraALength, -bound, bound));
  pool.write(Uint32Array.of(0), slab, new Uint32Array(1));
}

function makeImages(prototypes: Float32Array, count: number, random: SeededRandom): Images {
  const pixels = random.normals(count * PIXELS, 0.35);
  const labels = new Uint8Array(count);
  for (let i = 0; i < count; i++) {
    labels[i] = random.integer(0, CLASSES - 1);
    const prototype = (labels[i] * MODES + random.integer(0, MODES - 1)) * PIXELS;
    const scale = random.uniform(0.5, 1.5);
    for (let j = 0; j < PIXELS; j++) pixels[i * PIXELS + j] += scale * prototypes[prototype + j];
  }
  return { pixels, labels };
}

function permute({ pixels, labels }: Images, order: Uint32Array): Images {
  const permuted = new Float32Array(pixels.length);
  for (let start = 0; start < pixels.length; start += PIXELS) {
    for (let j = 0; j < PIXELS; j++) permuted[start + j] = pixels[start + order[j]];
  }
  return { pixels: permuted, labels };
}

function shuffled(count: number, random: SeededRandom): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = random.integer(0, i);
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
