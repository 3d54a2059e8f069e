import { describe, expect, it } from 'vitest';
import { evaluate, knownCoefficients, type TokenExample, targetsFrom } from '../../src/llm/objectives.js';

const sequence = targetsFrom(Uint32Array.of(1, 2, 3, 4), 1);
const logs = Float32Array.of(-0.1, -2, -0.7);
const otherLogs = Float32Array.of(-1.5, -0.3, -0.2);
const reference = [-3, -2.5];

const EXAMPLES: [TokenExample, Float32Array[]][] = [
  [{ kind: 'supervised', sequence, weight: 1 }, [logs]],
  [{ kind: 'unlikelihood', sequence, weight: 1 }, [logs]],
  [{ kind: 'preference', chosen: sequence, rejected: sequence, weight: 1 }, [logs, otherLogs]],
];

describe('objectives', () => {
  for (const [example, own] of EXAMPLES) {
    it(`have the coefficients −∂loss/∂log p: ${example.kind}`, () => {
      const loss = (values: Float32Array[]) => evaluate(example, 1, values, reference, { preferenceBeta: 0.7 }).loss;
      const { coefficients } = evaluate(example, 0.25, own, reference, { preferenceBeta: 0.7 });
      coefficients.forEach((of, s) => {
        of.forEach((coefficient, i) => {
          const [above, below] = [0.001, -0.001].map((h) => own.map((v, at) => (at === s ? v.with(i, v[i] + h) : v)));
          const slope = (loss(above) - loss(below)) / (above[s][i] - below[s][i]);
          expect(coefficient).toBeCloseTo(-0.25 * slope, 3);
        });
      });
    });
  }

  it('know beforehand what they need no probabilities for', () => {
    const [[supervised], [unlikelihood], [preference]] = EXAMPLES;
    expect(knownCoefficients(supervised, 0.3)).toEqual(new Float32Array(3).fill(0.1));
    expect(knownCoefficients(unlikelihood, 0.3)).toBeUndefined();
    expect(knownCoefficients(preference, 0.3)).toBeUndefined();
  });

  it('are those of the papers at hand-checked places', () => {
    expect(evaluate(EXAMPLES[0][0], 1, [logs], undefined, { preferenceBeta: 1 }).loss).toBeCloseTo(2.8 / 3, 6);
    const unlikely = -(Math.log(1 - Math.exp(-0.1)) + Math.log(1 - Math.exp(-2)) + Math.log(1 - Math.exp(-0.7))) / 3;
    expect(evaluate(EXAMPLES[1][0], 1, [logs], undefined, { preferenceBeta: 1 }).loss).toBeCloseTo(unlikely, 6);
    const margin = 0.1 * (-2.8 + 3 - (-2 + 2.5));
    const { loss } = evaluate(EXAMPLES[2][0], 1, [logs, otherLogs], reference, { preferenceBeta: 0.1 });
    expect(loss).toBeCloseTo(-Math.log(1 / (1 + Math.exp(-margin))), 6);
  });

  it('stay finite where a token is certain', () => {
    const certain = [Float32Array.of(0, -1e-9, -200)];
    const { loss, coefficients } = evaluate(EXAMPLES[1][0], 1, certain, undefined, { preferenceBeta: 1 });
    expect(Number.isFinite(loss)).toBe(true);
    expect(coefficients[0].every(Number.isFinite)).toBe(true);
    const far = evaluate(EXAMPLES[2][0], 1, [Float32Array.of(-2000), Float32Array.of(0)], [0, 0], {
      preferenceBeta: 1,
    });
    expect(far.loss).toBeCloseTo(2000, 3);
    expect(far.coefficients[0][0]).toBeCloseTo(1, 6);
  });
});
