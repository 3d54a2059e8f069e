import { afterAll, beforeAll, describe } from 'vitest';
import { testCodeBlocks } from '../support/code-blocks.js';
import { PostgresServer, postgresIsMissing } from '../support/postgres.js';

const missing = postgresIsMissing();

describe.skipIf(missing)(`docs/postgres.md${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start();
    process.env.DATABASE_URL = server.url();
  });
  afterAll(() => server?.stop());

  testCodeBlocks('docs/postgres.md');
});
