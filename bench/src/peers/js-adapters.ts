/**
 * The adapters that a Node user finds on npm, behind one interface. Each is used as its documentation says, with the
 * settings that are fastest for it: no dropout, no writing of files.
 */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type { Shape } from '../model.js';

/** One user's adapter, y = x + B·(A·x)/rank, with A [rank × dim] and B [dim × rank] row-major. */
export interface JsAdapter {
  setWeights(a: Float32Array, b: Float32Array): void;
  weights(): { a: ArrayLike<number>; b: ArrayLike<number> };
  /** Content in the form that the package wants. */
  input(x: Float32Array): unknown;
  forward(input: unknown): ArrayLike<number>;
  /** SGD on the mean squared error: one step on all rows, or one on each in turn. */
  learn(inputs: readonly unknown[], targets: readonly Float32Array[], learningRate: number): void;
}

export interface JsPeer {
  version: string;
  /** It makes sense to keep an adapter per user, as many as there are users. */
  manyAdapters: boolean;
  /** Learns from one row after another instead of from all at once. */
  sequential: boolean;
  create(shape: Shape): JsAdapter;
}

type Load = (root: string) => JsPeer;

export const JS_PEERS: Record<string, Load> = { ruvllm: loadRuvllm, 'claude-flow': loadClaudeFlow, tfjs: loadTfjs };

/** The gradient of the mean squared error with respect to y, times `factor`. */
function errorGradient(y: ArrayLike<number>, target: Float32Array, factor: number): Float32Array {
  const gradient = new Float32Array(target.length);
  for (let o = 0; o < target.length; o++) gradient[o] = ((2 * factor) / target.length) * (y[o] - target[o]);
  return gradient;
}

interface Ruvllm {
  LoraAdapter: new (config: object, inputDim: number, outputDim: number) => RuvllmAdapter;
}
interface RuvllmAdapter {
  forward(input: number[]): number[];
  backward(input: number[], gradOutput: number[], learningRate: number): number;
  getWeights(): { loraA: number[][]; loraB: number[][] };
  setWeights(weights: { loraA: number[][]; loraB: number[][]; scaling: number }): void;
}

function loadRuvllm(root: string): JsPeer {
  const require = createRequire(join(root, 'package.json'));
  const { LoraAdapter } = require('@ruvector/ruvllm') as Ruvllm;
  const create = ({ dim, rank }: Shape): JsAdapter => {
    const adapter = new LoraAdapter({ rank, alpha: 1, dropout: 0 }, dim, dim);
    const table = (rows: number, columns: number, at: (row: number, column: number) => number): number[][] =>
      Array.from({ length: rows }, (_, row) => Array.from({ length: columns }, (_, column) => at(row, column)));
    return {
      setWeights(a, b) {
        // both transposed: A by input, B by rank
        const loraA = table(dim, rank, (j, k) => a[k * dim + j]);
        const loraB = table(rank, dim, (k, o) => b[o * rank + k]);
        adapter.setWeights({ loraA, loraB, scaling: 1 / rank });
      },
      weights() {
        const { loraA, loraB } = adapter.getWeights();
        return {
          a: table(rank, dim, (k, j) => loraA[j][k]).flat(),
          b: table(dim, rank, (o, k) => loraB[k][o]).flat(),
        };
      },
      input: (x) => Array.from(x),
      forward: (input) => adapter.forward(input as number[]),
      learn(inputs, targets, learningRate) {
        inputs.forEach((input, row) => {
          const y = adapter.forward(input as number[]);
          adapter.backward(input as number[], Array.from(errorGradient(y, targets[row], 1)), learningRate);
        });
      },
    };
  };
  return { version: versionOf(root, '@ruvector/ruvllm'), manyAdapters: true, sequential: true, create };
}

interface ClaudeFlow {
  LoRAAdapter: new (config: object) => ClaudeFlowAdapter;
}
interface ClaudeFlowAdapter {
  adapt(input: Float32Array): { adapted: Float32Array };
  train(input: Float32Array, gradOutput: Float32Array, reward: number): unknown;
  exportWeights(): { A: number[]; B: number[] };
  importWeights(weights: { A: number[]; B: number[]; scaling: number }): boolean;
}

