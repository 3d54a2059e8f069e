/** Errors as one line. */
import { LorakeetError } from '../errors.js';
import { ServiceAnswerError } from '../service/client/transport.js';
import { oneLine } from './text.js';

/** The message, what to do about it, and the code; of what the service did not foresee also what its log has it under. */
export function lineOf(error: unknown): string {
  const { message, code, cause } = error as { message?: string; code?: string; cause?: unknown };
  const answer = cause instanceof ServiceAnswerError ? cause : undefined;
  const request = answer && answer.status >= 500 ? answer.requestId : undefined;
  const told = [answer?.code ?? code, request && `request ${request}`].filter(Boolean).join(', ');
  const text = [oneLine(message || String(error)), adviceFor(error)].filter(Boolean).join('; ');
  return told === '' ? text : `${text} (${told})`;
}

/** Where it is not in its message. */
function adviceFor(error: unknown): string | undefined {
  if (!(error instanceof LorakeetError)) return undefined;
  const status = error.cause instanceof ServiceAnswerError ? error.cause.status : undefined;
  if (status === 401) return 'give the token in LEARNING_ENGINE_TOKEN';
  if (error.code === 'ERR_PACKAGE_MISSING') return '`lorakeet doctor` lists all that are';
  if (error.code === 'ERR_SERVICE_UNAVAILABLE' && status === undefined) {
    return 'start it with `lorakeet serve`, or say where it is with --base-url or LEARNING_ENGINE_URL';
  }
  return undefined;
}
