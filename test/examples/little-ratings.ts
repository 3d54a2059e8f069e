import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';

/** Makes `folder` with the ratings of the first 80 users: enough for everything that is not about the figures. */
export function writeLittleRatings(folder: string): void {
  mkdirSync(folder);
  const [header, ...lines] = readFileSync('data/movielens-small/ratings.csv', 'utf8').split(/\r?\n/);
  const little = lines.filter((line) => Number.parseInt(line, 10) <= 80);
  writeFileSync(`${folder}/ratings.csv`, [header, ...little].join('\n'));
}
