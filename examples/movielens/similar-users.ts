/** The figures of docs/continual.md on starts among similar users: node build/examples/movielens/similar-users.js */
import { readRatings } from './data.js';
import { shippedData } from './job.js';
import { formatRmse } from './results.js';
import { trySimilar } from './similar-trial.js';

const { ratings } = readRatings(shippedData());
const row = (...cells: (string | number)[]) => console.log(`| ${cells.join(' | ')} |`);
row(
  'seed',
  'bias model',
  'exact ridge',
  'fresh, five rows learned',
  'similar',
  'difference of squares',
  'with prior, five rows learned',
  'prior and similar',
  'difference of squares',
);
row(...Array.from({ length: 9 }, () => '---'));
for (const seed of [0, 1, 2]) {
  const { bias, ridge, fresh, informed } = await trySimilar(ratings, seed);
  const starts = [fresh, informed].flatMap(({ learned, similar, difference, standardError }) => {
    return [formatRmse(learned), formatRmse(similar), `${difference.toFixed(4)} ± ${standardError.toFixed(4)}`];
  });
  row(seed, formatRmse(bias), formatRmse(ridge), ...starts);
}
