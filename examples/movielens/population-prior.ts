/** The figures of docs/continual.md on MovieLens: node build/examples/movielens/population-prior.js */
import { readRatings } from './data.js';
import { shippedData } from './job.js';
import { tryPrior } from './prior-trial.js';
import { formatRmse, formatShare } from './results.js';

const { ratings } = readRatings(shippedData());
const row = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`);
row(
  'seed',
  'bias',
  'ridge',
  'fresh',
  'with prior',
  'share of the ridge gain',
  'start: bias',
  'ridge',
  'fresh',
  'with prior',
  'difference of squares',
);
row(...Array.from({ length: 11 }, () => '---'));
for (const seed of [0, 1, 2]) {
  const { fresh, informed, start } = await tryPrior(ratings, seed);
  const models = [fresh.bias, fresh.ridge, fresh.adapter, informed.adapter].map(({ rmse }) => formatRmse(rmse));
  const starts = [start.bias, start.ridge, start.fresh, start.informed].map(formatRmse);
  const shares = `${formatShare(fresh.ridgeGainShare)} → ${formatShare(informed.ridgeGainShare)}`;
  row(seed, ...models, shares, ...starts, `${start.difference.toFixed(4)} ± ${start.standardError.toFixed(4)}`);
}
