import { describe, expect, it } from 'vitest';
import { findCommonDirections } from '../../src/continual/common-directions.js';
import { SeededRandom } from '../../src/testing/random.js';

const [IN, OUT, RANK, SCALING] = [5, 6, 2, 0.5];

/** Adapters whose B has its columns in the span of `basis` [vectors of OUT]. */
function population(basis: readonly number[][], users: number, seed: number) {
  const random = new SeededRandom(seed);
  return Array.from({ length: users }, () => {
    const loraB = new Float32Array(OUT * RANK);
    for (let k = 0; k < RANK; k++) {
      basis.forEach((vector, b) => {
        const amount = random.normal() / (1 + 2 * b);
        for (let o = 0; o < OUT; o++) loraB[o * RANK + k] += amount * vector[o];
      });
    }
    return { loraA: random.normals(RANK * IN), loraB };
  });
}

/** E(uᵀ·ΔW·x)² from ΔW itself. */
function energyAlong(direction: Float64Array, adapters: ReturnType<typeof population>, inputSquares: Float64Array) {
  let sum = 0;
  for (const { loraA, loraB } of adapters) {
    for (let j = 0; j < IN; j++) {
      let response = 0;
      for (let o = 0; o < OUT; o++) {
        for (let k = 0; k < RANK; k++) {
          response += SCALING * direction[o] * loraB[o * RANK + k] * loraA[k * IN + j];
        }
      }
      sum += response ** 2 * inputSquares[j];
    }
  }
  return sum / adapters.length;
}

describe('findCommonDirections', () => {
  const inputSquares = Float64Array.of(1, 2, 0.5, 0, 3);
  const first = [0.6, 0.8, 0, 0, 0, 0];
  const second = [0, 0, 1, 0, 0, 0];
  const adapters = population([first, second], 40, 1);
  const found = findCommonDirections(adapters, SCALING, inputSquares, OUT, 3);

  it('finds the span that all adapters share, the strongest direction first', () => {
    const [u, v] = found.directions;
    for (const direction of [u, v]) {
      const inside = [first, second].map((b) => b.reduce((sum, value, o) => sum + value * direction[o], 0));
      expect(Math.hypot(...inside)).toBeCloseTo(1, 6);
    }
    expect(Math.abs(first.reduce((sum, value, o) => sum + value * u[o], 0))).toBeGreaterThan(0.95);
    expect(found.energies[0]).toBeGreaterThan(found.energies[1]);
  });

  it('measures their energies as ΔW gives them', () => {
    found.directions.forEach((direction, k) => {
      expect(found.energies[k]).toBeCloseTo(energyAlong(direction, adapters, inputSquares), 6);
    });
    expect(found.energies[0] + found.energies[1]).toBeCloseTo(found.totalEnergy, 6);
  });

  it('gives a whole orthonormal basis although nobody uses the third direction', () => {
    expect(found.energies[2]).toBeCloseTo(0, 9);
    found.directions.forEach((a, i) => {
      found.directions.forEach((b, j) => {
        const product = a.reduce((sum, value, o) => sum + value * b[o], 0);
        expect(product).toBeCloseTo(i === j ? 1 : 0, 9);
      });
    });
  });
});
