/** The learning rate of each step. */
export const SCHEDULES = ['constant', 'linear', 'cosine'] as const;
export type Schedule = (typeof SCHEDULES)[number];

/**
 * Rises in a line over `warmup` steps, then stays, falls in a line or along half a cosine, to 0 after the last of `steps`
 * steps. `step` counts from 1.
 */
export function learningRateAt(step: number, steps: number, warmup: number, peak: number, schedule: Schedule): number {
  if (step <= warmup) return (peak * step) / warmup;
  if (schedule === 'constant') return peak;
  const gone = (step - warmup - 1) / Math.max(steps - warmup, 1);
  return schedule === 'linear' ? peak * (1 - gone) : peak * 0.5 * (1 + Math.cos(Math.PI * gone));
}
