/** `node build/examples/feed-service/main.js [FILE]`: run it twice, and the second run starts from what the first learned. */
import { runFeed } from './feed.js';

const controller = new AbortController();
process.once('SIGINT', () => controller.abort());

const store = process.argv[2] ?? 'feed.db';
const result = await runFeed({ store, users: 500, clicks: 20_000, signal: controller.signal });
const { stats, plainDistance, personalizedDistance } = result;
console.log(
  `${stats.updates} clicks learned in ${stats.batches} micro-batches, ${stats.inMemory} of 500 users in memory`,
);
console.log(`${stats.evictions} evictions, ${stats.reloads} reloads, ${stats.saves} adapters saved`);
console.log(
  `distance to what users chose: ${plainDistance.toFixed(3)}, personalised ${personalizedDistance.toFixed(3)}`,
);
console.log(`saved in ${store}`);
