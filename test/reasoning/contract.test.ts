import { describe, expect, it } from 'vitest';
import { adaptationTask, requireReasoningBank } from '../../src/reasoning/contract.js';

const bank = {
  storePattern: async () => 1,
  retrievePatterns: async () => [],
  learnStrategy: async () => ({ patterns: [], causality: null, confidence: 0, recommendation: '' }),
  autoConsolidate: async () => ({ skillsCreated: 0 }),
};

describe('a bank', () => {
  it('is anything with the four methods, on itself or on its class', () => {
    expect(requireReasoningBank('bank', bank)).toBe(bank);
    class Inherited {
      storePattern = bank.storePattern;
      retrievePatterns = bank.retrievePatterns;
      learnStrategy = bank.learnStrategy;
      async autoConsolidate() {
        return { skillsCreated: 0 };
      }
    }
    const inherited = new Inherited();
    expect(requireReasoningBank('bank', inherited)).toBe(inherited);
  });

  it('is nothing that lacks one', () => {
    for (const method of Object.keys(bank)) {
      const error = { code: 'ERR_INVALID_ARGUMENT', message: expect.stringContaining(`bank.${method}: got undefined`) };
      expect(() => requireReasoningBank('bank', { ...bank, [method]: undefined })).toThrow(
        expect.objectContaining(error),
      );
    }
    for (const none of [null, undefined, 'bank', 7]) {
      expect(() => requireReasoningBank('bank', none)).toThrow(/bank: got .* expected an object with storePattern/);
    }
  });
});

it('names an update as documented', () => {
  const task = adaptationTask({ userId: 'user-001', rank: 8, batchSize: 3 });
  expect(task).toBe('lora_adaptation_user_user-001_rank_8_samples_3');
});
