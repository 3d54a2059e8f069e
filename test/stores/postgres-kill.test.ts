import { afterAll, beforeAll, describe, it } from 'vitest';
import { PostgresVersionStore } from '../../src/stores/postgres.js';
import { PostgresServer, postgresIsMissing } from '../support/postgres.js';
import { KILLS, KILLS_TIMEOUT_MS, playKills } from './version-kills.js';

const missing = postgresIsMissing();

describe.skipIf(missing)(`on a PostgreSQL server${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let server: PostgresServer;

  beforeAll(async () => {
    server = await PostgresServer.start();
  });
  afterAll(() => server?.stop());

  it(
    'every acknowledged version stays intact when processes and the server itself are killed',
    () =>
      playKills({
        kind: 'postgres',
        // so many attempts as a server on a busy machine may need to come back
        locationOf: (era) => JSON.stringify({ connection: server.url(), schema: `era_${era}`, attempts: 20 }),
        open: (location) => PostgresVersionStore.open(JSON.parse(location)),
        // a round of each kind, where nobody asks for more
        kills: process.env.LORAKEET_KILLS ? KILLS : 8,
        killServer: async (random) => {
          if (random.uniform() < 0.5) return server.kill('backends');
          await server.kill('all');
          await server.restart();
        },
      }),
    KILLS_TIMEOUT_MS,
  );
});
