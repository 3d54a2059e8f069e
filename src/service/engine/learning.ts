/** What the service learns by. */
import type { Learning, ServiceParts } from './parts.js';
import { createJobHandler, isFinalFailure } from './pipeline/handler.js';
import { createTrainingRequests } from './pipeline/requests.js';

export function createLearning(parts: ServiceParts): Learning {
  return { handleJob: createJobHandler(parts), isFinalFailure, ...createTrainingRequests(parts) };
}
