/** A JavaScript peer is held to the oracle before it is timed: its output exactly, what it learns as far as it follows. */
import type { PoolConfig } from '#lorakeet/kernels/contract.js';
import { BUDGETS } from '#lorakeet/testing/budgets.js';
import { assertWithin, maxMagnitude } from '#lorakeet/testing/harness.js';
import { type OracleRow, type OracleState, oracleForward, oracleUpdate } from '#lorakeet/testing/oracle.js';
import { SeededRandom } from '#lorakeet/testing/random.js';
import type { Shape } from '../model.js';
import { benchConfig } from '../population.js';
import type { JsPeer } from './js-adapters.js';

/**
 * Share of the largest change. Looser than for our kernels: one of the peers takes B's step before it computes A's
 * gradient, which differs in the second order of the step size. A factor or a sign that is off is far beyond it.
 */
const LEARN_BUDGET = 0.02;

/** Throws an Error when the peer's forward or its learning from `rows` rows is wrong. */
export function checkJsPeer(name: string, peer: JsPeer, shape: Shape, rows: number): void {
  const config: PoolConfig = { ...benchConfig(shape, 'sgd', 1), ewc: null, maxGradNorm: Infinity };
  const { dim, rank } = shape;
  const random = new SeededRandom(rows);
  const a = random.normals(rank * dim).map((value) => value / Math.sqrt(dim));
  const b = random.normals(dim * rank).map((value) => value / Math.sqrt(rank));
  const inputs = Array.from({ length: rows }, () => random.normals(dim));
  const targets = inputs.map(() => random.normals(dim));
  const before = stateOf(a, b);
  const adapter = peer.create(shape);
  adapter.setWeights(a, b);
  try {
    const y = Array.from(adapter.forward(adapter.input(inputs[0])));
    assertWithin('y', y, oracleForward(config, before.weights, inputs[0]), BUDGETS.apply);

    const learningRate = dim / 1000;
    const data = inputs.map((x, row): OracleRow => ({ x, target: targets[row], weight: 1 }));
    const parameters = { learningRate, maxGradNorm: Infinity, ewcLambda: 0 };
    const steps = peer.sequential ? data.map((row) => [row]) : [data];
    const want = steps.reduce((state, step) => oracleUpdate(config, state, step, parameters).state, before);
    adapter.learn(inputs.map(adapter.input), targets, learningRate);
    const got = adapter.weights();
    const change = want.weights.map((value, i) => value - before.weights[i]);
    const [wantA, wantB] = [want.weights.slice(0, a.length), want.weights.slice(a.length)];
    assertWithin('A', got.a, wantA, LEARN_BUDGET, maxMagnitude(change.slice(0, a.length)));
    assertWithin('B', got.b, wantB, LEARN_BUDGET, maxMagnitude(change.slice(a.length)));
  } catch (cause) {
    throw new Error(`${name}: refuses to time a peer that is wrong: ${(cause as Error).message}`, { cause });
  }
}

function stateOf(a: Float32Array, b: Float32Array): OracleState {
  const weights = Float64Array.of(...a, ...b);
  const zeros = (): Float64Array => new Float64Array(weights.length);
  return { weights, fisher: zeros(), anchor: zeros(), moment1: zeros(), moment2: zeros(), step: 0 };
}
