/** The native processor backend, at every instruction set that this machine runs. */
import { createNativeBackend, nativeInfo } from '../../src/kernels/native.js';
import { describeConformance, describeUnavailable } from './conformance.js';

const { available, reason, isas } = nativeInfo();
if (available) for (const isa of isas) describeConformance(createNativeBackend({ device: 'cpu', isa }));
else describeUnavailable('cpu', reason);
