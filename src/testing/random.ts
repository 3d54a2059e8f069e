/** Seeded random numbers for tests and benches (xorshift32): the same seed gives the same workload everywhere. */
export class SeededRandom {
  #state: number;

  constructor(seed: number) {
    // spread small seeds over the state, which must not be 0
    this.#state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
    for (let i = 0; i < 8; i++) this.#next();
  }

  #next(): number {
    let s = this.#state;
    s ^= s << 13;
    s ^= s >>> 17;
    s ^= s << 5;
    this.#state = s >>> 0;
    return this.#state;
  }

  /** In [min, max). */
  uniform(min = 0, max = 1): number {
    return min + (max - min) * (this.#next() / 2 ** 32);
  }

  /** From min to max, both included. */
  integer(min: number, max: number): number {
    return Math.floor(this.uniform(min, max + 1));
  }

  /** Mean 0, the given standard deviation (Box–Muller). */
  normal(deviation = 1): number {
    return deviation * Math.sqrt(-2 * Math.log(1 - this.uniform())) * Math.cos(2 * Math.PI * this.uniform());
  }

  normals(length: number, deviation = 1): Float32Array {
    return Float32Array.from({ length }, () => this.normal(deviation));
  }

  uniforms(length: number, min = 0, max = 1): Float32Array {
    return Float32Array.from({ length }, () => this.uniform(min, max));
  }

  integers(length: number, min: number, max: number): Uint32Array {
    return Uint32Array.from({ length }, () => this.integer(min, max));
  }

  /** `count` different integers below `limit`, in random order. */
  distinct(count: number, limit: number): Uint32Array {
    const chosen = new Set<number>();
    while (chosen.size < count) chosen.add(this.integer(0, limit - 1));
    return Uint32Array.from(chosen);
  }
}
