import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { type AdapterState, SECTION_ORDER } from '../../src/adapter/state.js';
import { LorakeetError, type LorakeetErrorCode } from '../../src/errors.js';

/** Files and numbers made by golden/write_golden.py, which knows the format document and none of the code. */
export const golden = JSON.parse(readFileSync(new URL('./golden/golden.json', import.meta.url), 'utf8'));

/** The code of the LorakeetError that `action` throws; anything else it does fails the test. */
export function codeOf(action: () => unknown): LorakeetErrorCode {
  try {
    action();
  } catch (error) {
    if (error instanceof LorakeetError) return error.code;
    throw new Error(`expected a LorakeetError, got ${error}`, { cause: error });
  }
  throw new Error('expected a LorakeetError, but nothing was thrown');
}

/** An adapter with all sections, filled with reproducible numbers. */
export function sampleState(overrides: Partial<AdapterState> = {}): AdapterState {
  const shape = overrides.shape ?? { rank: 2, inFeatures: 3, outFeatures: 4, alpha: 0.1, rsLora: false };
  const random = new Random(hashSeed(1, 'sample'));
  const length = shape.rank * (shape.inFeatures + shape.outFeatures);
  const numbers = (min: number) => Float32Array.from({ length }, () => random.uniform(min, 1));
  return {
    shape,
    weights: numbers(-1),
    fisher: numbers(0),
    anchor: numbers(-1),
    moment1: numbers(-1),
    moment2: numbers(0),
    step: 12,
    meta: { userId: 'user-1', list: [1, null, true, { deep: 'x' }], loss: 0.125 },
    ...overrides,
  };
}

/** Everything an adapter holds, with floats as their bits, so that -0 differs from 0. */
export function bitsOf(state: AdapterState): unknown {
  const bits = (values?: Float32Array) => values && [...new Uint32Array(values.slice().buffer)];
  return { ...state, ...Object.fromEntries(SECTION_ORDER.map((section) => [section, bits(state[section])])) };
}

/** A copy whose last 32 bytes are the checksum of what is in front of them. */
export function withChecksum(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const end = Math.max(0, copy.length - 32);
  copy.set(
    createHash('sha256')
      .update(copy.subarray(0, end))
      .digest()
      .subarray(0, copy.length - end),
    end,
  );
  return copy;
}

/** A copy with `change` made to it and a checksum that fits. */
export function forge(bytes: Uint8Array, change: (view: DataView, copy: Uint8Array) => void): Uint8Array {
  const copy = Uint8Array.from(bytes);
  change(new DataView(copy.buffer), copy);
  return withChecksum(copy);
}

/** A copy in which `deleted` bytes at `position` are replaced by `inserted`, with a checksum that fits. */
export function splice(bytes: Uint8Array, position: number, deleted: number, inserted: Uint8Array): Uint8Array {
  return withChecksum(Buffer.concat([bytes.subarray(0, position), inserted, bytes.subarray(position + deleted)]));
}
