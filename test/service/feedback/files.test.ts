/** JSONL files of feedback and of training examples. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  exportFeedback,
  type FeedbackStore,
  importFeedback,
  readFeedback,
  readTrainingFile,
  SqliteFeedbackStore,
} from '../../../src/service/index.js';

const bytes = (text: string) => Buffer.from(text, 'utf8');
/** As a stream that cuts anywhere, also within characters. */
function* chunks(content: string | Uint8Array, size = 7) {
  const all = typeof content === 'string' ? bytes(content) : content;
  for (let i = 0; i < all.length; i += size) yield all.subarray(i, i + size);
}

describe('importFeedback and exportFeedback', () => {
  let store: FeedbackStore;
  beforeEach(() => {
    store = new SqliteFeedbackStore(':memory:');
  });
  afterEach(() => store.close());

  const line = (changes: object = {}) =>
    JSON.stringify({ feedback_type: 'thumbs_up', request_data: { q: 'Größe 😀?' }, response_data: {}, ...changes });

  it('bring everything into another store', async () => {
    const rows = Array.from({ length: 1203 }, (_, i) => ({
      ...{ id: `row-${i}`, createdAt: new Date(i), type: i % 2 ? ('thumbs_up' as const) : ('thumbs_down' as const) },
      ...{ request: { n: i, text: '日本\n"' }, response: {}, intent: `i${i % 3}`, project: 'p' },
      ...(i % 5 === 0 && { expectedAnswer: 'better', reason: 'why' }),
    }));
    await store.append(rows);
    let text = '';
    for await (const one of exportFeedback(store)) text += one;
    const other = new SqliteFeedbackStore(':memory:');
    const progress: number[] = [];
    const report = await importFeedback(other, chunks(text, 1000), { onProgress: ({ added }) => progress.push(added) });
    expect(report).toEqual({ lines: 1203, added: 1203, duplicates: 0, rejected: 0, errors: [] });
    expect(progress).toEqual([500, 1000, 1203]);
    const found = [];
    for await (const row of readFeedback(other)) found.push(row);
    expect(found).toEqual(rows);
    let again = '';
    for await (const one of exportFeedback(other, { since: new Date(10), until: new Date(12) })) again += one;
    expect(again.split('\n').map((one) => one && JSON.parse(one).id)).toEqual(['row-10', 'row-11', '']);
    await other.close();
  });

  it('tell about every line that is wrong, and take the others, whatever the pieces are', async () => {
    const wrong: [string | Uint8Array, string][] = [
      ['{"feedback_type": "thumbs_up"', 'is not JSON'],
      ['[1]', 'is Array(1), expected an object'],
      [Uint8Array.of(0x7b, 0xff, 0x7d), 'is not UTF-8'],
      [line({ feedback_type: 'up' }), 'feedback.type: got "up"'],
      [line({ request_data: 'text' }), 'feedback.request: got "text"'],
      [line({ expected: 'x' }), 'expected: got "x", expected no such field'],
      [line({ __proto__: 1 }).replace('{', '{"__proto__": 1, '), '__proto__: got 1'],
      [line({ created_at: '2026-01-05' }), 'created_at: got "2026-01-05"'],
      [line({ created_at: '2026-13-05T00:00:00Z' }), 'created_at: got'],
      [line({ created_at: 5 }), 'feedback.createdAt: got 5'],
      [`{"pad": "${'x'.repeat(2 ** 23)}"}`, 'has more than 8388608 bytes'],
    ];
    const good = [
      line({ id: 'a', reason: null }),
      '',
      '  \r',
      `${line({ id: 'b' })}\r`,
      line({ created_at: '2026-01-05 02:00:00.5+01' }),
    ];
    const content = Buffer.concat([
      bytes(`\ufeff${good.join('\n')}\n`),
      ...wrong.flatMap(([text]) => [typeof text === 'string' ? bytes(text) : text, bytes('\n')]),
      bytes(line({ id: 'z' })),
    ]);
    for (const [size, added] of [
      [1 << 20, 4],
      [4099, 0],
    ] as const) {
      const report = await importFeedback(store, chunks(content, size));
      expect(report).toMatchObject({ lines: 4 + wrong.length, added, duplicates: 4 - added, rejected: wrong.length });
      expect(report.errors.map((error) => error.line)).toEqual(wrong.map((_, i) => good.length + 1 + i));
      for (const [i, [, message]] of wrong.entries()) expect(report.errors[i].message).toContain(message);
    }
    const rows = [];
    for await (const row of readFeedback(store, { until: new Date('2026-02-01') })) rows.push(row);
    expect(rows).toMatchObject([{ createdAt: new Date('2026-01-05T01:00:00.5Z'), request: { q: 'Größe 😀?' } }]);
    expect(rows[0].id).toMatch(/^sha256-[0-9a-f]{64}$/);
  });

  it('count errors without end, and keep the first hundred', async () => {
    const { rejected, errors } = await importFeedback(store, chunks('x\n'.repeat(250), 100));
    expect([rejected, errors.length, errors[99].line]).toEqual([250, 100, 100]);
  });

  it('refuse files that are too large or not there', async () => {
    const large = importFeedback(store, chunks(`${line()}\n`.repeat(10)), { maxBytes: 500 });
    await expect(large).rejects.toMatchObject({ code: 'ERR_FORMAT_CORRUPT', message: expect.stringContaining('500') });
    await expect(importFeedback(store, '/no/such/file')).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
    await expect(importFeedback(store, '/')).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
    const wrong = importFeedback(store, [], { maxByte: 5 } as object);
    await expect(wrong).rejects.toMatchObject({ code: 'ERR_INVALID_CONFIG' });
  });
});

