/** The course of a training, thinned out so that it stays small however long it takes. */

export interface Curve {
  step: number[];
  loss: number[];
  ewcLoss: number[];
}

const MAX_POINTS = 500;

/** Every stride-th step and the last one; the stride doubles whenever there are too many. */
export class CurveRecorder {
  #stride = 1;
  #points: [step: number, loss: number, ewcLoss: number][] = [];

  constructor(earlier?: Curve) {
    earlier?.step.forEach((step, i) => {
      this.add(step, earlier.loss[i], earlier.ewcLoss[i]);
    });
  }

  /** Steps come in rising order. */
  add(step: number, loss: number, ewcLoss: number): void {
    const last = this.#points.at(-1);
    // one that stood there only for being the last
    if (last && (last[0] - 1) % this.#stride !== 0) this.#points.pop();
    this.#points.push([step, loss, ewcLoss]);
    while (this.#points.length > MAX_POINTS) {
      this.#stride *= 2;
      this.#points = this.#points.filter(([at], i) => (at - 1) % this.#stride === 0 || i === this.#points.length - 1);
    }
  }

  /** Of the steps up to `last`. */
  curve(last = Number.POSITIVE_INFINITY): Curve {
    const points = this.#points.filter(([step]) => step <= last);
    return {
      step: points.map(([step]) => step),
      loss: points.map(([, loss]) => loss),
      ewcLoss: points.map(([, , ewcLoss]) => ewcLoss),
    };
  }
}
