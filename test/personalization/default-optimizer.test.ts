/**
 * The requirement that the defaults learn: on a realisable rank-2 target the loss falls by 90 % within 200 updates of 16
 * feedbacks, whatever the scale of inputs and target, whether the same rows come again or new ones.
 */
import { describe, expect, it } from 'vitest';
import { Random } from '../../src/adapter/random.js';
import { silentLogger } from '../../src/logger.js';
import { createLoRAPersonalizationEngine } from '../../src/personalization/engine.js';
import type { AdapterFeedback, LoRAConfig, UserLoRAAdapter } from '../../src/personalization/types.js';

const DIM = 64;
const ROWS = 16;
const UPDATES = 200;

type Inputs = 'uniform' | 'normal' | 'unit';

function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.uniform(0, 1))) * Math.cos(2 * Math.PI * random.uniform(0, 1));
}

function input(random: Random, inputs: Inputs): Float32Array {
  if (inputs === 'uniform') return Float32Array.from({ length: DIM }, () => random.uniform(-1, 1));
  const x = Float32Array.from({ length: DIM }, () => normal(random));
  const norm = inputs === 'unit' ? Math.hypot(...x) : 1;
  return x.map((value) => value / norm);
}

/** x ↦ x + M·x with M = U·V of rank 2 and the given Frobenius norm. */
function rankTwoTarget(random: Random, norm: number): (x: Float32Array) => Float32Array {
  const u = Array.from({ length: DIM }, () => [normal(random), normal(random)]);
  const v = Array.from({ length: 2 }, () => Array.from({ length: DIM }, () => normal(random)));
  const m = u.map(([a, b]) => v[0].map((_, j) => a * v[0][j] + b * v[1][j]));
  const scale = norm / Math.hypot(...m.flat());
  return (x) => x.map((value, i) => value + scale * m[i].reduce((sum, entry, j) => sum + entry * x[j], 0));
}

function batch(
  random: Random,
  inputs: Inputs,
  target: (x: Float32Array) => Float32Array,
  rows = ROWS,
): AdapterFeedback[] {
  return Array.from({ length: rows }, () => {
    const contentEmbedding = input(random, inputs);
    return { contentEmbedding, targetEmbedding: target(contentEmbedding), reward: 1, timestamp: new Date() };
  });
}

/** Loss after 200 updates over loss before: on the training rows, or on held-out rows when every update has new ones. */
async function remainingLoss(
  inputs: Inputs,
  norm: number,
  rows: 'same' | 'new',
  config: LoRAConfig = {},
): Promise<number> {
  const engine = createLoRAPersonalizationEngine({ ...config, logger: silentLogger });
  const random = new Random([1, 2, 3, 4]);
  const target = rankTwoTarget(random, norm);
  const first = batch(random, inputs, target);
  const judged = rows === 'same' ? first : batch(random, inputs, target, 64);
  const loss = (adapter: UserLoRAAdapter) => {
    const outputs = engine.batchComputeLoRAForward(
      judged.map((row) => row.contentEmbedding),
      adapter,
    );
    const squares = outputs.map((y, i) =>
      y.reduce((sum, value, j) => sum + (value - judged[i].targetEmbedding![j]) ** 2, 0),
    );
    return squares.reduce((sum, square) => sum + square, 0);
  };
  let adapter = engine.createAdapter('user');
  const before = loss(adapter);
  for (let update = 0; update < UPDATES; update++) {
    adapter = await engine.updateAdapter(adapter, rows === 'same' ? first : batch(random, inputs, target));
  }
  const remaining = loss(adapter) / before;
  await engine.close();
  return remaining;
}

describe('the defaults', () => {
  for (const inputs of ['uniform', 'normal', 'unit'] as const) {
    for (const norm of [0.25, 1, 4]) {
      for (const rows of ['same', 'new'] as const) {
        it(`learn a target of norm ${norm} from ${inputs} inputs, ${rows} rows every update`, async () => {
          expect(await remainingLoss(inputs, norm, rows)).toBeLessThan(0.1);
        });
      }
    }
  }
});

describe('what the defaults were chosen against', () => {
  it('AdamW with a constant 0.001 is too slow for new rows', async () => {
    expect(await remainingLoss('normal', 1, 'new', { learningRateSchedule: 'constant' })).toBeGreaterThan(0.3);
  });

  it('SGD at 0.001 hardly moves', async () => {
    expect(await remainingLoss('normal', 1, 'same', { optimizer: 'sgd' })).toBeGreaterThan(0.9);
  });
});
