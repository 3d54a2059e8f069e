/** Waiting for somebody else's promise, but not for ever. */
import { LorakeetError } from '../errors.js';

/**
 * What `work` gives, or ERR_REASONING_BANK_TIMEOUT after `timeoutMs`. Whatever becomes of `work` later, nobody has to
 * handle; a throw before its first await is a rejection as well.
 */
export async function withDeadline<T>(what: string, timeoutMs: number, work: () => Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new LorakeetError('ERR_REASONING_BANK_TIMEOUT', `${what}: no answer within ${timeoutMs} ms`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([work(), deadline]);
  } finally {
    clearTimeout(timer);
  }
}
