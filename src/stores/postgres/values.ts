/** What fits into one value of a row. */
import { fail } from '../../checks.js';

/** The driver reads a value as hexadecimal text, and strings of JavaScript end at some 512 MiB. */
export const MAX_VALUE_BYTES = 2 ** 27;

/** Throws ERR_INVALID_ARGUMENT. */
export function requireValue(name: string, bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_VALUE_BYTES) {
    fail('ERR_INVALID_ARGUMENT', name, bytes, `at most ${MAX_VALUE_BYTES} bytes, for they lie in one row`);
  }
  return bytes;
}

/** As bytes, so that encodings, collations and NUL have no say. */
export function keyOf(text: string): Uint8Array {
  return Buffer.from(text, 'utf8');
}
