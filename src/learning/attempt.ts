/** From calls that may throw to results. */
import { LorakeetError } from '../errors.js';
import { failure, type Result, success } from './result.js';
import { CANCELLED } from './storage.js';

/** What `operation` gives; `Operation cancelled` once the signal is aborted, `Unexpected error: …` for whatever it throws. */
export async function attempt<T>(
  signal: AbortSignal | undefined,
  operation: () => Promise<Result<T>>,
): Promise<Result<T>> {
  if (signal?.aborted) return failure(CANCELLED);
  try {
    return await operation();
  } catch (error) {
    return failure(isCancellation(error, signal) ? CANCELLED : `Unexpected error: ${messageOf(error)}`);
  }
}

/** What the call gives; `<what>: …` for what it throws, cancellation included. */
export async function expecting<T>(
  what: string,
  signal: AbortSignal | undefined,
  call: () => Promise<T>,
): Promise<Result<T>> {
  try {
    return success(await call());
  } catch (error) {
    return failure(isCancellation(error, signal) ? CANCELLED : `${what}: ${messageOf(error)}`);
  }
}

/** The value, or the failure under a name of what failed; a cancellation stays one. */
export function naming<T>(what: string, result: Result<T>): Result<T> {
  return result.mapError((error) => (error === CANCELLED ? error : `${what}: ${error}`));
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function isCancellation(error: unknown, signal: AbortSignal | undefined): boolean {
  return (signal?.aborted ?? false) || (error instanceof LorakeetError && error.code === 'ERR_ABORTED');
}
