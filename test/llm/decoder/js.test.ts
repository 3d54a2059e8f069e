import { jsDecoder } from '../../../src/llm/decoder/js/model.js';
import { describeGoldens } from './goldens.js';
import { describeDecoder } from './suite.js';
import { describeTinyShakespeare } from './tiny-shakespeare.js';

describeDecoder(jsDecoder, { logProbability: 1e-6, gradient: 1e-4 });
describeGoldens(jsDecoder, { logit: 1e-5, gradient: 1e-5, step: 1e-2 });
describeTinyShakespeare(jsDecoder, { validation: false });
