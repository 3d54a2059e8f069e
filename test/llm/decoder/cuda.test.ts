/** The CUDA decoder on the GPU of this machine, if it has one: what the native decoder is held to. */
import { expect, it } from 'vitest';
import type { DecoderBackend } from '../../../src/llm/decoder/contract.js';
import { createNativeDecoder } from '../../../src/llm/decoder/native/model.js';
import { isRequired } from '../../support/coverage-report.js';
import { describeGoldens } from './goldens.js';
import { describeDecoder } from './suite.js';
import { describeTinyShakespeare } from './tiny-shakespeare.js';

function findCuda(): { backend?: DecoderBackend; reason: string } {
  try {
    return { backend: createNativeDecoder({ device: 'cuda' }), reason: '' };
  } catch (error) {
    return { reason: (error as Error).message };
  }
}

const { backend, reason } = findCuda();
if (backend) {
  describeDecoder(backend, { logProbability: 1e-5, gradient: 1e-3 });
  describeGoldens(backend, { logit: 1e-4, gradient: 1e-4, step: 1e-2 });
  describeTinyShakespeare(backend, { validation: true });
}

it.runIf(!backend)('has no GPU', (test) => {
  expect(isRequired('cuda'), `LORAKEET_REQUIRE lists cuda: ${reason}`).toBe(false);
  test.skip(reason);
});
