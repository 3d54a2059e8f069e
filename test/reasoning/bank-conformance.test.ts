import { describe, expect, it } from 'vitest';
import { ReasoningBank } from '../../src/reasoning/embedded/bank.js';
import { bankConformance } from '../../src/testing/bank-conformance.js';
import { MemoryBank, MUTANTS } from './memory-bank.js';

describe.each([
  { name: 'the embedded bank', makeBank: () => new ReasoningBank() },
  { name: 'a bank of a few lines', makeBank: () => new MemoryBank() },
])('$name', ({ makeBank }) => {
  const closeBank = (bank: object) => (bank as Partial<ReasoningBank>).close?.();
  it.each(bankConformance({ makeBank, closeBank }))('$name', (test) => test.run());
});

describe('the suite', () => {
  it.each(Object.keys(MUTANTS))('refuses a bank with one mistake: %s', async (mistake) => {
    const results = [];
    for (const test of bankConformance({ makeBank: MUTANTS[mistake] })) {
      results.push(
        await test.run()?.then(
          () => true,
          () => false,
        ),
      );
    }
    expect(results).toContain(false);
  });
});
