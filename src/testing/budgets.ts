/**
 * How far a backend may be from the truth: one budget per kind of operation, never one global epsilon.
 *
 * An error is measured against the scale of what was computed, the largest magnitude in the vector, because a sum of many
 * terms has an absolute error of that scale even where the terms happen to cancel. loraA and loraB are measured apart. For weights the scale is the
 * largest *change*: a small step on large weights must be right in itself, not hidden behind the weights.
 */
export const BUDGETS = {
  /** y against the oracle; scale: max |y| of the batch, since one row's A·x may cancel */
  apply: 1e-5,
  /** gradient against finite differences; scale: max |∂| */
  gradient: 1e-3,
  /** weights (scale: max |change|) and moments (scale: max |moment|) after one step */
  update: 1e-4,
  /** loss and gradNorm of a report; scale: the value itself */
  report: 1e-4,
  /** the same after several steps, whose errors add up */
  steps: 1e-3,
  /** Fisher after consolidation; scale: max |F| */
  fisher: 1e-4,
} as const;
