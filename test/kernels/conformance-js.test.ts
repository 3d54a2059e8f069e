import { jsBackend } from '../../src/kernels/js.js';
import { describeConformance } from './conformance.js';

describeConformance(jsBackend);
