/** Files with a JSON object on each line, read as a stream. */
import { createReadStream } from 'node:fs';
import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { describe, requireInteger } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { JsonObject } from './feedback.js';

/** A path, or the bytes of a file as they come. */
export type JsonLinesSource = string | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface JsonLinesOptions {
  /** Of the whole file; default 1 GiB. */
  maxBytes?: number;
}

export interface LineError {
  /** From 1. */
  line: number;
  message: string;
}

/** A line that could be read, or why it could not. */
export type JsonLine = { line: number; value: JsonObject } | (LineError & { value?: undefined });

export const MAX_JSON_LINES_BYTES = 2 ** 30;
/** More than the largest feedback, as escaped as it can be. */
const MAX_LINE_BYTES = 2 ** 23;
const NEWLINE = 0x0a;

/**
 * Line after line, blank ones left out; UTF-8, a byte order mark allowed. What is wrong with one line is told in its place.
 * Throws ERR_FILE_ACCESS for a file that cannot be read, and ERR_FORMAT_CORRUPT for one that is too large.
 */
export async function* readJsonLines(
  source: JsonLinesSource,
  options: JsonLinesOptions = {},
): AsyncGenerator<JsonLine> {
  const { maxBytes = MAX_JSON_LINES_BYTES } = options;
  requireInteger('options.maxBytes', maxBytes, 1, Number.MAX_SAFE_INTEGER);
  let line = 0;
  for await (const bytes of splitLines(typeof source === 'string' ? readFile(source) : source, maxBytes)) {
    line++;
    if (bytes === TOO_LONG) {
      yield { line, message: `has more than ${MAX_LINE_BYTES} bytes` };
      continue;
    }
    const parsed = parseLine(bytes, line === 1);
    if (parsed === undefined) continue;
    yield typeof parsed === 'string' ? { line, message: parsed } : { line, value: parsed };
  }
}

/** undefined for a blank line, a message for a wrong one. */
function parseLine(bytes: Uint8Array, first: boolean): JsonObject | string | undefined {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: !first }).decode(bytes);
  } catch {
    return 'is not UTF-8';
  }
  if (text.trim() === '') return undefined;
  try {
    const value: unknown = JSON.parse(text);
    return isJsonObject(value) ? value : `is ${describe(value)}, expected an object`;
  } catch (error) {
    return `is not JSON: ${(error as Error).message}`;
  }
}

const TOO_LONG = Symbol('too long');

/** Without their ends; of a line that is too long nothing is kept. */
async function* splitLines(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  maxBytes: number,
): AsyncGenerator<Uint8Array | typeof TOO_LONG> {
  let parts: Uint8Array[] = [];
  let length = 0;
  let total = 0;
  const take = () => {
    const line = length > MAX_LINE_BYTES ? TOO_LONG : Buffer.concat(parts);
    parts = [];
    length = 0;
    return line;
  };
  const add = (part: Uint8Array) => {
    length += part.length;
    if (length > MAX_LINE_BYTES) parts = [];
    else parts.push(part);
  };
  for await (const chunk of source) {
    total += chunk.length;
    if (total > maxBytes) {
      throw new LorakeetError('ERR_FORMAT_CORRUPT', `JSONL: got more than ${maxBytes} bytes, expected at most as many`);
    }
    let start = 0;
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      add(chunk.subarray(start, end));
      yield take();
      start = end + 1;
    }
    add(chunk.subarray(start));
  }
  if (length > 0) yield take();
}

async function* readFile(path: string): AsyncGenerator<Uint8Array> {
  try {
    yield* createReadStream(path);
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be read (${cause})`, { cause });
  }
}
