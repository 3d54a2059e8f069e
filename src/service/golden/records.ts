/** The two forms of golden files: one JSON document, or NDJSON with an object on each line. */
import { isJsonObject, parseStrictJson } from '../../adapter/formats/strict-json.js';
import { describe } from '../../checks.js';
import { LorakeetError } from '../../errors.js';

export interface NamedRecord {
  /** Where it stands, for messages: `suite.ndjson:3` or `suite.json: cases[2]`. */
  at: string;
  value: unknown;
}

/** Larger files are refused before they are read. */
export const MAX_GOLDEN_FILE_BYTES = 16 * 2 ** 20;

/** Throws ERR_FORMAT_CORRUPT, naming the line where the file is NDJSON. */
export function parseGoldenFile(name: string, bytes: Uint8Array): { document: unknown } | { lines: NamedRecord[] } {
  const marked = bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf;
  const content = marked ? bytes.subarray(3) : bytes;
  const lines = [...linesOf(content)];
  if (lines.length === 0) throw new LorakeetError('ERR_FORMAT_CORRUPT', `${name}: got an empty file, expected JSON`);
  // a document on several lines does not have an object on its first
  if (lines.length > 1 && isWhole(lines[0].text)) {
    return {
      lines: lines.map(({ number, bytes: line }) => {
        const at = `${name}:${number}`;
        return { at, value: parseStrictJson(at, line).value };
      }),
    };
  }
  return { document: parseStrictJson(name, content).value };
}

function isWhole(line: string): boolean {
  return line.startsWith('{') && line.endsWith('}');
}

/** The lines that are not blank, counted from 1. */
function* linesOf(bytes: Uint8Array): Generator<{ number: number; bytes: Uint8Array; text: string }> {
  const decoder = new TextDecoder();
  let number = 1;
  for (let from = 0; from <= bytes.length; number++) {
    const found = bytes.indexOf(0x0a, from);
    const end = found < 0 ? bytes.length : found;
    const line = bytes.subarray(from, end);
    const text = decoder.decode(line).trim();
    if (text !== '') yield { number, bytes: line, text };
    from = end + 1;
  }
}

/** Throws ERR_FORMAT_CORRUPT. */
export function requireObject(at: string, value: unknown, expected: string): Record<string, unknown> {
  if (!isJsonObject(value))
    throw new LorakeetError('ERR_FORMAT_CORRUPT', `${at}: got ${describe(value)}, expected ${expected}`);
  return value;
}
