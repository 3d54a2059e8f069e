/**
 * bf16, the upper half of a float: how Fisher and anchor may be kept (PoolConfig.stateDtype). A number has 8 significant
 * bits and a float's range. The js backend keeps such numbers in a Float32Array; native/cpu/bf16.h is the same in C++.
 */

/** The largest finite one, as a float's bits. */
const LARGEST = 0x7f7f0000;
const MAGNITUDE = 0x7fffffff;

/** Rounds finite numbers to the nearest bf16 number, of two to the even one; none becomes infinite. */
export function roundToNearest(values: Float32Array): void {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) bits[i] = upperHalf(bits[i], 0x7fff + ((bits[i] >>> 16) & 1));
}

/**
 * Rounds finite numbers to one of their two neighbours, the nearer the likelier, so that the rounding errors of a long sum
 * cancel. The same numbers and key always give the same result.
 */
export function roundStochastically(values: Float32Array, key: number): void {
  const bits = bitsOf(values);
  for (let i = 0; i < bits.length; i++) {
    const random = mixed((key + Math.imul(i, 0x9e3779b9)) ^ bits[i]);
    bits[i] = upperHalf(bits[i], random & 0xffff);
  }
}

/** What the rounding of one consolidation of a slot depends on, beside the numbers themselves. */
export function roundingKey(steps: number, consolidations: number): number {
  return mixed(steps ^ mixed(consolidations + 0x9e3779b9));
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

/** `above` is added to the magnitude; what is below the upper half is dropped. */
function upperHalf(bits: number, above: number): number {
  const magnitude = Math.min((bits & MAGNITUDE) + above, LARGEST);
  return ((bits & ~MAGNITUDE) | magnitude) & ~0xffff;
}

/** Every bit of the result depends on every bit of x (MurmurHash3's finaliser). */
function mixed(x: number): number {
  let bits = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
