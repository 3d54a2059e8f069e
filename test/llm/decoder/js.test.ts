import { jsDecoder } from '../../../src/llm/decoder/js/model.js';
import { describeDecoder } from './suite.js';

describeDecoder(jsDecoder, { logProbability: 1e-6, gradient: 1e-4 });
