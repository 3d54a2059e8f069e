/**
 * The proximal step of EWC by itself: rows that are already right leave no gradient, so that every number goes the
 * fraction h/(1 + h) of its way to the anchor, h = η·λ·F, and nothing else happens. Over all magnitudes of h, because a
 * backend may compute small ones differently.
 */
import { assertWithin, type ConformanceCase, readStates, runUpdate, type SuiteContext, withPool } from './harness.js';

const SHAPE = { rank: 5, inFeatures: 40, outFeatures: 24 };
const LEARNING_RATE = 0.5;
/** λ of slot i is 2^(i − 14); with F between ¼ and 1 it makes h from 2⁻¹⁷ to 2¹³. */
const SLOTS = 29;
const lambdaOf = (slot: number): number => 2 ** (slot - 14);
const FISHERS = [1, 0.5, 0.25];
/** Of the way; what a float leaves of 1 − h for small h is far below. */
const BUDGET = 1e-5;

export function holdCases(context: SuiteContext): ConformanceCase[] {
  return [1, 3, 17].map((rows) => ({
    name: `hold: numbers go h/(1 + h) of the way to the anchor, ${rows} rows`,
    run: () =>
      withPool(
        context,
        {
          ...SHAPE,
          capacity: SLOTS,
          learningRate: LEARNING_RATE,
          optimizer: { kind: 'sgd', weightDecay: 0 },
          ewc: { form: 'proximal', lambda: 1 },
        },
        (pool) => {
          const section = pool.layout.slabLength / 3;
          const slab = new Float32Array(3 * section);
          for (let i = 0; i < section; i++) {
            slab[section + i] = FISHERS[i % 3];
            slab[2 * section + i] = 1 + i / section;
          }
          const slots = Uint32Array.from({ length: SLOTS }, (_, i) => i);
          for (const slot of slots) pool.write(Uint32Array.of(slot), slab, Uint32Array.of(0));
          runUpdate(pool, {
            slots,
            rowOffsets: Uint32Array.from({ length: SLOTS + 1 }, (_, i) => i * rows),
            x: new Float32Array(SLOTS * rows * SHAPE.inFeatures),
            target: new Float32Array(SLOTS * rows * SHAPE.outFeatures),
            ewcLambda: Float32Array.from(slots, lambdaOf),
          });
          const { slabs } = readStates(pool, slots);
          for (const slot of slots) {
            // how far each number went, as a share of how far it should have gone
            const shares = Float64Array.from({ length: section }, (_, i) => {
              const hold = LEARNING_RATE * lambdaOf(slot) * FISHERS[i % 3];
              return slabs[slot * 3 * section + i] / ((slab[2 * section + i] * hold) / (1 + hold));
            });
            assertWithin(`slot ${slot}`, shares, new Float64Array(section).fill(1), BUDGET);
          }
        },
      ),
  }));
}
