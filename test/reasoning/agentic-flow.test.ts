import { afterEach, describe, expect, it } from 'vitest';
import { fromAgenticFlow } from '../../src/reasoning/agentic-flow.js';
import { bankConformance, examplePattern } from '../../src/testing/bank-conformance.js';
import { FlawedBank } from './flawed-bank.js';
import { MemoryBank } from './memory-bank.js';

const skip = {
  'consolidation takes minUses first, then the success rate, then days': 'the bank below always answers 0',
};

afterEach(() => {
  FlawedBank.ready = true;
});

describe('the bridge to agentic-flow, over a bank with its flaws', () => {
  it.each(bankConformance({ makeBank: () => fromAgenticFlow(new FlawedBank()), skip }))('$name', (test) => test.run());

  it('without the bridge they are refused', async () => {
    const failed = [];
    for (const test of bankConformance({ makeBank: () => new FlawedBank() as never, skip })) {
      await test.run()?.catch(() => failed.push(test.name));
    }
    expect(failed.length).toBeGreaterThan(5);
  });

  it('tries again to make a bank whose constructor throws', async () => {
    FlawedBank.ready = false;
    const bank = fromAgenticFlow(() => new FlawedBank());
    const failure = { code: 'ERR_REASONING_BANK_UNAVAILABLE', message: expect.stringContaining('not initialized') };
    await expect(bank.storePattern(examplePattern())).rejects.toMatchObject(failure);
    await expect(bank.learnStrategy('x')).rejects.toMatchObject(failure);
    FlawedBank.ready = true;
    expect(await bank.storePattern(examplePattern())).toBe(1);
    const none = fromAgenticFlow(async () => ({}));
    await expect(none.autoConsolidate()).rejects.toMatchObject({ code: 'ERR_REASONING_BANK_UNAVAILABLE' });
  });

  it('says at once what is no bank', () => {
    for (const none of [null, {}, 'bank']) {
      expect(() => fromAgenticFlow(none as never)).toThrow(expect.objectContaining({ code: 'ERR_INVALID_ARGUMENT' }));
    }
  });
});

describe('the bridge, over a bank that works', () => {
  it.each(bankConformance({ makeBank: () => fromAgenticFlow(new MemoryBank()) }))('$name', (test) => test.run());

  it('knows what it has stored when it is made anew', async () => {
    const below = new MemoryBank();
    const pattern = examplePattern({ reward: 0.75 });
    await fromAgenticFlow(below).storePattern(pattern);
    const [found] = await fromAgenticFlow(below).retrievePatterns(pattern.task, { minReward: 0.7 });
    expect(found).toMatchObject(pattern);
  });

  it('gives what another program stored, and leaves out what has no reward', async () => {
    const below = new MemoryBank();
    const foreign = { sessionId: 's', task: 'by another', success: true, reward: 0.5 };
    await below.storePattern(foreign);
    below.retrievePatterns = async () => [
      { ...foreign, id: 1 },
      { id: 2, task: 'without a reward' } as never,
      null as never,
    ];
    expect(await fromAgenticFlow(below).retrievePatterns('by another')).toMatchObject([foreign]);
  });
});
