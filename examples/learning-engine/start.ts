/** Opens the service on what comes with the repository, with some feedback to learn from. */
import { join } from 'node:path';
import { type Logger, LorakeetError } from 'lorakeet';
import type { ServedService } from 'lorakeet/service';
import { importFeedback, loadConfig, openFeedbackStore, openLearningService, serve } from 'lorakeet/service';
import { UserError } from '../movielens/user-error.js';
import type { StartOptions } from './options.js';

const OWN = 'examples/learning-engine';

/**
 * Paths are relative to the repository. Throws a UserError where the port is taken, and what openLearningService throws.
 */
export async function startService(
  { port, folder }: Pick<StartOptions, 'port' | 'folder'>,
  logger: Logger,
): Promise<ServedService> {
  const { config } = await loadConfig({
    file: join(OWN, 'lorakeet.yaml'),
    overrides: {
      'storage.folder': join(folder, 'learning-engine'),
      ...(port !== undefined && { 'service.port': port }),
    },
  });
  await giveFeedback(config);
  const service = await openLearningService(config, { logger });
  try {
    return await serve(service, config, { logger });
  } catch (error) {
    await service.close();
    const isPort = error instanceof LorakeetError && error.message.startsWith('service.port');
    throw isPort ? new UserError(`${error.message}; npm start -- --port N takes another`) : error;
  }
}

/** The rows have ids by their content: they are there once, however often this is done. */
async function giveFeedback(config: Awaited<ReturnType<typeof loadConfig>>['config']): Promise<void> {
  const store = await openFeedbackStore(config);
  try {
    await importFeedback(store, join(OWN, 'feedback.jsonl'));
  } finally {
    await store.close();
  }
}

/** Asks for the page, the health and an answer. Throws an Error that says what went wrong. */
export async function tryService(url: string): Promise<string> {
  const ask = async (path: string, init?: RequestInit) => {
    const response = await fetch(url + path, init);
    if (!response.ok) throw new Error(`${path}: status ${response.status}: ${await response.text()}`);
    return response;
  };
  const page = await (await ask('/')).text();
  if (!page.includes('<html')) throw new Error('/: it is no page');
  const { status } = (await (await ask('/health')).json()) as { status: string };
  if (status !== 'healthy') throw new Error(`/health: it is ${status}`);
  const { text } = (await (
    await ask('/generate', {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ prompt: 'ROMEO:\n', max_new_tokens: 8 }),
    })
  ).json()) as { text: string };
  if (text === '') throw new Error('/generate: the answer is empty');
  return text;
}
