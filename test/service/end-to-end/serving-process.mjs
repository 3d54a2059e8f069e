/**
 * `lorakeet serve` with a clock that can be set: `node serving-process.mjs DIST TIME`. It begins at that time, and a line on
 * standard input with another sets it anew; what has come due meanwhile is called at once. Times are in ISO 8601.
 */
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';

const { loadConfig, openLearningService, openServiceLogger, serve } = await import(
  pathToFileURL(`${process.argv[2]}/service/index.js`).href
);

const aheadAt = (time) => Date.parse(time) - Date.now();
let ahead = aheadAt(process.argv[3]);
const waiting = new Set();
const clock = {
  now: () => Date.now() + ahead,
  after(ms, call) {
    const one = { due: clock.now() + ms, call };
    arm(one);
    waiting.add(one);
    return () => {
      waiting.delete(one);
      clearTimeout(one.timer);
    };
  },
};

function arm(one) {
  clearTimeout(one.timer);
  one.timer = setTimeout(
    () => {
      waiting.delete(one);
      one.call();
    },
    Math.max(0, one.due - clock.now()),
  );
}

const lines = createInterface(process.stdin);
lines.on('line', (line) => {
  ahead = aheadAt(line);
  for (const one of waiting) arm(one);
});

const { config } = await loadConfig();
const logger = await openServiceLogger(config);
const service = await openLearningService(config, { logger, clock });
const { closed } = await serve(service, config, { logger });
await closed;
lines.close();
