/** What the service learns by. */
import { LorakeetError } from '../../errors.js';
import type { Learning, ServiceParts } from './parts.js';

export function createLearning(_: ServiceParts): Learning {
  const refuse = () => Promise.reject(new LorakeetError('ERR_INVALID_STATE', 'this build has no training pipeline'));
  return {
    handleJob: refuse,
    train: refuse,
    trainFile: refuse,
    calculateFisher: refuse,
    validate: refuse,
    trainingStatus: refuse,
  };
}
