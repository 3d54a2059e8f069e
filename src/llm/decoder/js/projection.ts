/** y = W·x + bias + scaling · loraB·(loraA·dropout(x)), forward and backward; W is frozen. */
import type { PlacedTarget } from '../layout.js';
import type { JsAdapter } from './adapter.js';
import { addOuter, addTimes, timesTransposed } from './products.js';

export interface Dropout {
  rate: number;
  seed: number;
}

export interface Projection {
  weight: Float32Array;
  bias?: Float32Array;
  features: { in: number; out: number };
}

/** An adapter's part in one projection. */
export interface LoraPart {
  adapter: JsAdapter;
  target: PlacedTarget;
  dropout?: Dropout;
}

function factors({ adapter, target }: LoraPart) {
  const a = adapter.parameters.subarray(target.offsetA, target.offsetB);
  const b = adapter.parameters.subarray(target.offsetB, target.offsetB + target.out * target.rank);
  const into = { in: target.in, out: target.rank };
  const outOf = { in: target.rank, out: target.out };
  return { a, b, into, outOf };
}

export function project(
  x: Float64Array,
  rows: number,
  { weight, bias, features }: Projection,
  lora?: LoraPart,
): Float64Array {
  const y = timesTransposed(x, rows, weight, features, bias);
  if (!lora) return y;
  const { a, b, into, outOf } = factors(lora);
  const change = timesTransposed(timesTransposed(dropped(x, lora), rows, a, into), rows, b, outOf);
  for (let i = 0; i < y.length; i++) y[i] += lora.target.scaling * change[i];
  return y;
}

/** dx += ∂L/∂x, and the gradients of the factors are added to the adapter's; dy is ∂L/∂y. */
export function addProjectionBackward(
  dx: Float64Array,
  dy: Float64Array,
  x: Float64Array,
  rows: number,
  { weight, features }: Projection,
  lora?: LoraPart,
): void {
  addTimes(dx, 1, dy, rows, weight, features);
  if (!lora) return;
  const { a, b, into, outOf } = factors(lora);
  const { adapter, target } = lora;
  const input = dropped(x, lora);
  const inner = timesTransposed(input, rows, a, into);
  addOuter(adapter.gradient, target.offsetB, target.scaling, dy, inner, rows, outOf);
  const dInner = new Float64Array(rows * target.rank);
  addTimes(dInner, target.scaling, dy, rows, b, outOf);
  addOuter(adapter.gradient, target.offsetA, 1, dInner, input, rows, into);
  const dInput = new Float64Array(x.length);
  addTimes(dInput, 1, dInner, rows, a, into);
  const back = dropped(dInput, lora);
  for (let i = 0; i < dx.length; i++) dx[i] += back[i];
}

/** Each entry 0 with probability `rate`, else divided by 1 − rate; which ones follows from the seed and their place. */
function dropped(x: Float64Array, { target, dropout }: LoraPart): Float64Array {
  if (!dropout || dropout.rate === 0) return x;
  const { rate, seed } = dropout;
  const key = mixed((seed % 2 ** 32) + target.offsetA) ^ mixed(Math.floor(seed / 2 ** 32));
  return x.map((value, i) => ((mixed(key + Math.imul(i, 0x9e3779b9)) >>> 0) / 2 ** 32 < rate ? 0 : value / (1 - rate)));
}

/** Every bit of the result depends on every bit of x (MurmurHash3's finaliser). */
export function mixed(x: number): number {
  let bits = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}
