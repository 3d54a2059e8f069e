import type { KernelBackend } from '../../src/kernels/contract.js';
import { createNativeBackend } from '../../src/kernels/native.js';
import { describeConformance, describeUnavailable } from './conformance.js';

let backend: KernelBackend | undefined;
let reason = '';
try {
  backend = createNativeBackend({ device: 'cuda' });
} catch (error) {
  reason = (error as Error).message;
}
const found = backend;
if (found) describeConformance(found.device, () => found);
else describeUnavailable('cuda', reason);
