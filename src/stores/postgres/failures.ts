/** What an error of pg means: may the same be tried again, could it have had an effect, and how it is told. */
import { LorakeetError } from '../../errors.js';

/** Nothing has reached a server, and soon it may: it is starting, has too many connections, or is not there. */
const NOT_YET = new Set(['57P03', '53300', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ENOENT', 'EAI_AGAIN']);
/** The server has undone everything: a serialization failure or a deadlock. */
const UNDONE = new Set(['40001', '40P01']);
/** The connection is gone, and nobody knows how far the server got. */
const LOST = new Set(['57P01', '57P02', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', '08000', '08003', '08006']);
/** pg has no codes for these. */
const BUSY_POOL = 'timeout exceeded when trying to connect';
const LOST_TEXTS = /^Connection terminated unexpectedly|is not queryable$/;

/**
 * unsent: nothing has happened, and it may be tried again; undone: likewise; lost: it may have happened; final: the server
 * refuses, or did not answer in time.
 */
export type Failure = 'unsent' | 'undone' | 'lost' | 'final';

/** `connected`: whether there was a connection to send something over. */
export function failureOf(error: unknown, connected: boolean): Failure {
  const { code = '', message = '' } = error as { code?: string; message?: string };
  const lost = LOST_TEXTS.test(message);
  if (!connected) return NOT_YET.has(code) || lost || message === BUSY_POOL ? 'unsent' : 'final';
  if (UNDONE.has(code)) return 'undone';
  return LOST.has(code) || lost ? 'lost' : 'final';
}

/** As ERR_STORE_UNAVAILABLE; errors of ours stay what they are. */
export function unavailable(error: unknown): LorakeetError {
  if (error instanceof LorakeetError) return error;
  const { code } = error as { code?: string };
  // it would carry the connection string, with its password
  if (code === 'ERR_INVALID_URL') {
    return new LorakeetError('ERR_INVALID_CONFIG', 'options.connection: got what is no URL, expected postgres://…');
  }
  const text = `Postgres: ${messageOf(error)}${code ? ` (${code})` : ''}`;
  return new LorakeetError('ERR_STORE_UNAVAILABLE', text, { cause: error });
}

/** Of several addresses tried in vain the error has no message of its own. */
function messageOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(messageOf).join('; ');
  return (error as Error).message;
}

/** Whether the server itself has refused: then nothing has happened. Not what it says when it closes a connection. */
export function isRefusal(error: unknown): boolean {
  const { code = '', severity } = error as { code?: string; severity?: string };
  return severity !== undefined && !LOST.has(code);
}
