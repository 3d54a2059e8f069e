/** `node js-worker.js NAME FOLDER DIM RANK`: one package in a process of its own; prints its JsTimes. */
import { resolve } from 'node:path';
import { timeJs } from './js-timing.js';

const [name, folder, dim, rank] = process.argv.slice(2);
try {
  const times = await timeJs(name, resolve(folder), { dim: Number(dim), rank: Number(rank) });
  console.log(JSON.stringify(times));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
