/** The answers to the cases of a golden suite, by case. */
import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { describe } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { readSmallFile } from '../../files/random-access.js';
import { MAX_GOLDEN_FILE_BYTES, parseGoldenFile, requireObject } from './records.js';
import { type GoldenSource, sha256Of } from './suite.js';

export interface GoldenOutputs extends GoldenSource {
  texts: ReadonlyMap<string, string>;
}

/**
 * `{"outputs": {id: text}}`, `{id: text}`, or NDJSON of `{"id", "output"}`. Throws ERR_FORMAT_CORRUPT naming the line and
 * the case.
 */
export function parseGoldenOutputs(name: string, bytes: Uint8Array, path: string | null = null): GoldenOutputs {
  const texts = new Map<string, string>();
  const add = (at: string, id: unknown, text: unknown) => {
    if (typeof id !== 'string' || id === '') refuse(`${at}: id`, id, 'text that is not empty');
    if (typeof text !== 'string') refuse(`${at}: output of ${describe(id)}`, text, 'text');
    if (texts.has(id)) refuse(`${at}: id`, id, 'an id that did not come before');
    texts.set(id, text);
  };
  const addRecord = (at: string, value: unknown) => {
    const { id, output, ...rest } = requireObject(at, value, '{"id", "output"}');
    if (Object.keys(rest).length > 0) refuse(at, value, 'nothing beside id and output');
    add(at, id, output);
  };
  const file = parseGoldenFile(name, bytes);
  if ('lines' in file) {
    for (const { at, value } of file.lines) addRecord(at, value);
  } else {
    const document = requireObject(name, file.document, '{"outputs": {id: text}}');
    if (Object.keys(document).sort().join() === 'id,output') addRecord(`${name}:1`, document);
    else {
      const outputs = isJsonObject(document.outputs) ? document.outputs : document;
      for (const [id, text] of Object.entries(outputs)) add(name, id, text);
    }
  }
  return { texts, path, sha256: sha256Of(bytes) };
}

/** Throws as parseGoldenOutputs, and ERR_FILE_ACCESS. */
export async function readGoldenOutputs(path: string): Promise<GoldenOutputs> {
  return parseGoldenOutputs(path, await readSmallFile(path, MAX_GOLDEN_FILE_BYTES), path);
}

/** The file that parseGoldenOutputs reads. */
export function encodeGoldenOutputs(texts: ReadonlyMap<string, string>): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify({ outputs: Object.fromEntries(texts) }, null, 2)}\n`);
}

function refuse(at: string, value: unknown, expected: string): never {
  throw new LorakeetError('ERR_FORMAT_CORRUPT', `${at}: got ${describe(value)}, expected ${expected}`);
}
