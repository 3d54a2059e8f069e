import { describe, expect, it } from 'vitest';
import type { AdaptationHints } from '../../src/reasoning/contract.js';
import { hintsOf, parseHints } from '../../src/reasoning/hints.js';

const configured = { learningRate: 0.001, clipThreshold: 1, ewcLambda: 0.5 };
const lr = (value: number): AdaptationHints => ({ suggestedLearningRate: value });
const clip = (value: number): AdaptationHints => ({ suggestedClipThreshold: value });
const ewc = (value: number): AdaptationHints => ({ suggestedEwcLambda: value });

const cases: [string, AdaptationHints][] = [
  // the documents' own examples
  ['Reduce learning rate to 0.0005 for better convergence', lr(0.0005)],
  ['Increase gradient clipping to 1.5 for stability', clip(1.5)],
  ['EWC regularization helps prevent catastrophic forgetting', {}],
  // A-H-1, A-H-2
  ['learning rate: 0.0008', lr(0.0008)],
  ['learning_rate 0.002', lr(0.002)],
  ['LEARNING RATE: 5e-4', lr(5e-4)],
  ['learningrate:1e-3', lr(1e-3)],
  ['learningRate=.002', lr(0.002)],
  ['lr 0.003', lr(0.003)],
  ['a learning rate of 0.002.', lr(0.002)],
  ['lower the learning rate from 0.001 to 0.0004', lr(0.0004)],
  // A-H-3
  ['learning rate: 2', {}],
  ['learning rate: 1', {}],
  ['learning rate: 0', {}],
  ['learning rate: -0.001', {}],
  // A-H-4 … A-H-6: the number wins over the verb
  ['Increase learning rate to 0.002', lr(0.002)],
  ['reduce learning rate: 0.0002', lr(0.0002)],
  ['Reduce learning rate. In short: learning rate 0.002', lr(0.002)],
  ['reduce learning rate', lr(0.0005)],
  ['Increase the learning rate', lr(0.0015)],
  ['a smaller learning rate may help', lr(0.0005)],
  ['reducing your current learning rate', lr(0.0005)],
  // A-H-7, A-H-8
  ['clip threshold: 1.2', clip(1.2)],
  ['gradientClipThreshold = 2', clip(2)],
  ['max_grad_norm 0.5', clip(0.5)],
  ['clip threshold: 0', {}],
  ['increase gradient clipping', clip(1.5)],
  ['reduce gradient clipping', clip(0.5)],
  // A-H-9
  ['Increase EWC lambda to 0.8', ewc(0.8)],
  ['ewcLambda: 2', ewc(2)],
  ['ewc_lambda=0.25', ewc(0.25)],
  ['λ = 1', ewc(1)],
  ['Increase EWC regularization strength', ewc(0.75)],
  ['lower the EWC penalty', ewc(0.25)],
  // several in one text
  [
    'Reduce learning rate to 0.0005, increase gradient clipping to 1.5 and raise EWC lambda.',
    { ...lr(0.0005), ...clip(1.5), ...ewc(0.75) },
  ],
  ['Reduce learning rate and clip threshold', { ...lr(0.0005), ...clip(0.5) }],
  ['Reduce learning rate; the clip threshold is fine', lr(0.0005)],
  // relative amounts are not values
  ['reduce learning rate by 20%', lr(0.0008)],
  ['increase learning rate by 100 %', lr(0.002)],
  ['increase learning rate by a factor of 3', lr(0.003)],
  ['reduce clip threshold by 4x', clip(0.25)],
  ['learning rate 20% lower', {}],
  // held within ×0.1 … ×10
  ['learning rate: 0.9', lr(0.01)],
  ['learning rate: 1e-9', lr(0.0001)],
  ['clip threshold: 1e30', clip(10)],
  ['EWC lambda: 0', ewc(0.05)],
  ['increase learning rate by a factor of 900', lr(0.01)],
  ['reduce learning rate by 100%', lr(0.0001)],
  // advice against something
  ['Do not reduce learning rate', {}],
  ['avoid a learning rate of 0.005', {}],
  ["Don't increase clip threshold; learning rate: 0.002", lr(0.002)],
  // nothing to read
  ['', {}],
  ['clipping was rare', {}],
  ['for lower loss keep everything', {}],
  ['0.0005', {}],
];

describe('a recommendation', () => {
  it.each(cases)('%s', (text, expected) => {
    const hints = parseHints(text, configured);
    expect(Object.keys(hints).sort()).toEqual(Object.keys(expected).sort());
    for (const [hint, value] of Object.entries(expected)) {
      expect(hints[hint as keyof AdaptationHints]).toBeCloseTo(value, 10);
    }
  });

  it('does not compound: it is relative to what is configured', () => {
    const text = 'reduce learning rate';
    expect(parseHints(text, configured)).toEqual(parseHints(text, configured));
    expect(parseHints(text, { ...configured, learningRate: 0.1 })).toEqual(lr(0.05));
  });

  it('leaves alone what is switched off', () => {
    expect(parseHints('ewc lambda: 2', { ...configured, ewcLambda: 0 })).toEqual({});
  });

  it('of any length is read quickly', () => {
    const text = `${'reduce the '.repeat(50_000)} learning rate`;
    expect(parseHints(text, configured)).toEqual({});
    expect(parseHints('learning-_ '.repeat(400), configured)).toEqual({});
    expect(parseHints(`reduce ${'ewc lambda '.repeat(400)}`, configured)).toEqual(ewc(0.25));
  });
});

describe('structured hints', () => {
  const strategy = { patterns: [], causality: null, confidence: 1, recommendation: 'learning rate 0.002, clip 3' };

  it('win over the text, one by one', () => {
    expect(hintsOf({ ...strategy, hints: lr(0.004) }, configured)).toEqual({ ...lr(0.004), ...clip(3) });
    expect(hintsOf(strategy, configured)).toEqual({ ...lr(0.002), ...clip(3) });
  });

  it('takes a learning rate of 1 or more from numbers, though not from words', () => {
    const coarse = { ...configured, learningRate: 4 };
    const strategy = { patterns: [], causality: null, confidence: 1, recommendation: 'learning rate: 3' };
    expect(hintsOf(strategy, coarse)).toEqual({});
    const hints = { suggestedLearningRate: 3 };
    expect(hintsOf({ ...strategy, hints }, coarse)).toEqual(hints);
  });

  it('are held in range, and ignored where they are no numbers', () => {
    expect(hintsOf({ ...strategy, recommendation: '', hints: lr(0.5) }, configured)).toEqual(lr(0.01));
    const odd = { suggestedLearningRate: '0.002', suggestedClipThreshold: Number.NaN, other: 1 };
    expect(hintsOf({ ...strategy, recommendation: '', hints: odd as unknown as AdaptationHints }, configured)).toEqual(
      {},
    );
    expect(hintsOf({ ...strategy, recommendation: undefined as unknown as string }, configured)).toEqual({});
  });
});
