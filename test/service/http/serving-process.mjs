/** A service on a port of its own, which tells what happens to it, for tests that send signals. Runs the build. */
import { loadConfig, serve } from '../../../dist/service/index.js';

const [, , shutdownSeconds] = process.argv;
let begin;
const shuttingDown = new Promise((done) => {
  begin = done;
});
const say = (message) => process.stdout.write(`${message}\n`);
const { config } = await loadConfig({
  env: {},
  overrides: { 'service.port': 0, 'service.shutdownTimeoutSeconds': Number(shutdownSeconds) },
});
const service = {
  async health() {
    say('asked');
    return new Promise(() => {});
  },
  // answers when the shutdown has begun
  async overview() {
    say('asked');
    await shuttingDown;
    return { model: null, memory: {}, feedback: {} };
  },
  requestFinished: ({ status }) => say(`answered ${status}`),
  close: async () => say('closed'),
};
const logger = {
  debug() {},
  info(message) {
    if (message.includes('shutting down')) {
      say('shutting down');
      begin();
    }
  },
  warn() {},
  error: say,
};
const { url } = await serve(service, config, { logger });
say(url);
