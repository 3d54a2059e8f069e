/** JSON from files of others: what JSON.parse takes without a word but two readers may understand differently is refused. */
import { fail } from '../../checks.js';
import { LorakeetError } from '../../errors.js';

export interface StrictJson {
  value: unknown;
  /** It holds nothing but objects, arrays, strings and integers written as plain digits. */
  plain: boolean;
}

/** Deepest nesting: no file read here needs more than 4, and recursion over the value stays within the stack. */
const MAX_DEPTH = 32;

const QUOTE = 0x22;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const PLAIN = new Set(Array.from('{}[],:0123456789 \t\r\n', (character) => character.charCodeAt(0)));

/**
 * The value of UTF-8 JSON without a byte order mark. Throws ERR_FORMAT_CORRUPT for invalid UTF-8 or JSON, for a key that
 * stands twice in one object, and for more than 32 levels.
 */
export function parseStrictJson(name: string, bytes: Uint8Array): StrictJson {
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    value = JSON.parse(text);
  } catch (cause) {
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `${name}: not well-formed JSON in UTF-8 (${cause})`, { cause });
  }
  const { colons, plain } = scan(text);
  // every key has its colon, and JSON.parse keeps one key of those that are equal
  if (countKeys(name, value, 1) !== colons) fail('ERR_FORMAT_CORRUPT', name, text, 'no key twice in an object');
  return { value, plain };
}

/** True for an object of JSON, as opposed to an array, a scalar and null. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** What stands outside the strings of a well-formed JSON text. */
function scan(text: string): { colons: number; plain: boolean } {
  let colons = 0;
  let plain = true;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === QUOTE) {
      for (i++; text.charCodeAt(i) !== QUOTE; i++) if (text.charCodeAt(i) === BACKSLASH) i++;
    } else {
      if (code === COLON) colons++;
      if (!PLAIN.has(code)) plain = false;
    }
  }
  return { colons, plain };
}

function countKeys(name: string, value: unknown, depth: number): number {
  if (typeof value === 'string') requireWholeCharacters(name, value);
  if (typeof value !== 'object' || value === null) return 0;
  if (depth > MAX_DEPTH) fail('ERR_FORMAT_CORRUPT', name, value, `at most ${MAX_DEPTH} levels of nesting`);
  if (Array.isArray(value)) return value.reduce((sum, child) => sum + countKeys(name, child, depth + 1), 0);
  let count = 0;
  for (const [key, child] of Object.entries(value)) {
    requireWholeCharacters(name, key);
    count += 1 + countKeys(name, child, depth + 1);
  }
  return count;
}

/** Half of a surrogate pair, written as an escape, is no Unicode text, and becomes another one when it is written again. */
function requireWholeCharacters(name: string, text: string): void {
  if (/\p{Surrogate}/u.test(text)) fail('ERR_FORMAT_CORRUPT', name, text, 'strings of whole characters');
}
