import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/errors.js';
import { HTTP_PROBLEMS, SERVICE_STATUSES } from '../../src/service/http/problems.js';
import { ROUTES } from '../../src/service/http/routes.js';
import { testCodeBlocks } from '../support/code-blocks.js';
import { root } from '../support/imports.js';

/** As the issue of the service lists them. */
const ASKED_FOR = [
  ...['GET /health/live', 'GET /health/ready', 'GET /health', 'POST /train', 'POST /train/jsonl'],
  ...['POST /fisher/calculate', 'GET /adapters', 'GET /adapters/{version}', 'POST /adapters/{version}/deploy'],
  ...['GET /training/status', 'GET /jobs', 'GET /jobs/{id}', 'POST /jobs/{id}/cancel', 'POST /validation/golden-set'],
  ...['GET /lora/status', 'POST /lora/enable', 'POST /lora/disable', 'POST /lora/activate', 'POST /lora/rollback'],
  ...['POST /feedback', 'POST /generate', 'GET /metrics'],
];

describe('docs/http-api.md', () => {
  const document = readFileSync(join(root, 'docs/http-api.md'), 'utf8');

  it('is what `node scripts/write-http-api.mjs` makes of the tables', async () => {
    const script = pathToFileURL(join(root, 'scripts/lib/http-api-document.mjs')).href;
    const { httpApiDocument } = await import(script);
    expect(document).toBe(httpApiDocument({ ROUTES, HTTP_PROBLEMS, SERVICE_STATUSES, ERROR_CODES }));
  });

  it('has every route that was asked for', () => {
    expect(ASKED_FOR.filter((route) => !document.includes(`| \`${route}\` |`))).toEqual([]);
  });

  testCodeBlocks('docs/http-api.md');
});
