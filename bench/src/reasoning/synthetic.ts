/** People for whom different learning rates are right: rows of five sizes, evenly spread or up to 1000 times longer one way. */
import { SeededRandom } from '#lorakeet/testing/random.js';
import type { Batch, Learner, Population } from './learners.js';

const FEATURES = 32;
const ROWS = 8;
const UPDATES = 40;
const TEST_ROWS = 32;
const SCALES = [0.03, 0.1, 0.3, 1, 3];
/** Ratio of the largest to the smallest variance. */
const CONDITIONS = [1, 30, 1000];
/** Rank of what is to be learnt, x ↦ x + U·V·x, and its scatter as a share of the row's size. */
const TARGET_RANK = 2;
const NOISE = 0.1;

export function syntheticPopulation(seed: number, sizes: { earlier: number; fresh: number }): Population {
  const random = new SeededRandom(seed);
  const people = (name: string, count: number) =>
    Array.from({ length: count }, (_, i) => person(`${name}-${seed}-${i}`, random));
  return { features: FEATURES, earlier: people('earlier', sizes.earlier), fresh: people('fresh', sizes.fresh) };
}

function person(userId: string, random: SeededRandom): Learner {
  const scale = SCALES[random.integer(0, SCALES.length - 1)];
  const condition = CONDITIONS[random.integer(0, CONDITIONS.length - 1)];
  const spread = Array.from({ length: FEATURES }, (_, j) => condition ** (-j / (FEATURES - 1) / 2));
  const norm = Math.sqrt(spread.reduce((sum, value) => sum + value * value, 0) / FEATURES);
  const deviations = spread.map((value) => (scale * value) / norm);
  const u = Array.from({ length: TARGET_RANK }, () => random.normals(FEATURES, 1 / Math.sqrt(TARGET_RANK)));
  const v = Array.from({ length: TARGET_RANK }, () => random.normals(FEATURES, 1 / Math.sqrt(FEATURES)));
  const batch = (rows: number): Batch => {
    const x = new Float32Array(rows * FEATURES);
    const target = new Float32Array(x.length);
    for (let i = 0; i < rows; i++) {
      const row = x.subarray(i * FEATURES, (i + 1) * FEATURES);
      deviations.forEach((deviation, j) => {
        row[j] = random.normal(deviation);
      });
      const z = v.map((direction) => direction.reduce((sum, value, j) => sum + value * row[j], 0));
      for (let j = 0; j < FEATURES; j++) {
        const wanted = z.reduce((sum, value, k) => sum + u[k][j] * value, row[j]);
        target[i * FEATURES + j] = wanted + random.normal(NOISE * scale);
      }
    }
    return { x, target };
  };
  const batches = Array.from({ length: UPDATES }, () => batch(ROWS));
  // everybody's loss in units of what there is to learn, so that those with large rows do not decide alone
  return { userId, batches, test: batch(TEST_ROWS) };
}
