/** Cases small enough to do by hand, in numbers that every float format holds exactly: no tolerance at all. */
import type { KernelPool, PoolConfig } from '../kernels/contract.js';
import {
  assertExact,
  type ConformanceCase,
  floats,
  poolConfig,
  readStates,
  runUpdate,
  type SuiteContext,
  uints,
  withPool,
} from './harness.js';

/** y for one row through a freshly written slot. */
function applyOne(pool: KernelPool, slab: Float32Array, x: Float32Array): Float32Array {
  pool.write(uints(1), slab, uints(0));
  const y = new Float32Array(pool.config.outFeatures);
  pool.apply({ slots: uints(1), x }, y);
  return y;
}

/** The slab and report after one update of slot 0. */
function updateOne(
  pool: KernelPool,
  slab: Float32Array,
  x: Float32Array,
  target: Float32Array,
  rowWeight?: Float32Array,
) {
  pool.write(uints(0), slab, uints(0));
  const rows = x.length / pool.config.inFeatures;
  const report = runUpdate(pool, { slots: uints(0), rowOffsets: uints(0, rows), x, target, rowWeight });
  return { slab: readStates(pool, uints(0)).slabs, report };
}

/** y = 4·3·1 = 12 against 11.5: loss ¼, e = 2·½ = 1, ∂A = B·e = 4, ∂B = A·e = 3, norm 5. */
const SCALAR: Partial<PoolConfig> = { rank: 1, inFeatures: 1, outFeatures: 1 };
const X = floats(1);
const TARGET = floats(11.5);

