import { createNativeBackend } from '../../src/kernels/native.js';
import { describeConformance, describeUnavailable } from './conformance.js';

function findCuda() {
  try {
    return { backend: createNativeBackend({ device: 'cuda' }), reason: '' };
  } catch (error) {
    return { backend: undefined, reason: (error as Error).message };
  }
}

const { backend, reason } = findCuda();
if (backend) describeConformance(backend);
else describeUnavailable('cuda', reason);
