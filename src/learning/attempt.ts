/** From calls that may throw to results. */
import { LorakeetError } from '../errors.js';
import { failure, type Result, success } from './result.js';
import { CANCELLED } from './storage.js';

const UNEXPECTED = 'Unexpected error';

/** What `operation` gives; `Operation cancelled` once the signal is aborted, `Unexpected error: …` for whatever it throws. */
export async function attempt<T>(
  signal: AbortSignal | undefined,
  operation: () => Promise<Result<T>>,
): Promise<Result<T>> {
  if (signal?.aborted) return failure(CANCELLED);
  try {
    return await operation();
  } catch (error) {
    return failureOf(UNEXPECTED, error, signal);
  }
}

/** What the call gives; `<what>: …` for what it throws, `Operation cancelled` where that is why. */
export async function expecting<T>(
  what: string,
  signal: AbortSignal | undefined,
  call: () => Promise<T>,
): Promise<Result<T>> {
  try {
    return success(await call());
  } catch (error) {
    return failureOf(what, error, signal);
  }
}

/** `Operation cancelled` where something was thrown because the signal is aborted, else `<what>: …`. */
export function failureOf(what: string, error: unknown, signal: AbortSignal | undefined): Result<never> {
  const cancelled = signal?.aborted || (error instanceof LorakeetError && error.code === 'ERR_ABORTED');
  return failure(cancelled ? CANCELLED : `${what}: ${messageOf(error)}`);
}

/** The value, or the failure under a name of what failed; a cancellation and what was unexpected stay as they are. */
export function naming<T>(what: string, result: Result<T>): Result<T> {
  return result.mapError((error) =>
    error === CANCELLED || error.startsWith(`${UNEXPECTED}: `) ? error : `${what}: ${error}`,
  );
}

/**
 * What the promise gives; rejects with ERR_ABORTED as soon as the signal is aborted, not waiting for the work to notice: for
 * work that changes nothing that others see.
 */
export async function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  let abort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    abort = () => reject(new LorakeetError('ERR_ABORTED', CANCELLED, { cause: signal.reason }));
    if (signal.aborted) abort();
    else signal.addEventListener('abort', abort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