describe('readTrainingFile', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-training-'));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  it('reads every documented form', async () => {
    const messages = [
      { role: 'user', content: 'Hi' },
      { role: 'assistant', content: 'Hello' },
    ];
    const lines: [object, object][] = [
      [
        { input: 'in', output: 'out' },
        { weight: 1, prompt: 'in\n', completion: 'out' },
      ],
      [
        { instruction: 'do', input: '', output: 'done', weight: 0.5 },
        { weight: 0.5, prompt: 'do\n', completion: 'done' },
      ],
      [
        { instruction: 'do', input: 'this', output: 'ü', metadata: {} },
        { weight: 1, prompt: 'do\nthis\n', completion: 'ü' },
      ],
      [
        { prompt: 'p ', completion: 'c' },
        { weight: 1, prompt: 'p ', completion: 'c' },
      ],
      [{ completion: 'c' }, { weight: 1, prompt: '', completion: 'c' }],
      [
        { prompt: 'p', rejected: 'r' },
        { weight: 1, prompt: 'p', rejected: 'r' },
      ],
      [
        { prompt: 'p', chosen: 'c', rejected: 'r' },
        { weight: 1, prompt: 'p', chosen: 'c', rejected: 'r' },
      ],
      [
        { messages, weight: 2 },
        { weight: 2, messages },
      ],
    ];
    const file = join(folder, 'training.jsonl');
    writeFileSync(file, lines.map(([line]) => JSON.stringify(line)).join('\n\n'));
    expect(await readTrainingFile(file)).toEqual(lines.map(([, example]) => example));
  });

  it('names the lines that are wrong, and takes none', async () => {
    const wrong: [string, string][] = [
      ['{"input": "a"}', 'output: got undefined'],
      ['{"input": "", "output": "b"}', 'input: got nothing'],
      ['{"input": "a", "output": " "}', 'output: got " "'],
      ['{"input": 5, "output": "b"}', 'input: got 5'],
      ['{"instruction": {}, "output": "b"}', 'instruction: got a Object object'],
      ['{"input": "a", "output": "b", "weight": 0}', 'weight: got 0'],
      ['{"input": "a", "output": "b", "weight": "2"}', 'weight: got "2"'],
      ['{"prompt": "a"}', 'completion: got undefined'],
      ['{"prompt": "a", "chosen": "b"}', 'completion: got undefined'],
      ['{"prompt": "a", "chosen": "", "rejected": "b"}', 'chosen: got ""'],
      ['{"messages": []}', 'messages: got Array(0)'],
      ['{"messages": [{"role": "user", "content": "a"}]}', 'messages: got Array(1)'],
      ['{"messages": [null]}', 'messages: got Array(1)'],
      ['nonsense', 'is not JSON'],
    ];
    const content = `{"input": "a", "output": "b"}\n${wrong.map(([line]) => line).join('\n')}`;
    const error = await readTrainingFile(chunks(content)).catch((reason) => reason);
    expect(error).toMatchObject({ code: 'ERR_FORMAT_CORRUPT' });
    const parts = error.message.replace('training file: ', '').split('; ');
    expect(parts).toEqual(wrong.map(([, message], i) => expect.stringContaining(`line ${i + 2}: ${message}`)));
    const many = await readTrainingFile(chunks('x\n'.repeat(5000), 100)).catch((reason) => reason);
    expect(many.message).toMatch(/; and 980 more$/);
  });

  it('refuses a file without examples', async () => {
    await expect(readTrainingFile(chunks('\n \n'))).rejects.toMatchObject({ code: 'ERR_FORMAT_CORRUPT' });
  });
});
