import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { encodeGoldenOutputs, parseGoldenOutputs, readGoldenOutputs } from '../../../src/service/golden/outputs.js';
import { parseGoldenSuite, readGoldenSuite } from '../../../src/service/golden/suite.js';
import { root } from '../../support/imports.js';

const one = { id: 'a', prompt: 'p' };
const two = { id: 'b', prompt: [{ role: 'user', content: 'q' }], severity: 'high', must_include: ['Can’t  Do'] };
const json = JSON.stringify;
const suite = (text: string | Uint8Array) => parseGoldenSuite('s', typeof text === 'string' ? Buffer.from(text) : text);
const outputs = (text: string) => parseGoldenOutputs('o', Buffer.from(text));
const refused = (act: () => unknown, message: string) =>
  expect(act).toThrow(
    expect.objectContaining({ code: 'ERR_FORMAT_CORRUPT', message: expect.stringContaining(message) }),
  );

describe('a golden suite', () => {
  it.each([
    ['a document on one line', json({ cases: [one, two] })],
    ['a document on many', json({ cases: [one, two] }, null, 2)],
    ['NDJSON', `${json(one)}\n${json(two)}\n`],
    ['NDJSON with blank lines, CRLF and a byte order mark', `\ufeff\r\n${json(one)}\r\n\r\n${json(two)}`],
  ])('is read from %s', (_, text) => {
    const { cases, sha256, path } = suite(text);
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(path).toBeNull();
    expect(cases).toMatchObject([
      { id: 'a', prompt: 'p', mustInclude: [], mustNotMatch: [], category: 'general', severity: 'medium' },
      { id: 'b', prompt: two.prompt, mustInclude: ["can't do"], severity: 'high' },
    ]);
    expect(cases[0].markers.unsafe).toContain('make a bomb');
  });

  it('of one case may be one line', () => expect(suite(json(one)).cases.length).toBe(1));

  it('is read from a file, as the one in the examples', async () => {
    const path = join(root, 'examples/golden-set/tiny-shakespeare.ndjson');
    const read = await readGoldenSuite(path);
    expect(read).toMatchObject({ path });
    expect(new Set(read.cases.map(({ severity }) => severity))).toEqual(new Set(['low', 'medium', 'high', 'critical']));
    await expect(readGoldenSuite(`${path}.none`)).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
  });

  it.each([
    ['', 's: got an empty file'],
    ['[]', 's: got Array(0)'],
    ['{"cases": []}', 's: got no cases'],
    ['{"cases": [], "case": 1}', 's: got an object with cases, case'],
    ['{"cases": {"id": 1}}', 's: got an object with cases'],
    ['{"id": "a"', 's: not well-formed JSON'],
    [`${json(one)}\n\n{"id": "b", prompt}\n`, 's:3: not well-formed JSON'],
    [`${json(one)}\n[1]`, 's:2: got Array(1)'],
    [`${json(one)}\n${json(one)}`, 's:2: id: got "a", which s:1 has as well'],
    [json({ cases: [one, one] }), 's: cases[1]: id: got "a", which s: cases[0]'],
    ['{"id": "a", "id": "b", "prompt": "p"}', 'no key twice'],
    [json({ ...one, must_inclde: ['x'] }), 'must_inclde'],
    [json({ ...one, must_include: [''] }), 'must_include.0: expected a phrase that is not empty'],
    [json({ ...one, must_not_include: [' \u00ad '] }), 'must_not_include.0: expected a phrase that is not empty'],
    [json({ ...one, must_match: ['('] }), 'must_match.0: Invalid regular expression'],
    [json({ ...one, severity: 'grave' }), 'severity'],
    [json({ ...one, prompt: '' }), 'prompt'],
    [json({ id: 'a' }), 'prompt'],
    [json({ ...one, min_words: 3, max_words: 2 }), 'max_words: expected at least min_words'],
    [json({ ...one, min_words: -1 }), 'min_words'],
    [json({ cases: Array.from({ length: 10_001 }, (_, i) => ({ ...one, id: `${i}` })) }), 'at most 10000'],
  ])('is refused: %.60s', (text, message) => refused(() => suite(text), message));

  it('is refused where it is no UTF-8', () => refused(() => suite(Buffer.from([0x7b, 0xff, 0x7d])), 'in UTF-8'));
});

describe('golden outputs', () => {
  it.each([
    ['outputs in a document', '{"outputs": {"a": "x", "__proto__": "y"}}'],
    ['a bare map', '{\n"a": "x", "__proto__": "y"}'],
    ['NDJSON', '{"id": "a", "output": "x"}\n{"id": "__proto__", "output": "y"}\n'],
  ])('are read from %s', (_, text) => {
    expect([...outputs(text).texts]).toEqual([
      ['a', 'x'],
      ['__proto__', 'y'],
    ]);
  });

  it('of one case may be one line', () => {
    expect([...outputs('{"id": "a", "output": "x"}').texts]).toEqual([['a', 'x']]);
  });

  it.each([
    ['{"outputs": {"a": 1}}', 'o: output of "a": got 1'],
    ['{"id": "a", "output": "x"}\n{"id": "a", "output": "y"}', 'o:2: id: got "a"'],
    ['{"id": "a", "output": "x"}\n{"id": "b", "text": "y"}', 'o:2'],
    ['{"id": "a", "output": "x"}\nb', 'o:2: not well-formed JSON'],
    ['{"id": 7, "output": "x"}', 'o:1: id: got 7'],
    ['"a"', 'o: got "a"'],
  ])('are refused: %s', (text, message) => refused(() => outputs(text), message));

  it('are written as they are read, and files that are too large are not', async () => {
    const texts = new Map([
      ['a', 'line\n“two”'],
      ['__proto__', ''],
    ]);
    const folder = mkdtempSync(join(tmpdir(), 'lorakeet-outputs-'));
    try {
      const path = join(folder, 'outputs.json');
      writeFileSync(path, encodeGoldenOutputs(texts));
      expect(await readGoldenOutputs(path)).toMatchObject({ texts, path });
      writeFileSync(path, Buffer.alloc(16 * 2 ** 20 + 1, ' '));
      await expect(readGoldenOutputs(path)).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
