/** What the service is and holds, for a page that people look at. */
import { weightNames, weightSize } from '../../llm/decoder/layout.js';
import type { LanguageModel } from '../../llm/index.js';
import { lastDays } from '../feedback/feedback-store.js';
import type { Overview } from './operations.js';
import type { ServiceParts } from './parts.js';

const FEEDBACK_DAYS = 7;

export async function overviewOf({ model, feedback, clock }: ServiceParts): Promise<Overview> {
  const { rss, heapUsed } = process.memoryUsage();
  // up to the row that has just come
  const until = new Date(clock.now() + 1);
  return {
    model: model.loaded ? describeModel(model.name as string, model.loaded) : null,
    memory: { rssBytes: rss, heapUsedBytes: heapUsed },
    feedback: await feedback.count(lastDays(FEEDBACK_DAYS, until)),
  };
}

function describeModel(name: string, { hash, decoder, backend }: LanguageModel): NonNullable<Overview['model']> {
  const sizes = weightNames(decoder.shape).map((weight) => weightSize(decoder.shape, weight));
  const parameters = sizes.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  return { name, sha256: hash, parameters, backend: backend.name, device: backend.device, reason: backend.reason };
}