function loadClaudeFlow(root: string): JsPeer {
  const require = createRequire(join(root, 'package.json'));
  const { LoRAAdapter } = require('@claude-flow/cli/dist/src/ruvector/lora-adapter.js') as ClaudeFlow;
  const create = ({ dim, rank }: Shape): JsAdapter => {
    // by default it writes its weights to a file at every 50th step
    const size = { rank, inputDim: dim, outputDim: dim };
    const adapter = new LoRAAdapter({ ...size, alpha: 1, learningRate: 1, autoSaveInterval: Infinity });
    return {
      setWeights: (a, b) => void adapter.importWeights({ A: Array.from(a), B: Array.from(b), scaling: 1 / rank }),
      weights() {
        const { A, B } = adapter.exportWeights();
        return { a: A, b: B };
      },
      input: (x) => x,
      forward: (input) => adapter.adapt(input as Float32Array).adapted,
      learn(inputs, targets, learningRate) {
        inputs.forEach((input, row) => {
          const { adapted } = adapter.adapt(input as Float32Array);
          // it adds the gradient it is given; the step size is what it calls reward
          adapter.train(input as Float32Array, errorGradient(adapted, targets[row], -1), learningRate);
        });
      },
    };
  };
  return { version: versionOf(root, '@claude-flow/cli'), manyAdapters: true, sequential: true, create };
}

interface Tensor {
  assign(value: Tensor): void;
  dataSync(): Float32Array;
  dispose(): void;
}
interface Tfjs {
  setBackend(name: string): unknown;
  tensor2d(values: ArrayLike<number>, shape: [number, number]): Tensor;
  variable(value: Tensor): Tensor;
  matMul(a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor;
  add(a: Tensor, b: Tensor): Tensor;
  mul(a: Tensor, factor: number): Tensor;
  tidy<T>(body: () => T): T;
  losses: { meanSquaredError(labels: Tensor, predictions: Tensor): Tensor };
  train: {
    sgd(learningRate: number): { minimize(loss: () => Tensor, returnCost: boolean, variables: Tensor[]): unknown };
  };
}

function loadTfjs(root: string): JsPeer {
  const require = createRequire(join(root, 'package.json'));
  const tf = require('@tensorflow/tfjs') as Tfjs;
  tf.setBackend('cpu');
  const create = ({ dim, rank }: Shape): JsAdapter => {
    const a = tf.variable(tf.tensor2d(new Float32Array(rank * dim), [rank, dim]));
    const b = tf.variable(tf.tensor2d(new Float32Array(dim * rank), [dim, rank]));
    const output = (x: Tensor): Tensor =>
      tf.add(x, tf.mul(tf.matMul(tf.matMul(x, a, false, true), b, false, true), 1 / rank));
    const concat = (rows: readonly Float32Array[]): Tensor => {
      const values = new Float32Array(rows.length * dim);
      for (const [i, row] of rows.entries()) values.set(row, i * dim);
      return tf.tensor2d(values, [rows.length, dim]);
    };
    return {
      setWeights: (newA, newB) =>
        tf.tidy(() => {
          a.assign(tf.tensor2d(newA, [rank, dim]));
          b.assign(tf.tensor2d(newB, [dim, rank]));
        }),
      weights: () => ({ a: a.dataSync(), b: b.dataSync() }),
      input: (x) => x,
      forward: (input) => tf.tidy(() => output(tf.tensor2d(input as Float32Array, [1, dim])).dataSync()),
      learn: (inputs, targets, learningRate) =>
        tf.tidy(() => {
          const x = concat(inputs as Float32Array[]);
          const target = concat(targets);
          const loss = (): Tensor => tf.losses.meanSquaredError(target, output(x));
          tf.train.sgd(learningRate).minimize(loss, false, [a, b]);
        }),
    };
  };
  return { version: versionOf(root, '@tensorflow/tfjs'), manyAdapters: false, sequential: false, create };
}

/** As npm has installed it; packages need not export their package.json. */
function versionOf(root: string, name: string): string {
  const require = createRequire(join(root, 'package.json'));
  return (require(join(root, 'node_modules', name, 'package.json')) as { version: string }).version;
}
