/** Answers of the server in this process. */
import { fail, rejectUnknownKeys } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { ChatMessage } from '../../llm/index.js';
import type { LanguageModelServer } from '../../serving/language-model-server.js';
import type { ServiceEvents } from './events.js';
import type { GenerateAnswer, GenerateRequest } from './operations.js';

export interface GenerateOptions {
  signal?: AbortSignal;
  onText?: (text: string) => void;
}

const KEYS = ['prompt', 'maxNewTokens', 'temperature', 'topK', 'topP', 'stop', 'seed'];

/** Answers with the version that is served when it begins, to the end. Rejects as LanguageModel.generate. */
export async function answer(
  server: LanguageModelServer,
  name: string,
  request: GenerateRequest,
  { signal, onText }: GenerateOptions,
  events: ServiceEvents,
): Promise<GenerateAnswer> {
  const began = performance.now();
  try {
    requireRequest(request);
    const { prompt, ...rest } = request;
    const options = Object.fromEntries(
      Object.entries({ ...rest, signal, onText }).filter(([, value]) => value !== undefined),
    );
    const generated = await server.generate(prompt as string | ChatMessage[], { ...options, name });
    const { text, version, finishReason, promptTokens, tokens } = generated;
    const given = { text, version, finishReason, promptTokens, completionTokens: tokens.length };
    events.generationFinished(given, performance.now() - began);
    return given;
  } catch (error) {
    events.generationFailed(error instanceof LorakeetError ? error.code : 'unexpected');
    throw error;
  }
}

function requireRequest(request: GenerateRequest): void {
  if (typeof request !== 'object' || request === null) fail('ERR_INVALID_ARGUMENT', 'request', request, 'an object');
  rejectUnknownKeys('request', request, KEYS);
  const { prompt, stop = [] } = request;
  const isMessage = (value: unknown) => {
    const { role, content } = (value ?? {}) as Record<string, unknown>;
    return typeof role === 'string' && typeof content === 'string';
  };
  const ok = typeof prompt === 'string' || (Array.isArray(prompt) && prompt.every(isMessage));
  if (!ok) fail('ERR_INVALID_ARGUMENT', 'request.prompt', prompt, 'text, or messages of { role, content }');
  const texts = Array.isArray(stop) && stop.every((text) => typeof text === 'string');
  if (!texts) fail('ERR_INVALID_ARGUMENT', 'request.stop', stop, 'texts');
}
