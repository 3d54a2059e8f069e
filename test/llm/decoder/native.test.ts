/** The native decoder, at every instruction set that this machine runs. */
import { describe, expect, it } from 'vitest';
import { nativeInfo } from '../../../src/kernels/native.js';
import { createNativeDecoder } from '../../../src/llm/decoder/native/model.js';
import { isRequired } from '../../support/coverage-report.js';
import { describeGoldens } from './goldens.js';
import { describeDecoder } from './suite.js';
import { describeTinyShakespeare } from './tiny-shakespeare.js';

const { available, reason, isas } = nativeInfo();
for (const isa of isas) {
  describe(isa, () => {
    const backend = createNativeDecoder({ device: 'cpu', isa });
    describeDecoder(backend, { logProbability: 1e-5, gradient: 1e-3 });
    describeTinyShakespeare(backend, { validation: isa !== 'baseline' });
    describeGoldens(backend, { logit: 1e-4, gradient: 1e-4, step: 1e-2 });
  });
}

it.runIf(!available)('has no addon', (test) => {
  expect(isRequired('cpu'), `LORAKEET_REQUIRE lists cpu: ${reason}`).toBe(false);
  test.skip(reason);
});