export function handCases(context: SuiteContext): ConformanceCase[] {
  const on = (name: string, config: Partial<PoolConfig>, body: (pool: KernelPool) => void): ConformanceCase => ({
    name: `by hand: ${name}`,
    run: () => withPool(context, config, body),
  });
  const slab123 = floats(1, 2, 0.5, 0, 1, 1);
  const x123 = floats(1, 0.75, 0.5);

  return [
    on('y = BAx', { rank: 1 }, (pool) => assertExact('y', applyOne(pool, slab123, x123), [0, 2.75, 2.75])),
    on('y = 2·BAx', { rank: 1, scaling: 2 }, (pool) => assertExact('y', applyOne(pool, slab123, x123), [0, 5.5, 5.5])),
    on('y = x + BAx/4', { rank: 1, scaling: 0.25, residual: true }, (pool) =>
      assertExact('y', applyOne(pool, floats(1, 2, 0.5, 0, 1, 2), floats(1, 0.75, 1)), [1, 1.5, 2.5]),
    ),
    // z = (1·1 + 2·3, 3·1 + 4·3) = (7, 15); B = [[1,0],[0,1],[1,−1]]
    on('two features to three, rank 2', { rank: 2, inFeatures: 2, outFeatures: 3 }, (pool) =>
      assertExact('y', applyOne(pool, floats(1, 2, 3, 4, 1, 0, 0, 1, 1, -1), floats(1, 3)), [7, 15, -8]),
    ),
    on('three features to one, rank 2', { rank: 2, inFeatures: 3, outFeatures: 1 }, (pool) =>
      assertExact('y', applyOne(pool, floats(1, 0, 0, 0, 0, 2, 3, 5), floats(1, 9, 4)), [43]),
    ),
    on('an unwritten slot is the identity', { residual: true }, (pool) => {
      const y = new Float32Array(3);
      pool.apply({ slots: uints(15), x: floats(1, -2, 0.3) }, y);
      assertExact('y', y, floats(1, -2, 0.3));
    }),
    on('an unwritten slot without residual is the zero map', {}, (pool) => {
      const y = new Float32Array(3).fill(9);
      pool.apply({ slots: uints(15), x: floats(1, -2, 0.3) }, y);
      assertExact('y', y, [0, 0, 0]);
    }),
    on('one SGD step', SCALAR, (pool) => {
      const { slab, report } = updateOne(pool, floats(3, 4), X, TARGET);
      assertExact('weights', slab, [3 - 0.5 * 4, 4 - 0.5 * 3]);
      assertExact('loss', report.loss, [0.25]);
      assertExact('gradNorm', report.gradNorm, [5]);
      assertExact('flags', report.flags, [0]);
    }),
    on('the loss is a mean over features', { rank: 1, inFeatures: 1, outFeatures: 2 }, (pool) => {
      // y = (2, 4), errors (1, −2): loss (1 + 4)/2; e = (1, −2); ∂A = 1·1 − 2·2 = −3; ∂B = 2·e
      const { slab, report } = updateOne(pool, floats(2, 1, 2), X, floats(1, 6));
      assertExact('loss', report.loss, [2.5]);
      assertExact('weights', slab, [2 + 1.5, 1 - 1, 2 + 2]);
    }),
    on('the residual is part of the error', { ...SCALAR, residual: true }, (pool) => {
      // y = 1 + 12: the target 12.5 gives the same error as 11.5 without residual
      const { slab, report } = updateOne(pool, floats(3, 4), X, floats(12.5));
      assertExact('weights', slab, [1, 2.5]);
      assertExact('loss', report.loss, [0.25]);
    }),
    on('a gradient at the bound is left alone', { ...SCALAR, maxGradNorm: 5 }, (pool) => {
      const { slab, report } = updateOne(pool, floats(3, 4), X, TARGET);
      assertExact('weights', slab, [1, 2.5]);
      assertExact('flags', report.flags, [0]);
    }),
    on('clipping by the norm over A and B together', { ...SCALAR, maxGradNorm: 2.5 }, (pool) => {
      const { slab, report } = updateOne(pool, floats(3, 4), X, TARGET);
      assertExact('weights', slab, [3 - 0.25 * 4, 4 - 0.25 * 3]);
      assertExact('gradNorm before clipping', report.gradNorm, [5]);
      assertExact('flags', report.flags, [1]);
    }),
    on('row weights', SCALAR, (pool) => {
      // rows with errors ½ and −½ and weights 3 and 1: mean error ¼
      const { slab, report } = updateOne(pool, floats(3, 4), floats(1, 1), floats(11.5, 12.5), floats(3, 1));
      assertExact('weights', slab, [3 - 0.5 * 2, 4 - 0.5 * 1.5]);
      assertExact('loss', report.loss, [0.25]);
    }),
    on('decoupled weight decay', { ...SCALAR, optimizer: { kind: 'sgd', weightDecay: 0.5 } }, (pool) => {
      const { slab } = updateOne(pool, floats(3, 4), X, TARGET);
      assertExact('weights', slab, [1 - 0.25 * 3, 2.5 - 0.25 * 4]);
    }),
    // slab: weights, fisher, anchor; after the SGD step (1, 2.5), then (θ + ½·2·F·θ*)/(1 + ½·2·F)
    on('EWC as a proximal step', { ...SCALAR, ewc: { form: 'proximal', lambda: 2 } }, (pool) => {
      const { slab, report } = updateOne(pool, floats(3, 4, 1, 3, 5, 8.5), X, TARGET);
      assertExact('slab', slab, [(1 + 5) / 2, (2.5 + 3 * 8.5) / 4, 1, 3, 5, 8.5]);
      assertExact('gradNorm without the penalty', report.gradNorm, [5]);
    }),
    // gradient (4 + 2·1·(3−5), 3 + 2·½·(4−7)) = (0, 0)
    on('EWC in the gradient', { ...SCALAR, ewc: { form: 'gradient', lambda: 2 } }, (pool) => {
      const { slab, report } = updateOne(pool, floats(3, 4, 1, 0.5, 5, 7), X, TARGET);
      assertExact('slab', slab, [3, 4, 1, 0.5, 5, 7]);
      assertExact('gradNorm with the penalty', report.gradNorm, [0]);
      assertExact('loss without the penalty', report.loss, [0.25]);
    }),
    on(
      'consolidation',
      { rank: 1, inFeatures: 2, outFeatures: 1, scaling: 2, ewc: { form: 'proximal', lambda: 1 } },
      (pool) => {
        // rows (1, 0) and (3, 2): z = 1·1 = 1 and 1·3 + 1·2 = 5; s² = 4; mean z² = 13; mean x² = (5, 2); B² = 9
        pool.write(uints(0), floats(1, 1, 3, 2, 2, 2, 7, 7, 7), uints(4));
        pool.consolidate({ slots: uints(0), rowOffsets: uints(0, 2), x: floats(1, 0, 3, 2), decay: 0.5 });
        const { slabs, steps } = readStates(pool, uints(0));
        assertExact('slab', slabs, [1, 1, 3, 1 + 4 * 5 * 9, 1 + 4 * 2 * 9, 1 + 4 * 13, 1, 1, 3]);
        assertExact('steps', steps, [4]);
      },
    ),
    on(
      'the first AdamW step has length lr',
      { ...SCALAR, optimizer: { kind: 'adamw', beta1: 0.5, beta2: 0.75, epsilon: 2 ** -40, weightDecay: 0 } },
      (pool) => {
        // m = g/2, v = g²/4: m̂ = g, v̂ = g², so that θ moves by lr against the gradient's sign
        const { slab } = updateOne(pool, floats(3, 4, 0, 0, 0, 0), X, TARGET);
        assertExact('slab', slab, [2.5, 3.5, 2, 1.5, 4, 2.25]);
      },
    ),
    // the square of 2⁶⁴ overflows a float, but the error it would multiply is zero
    on('a huge row that meets its target', { rank: 1, inFeatures: 2, outFeatures: 2, residual: true }, (pool) => {
      const row = floats(2 ** 64, 2 ** 64);
      const { slab, report } = updateOne(pool, floats(1, -1, 0, 0), row, row);
      assertExact('slab', slab, [1, -1, 0, 0]);
      assertExact('report', [report.loss[0], report.gradNorm[0], report.flags[0]], [0, 0, 0]);
    }),
    {
      name: 'by hand: the layout of a pool follows its config',
      run: () =>
        withPool(context, { ewc: { form: 'proximal', lambda: 1 } }, (pool) => {
          assertExact('slabLength', [pool.layout.slabLength, pool.layout.loraALength], [36, 6]);
          assertExact('rank', [pool.config.rank], [poolConfig().rank]);
        }),
    },
  ];
}
