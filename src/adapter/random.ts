/** Reproducible random numbers: the same on every platform, and for a user whatever the order of creation. */
import { hash } from 'node:crypto';
import { fail, requireInteger } from '../checks.js';

/** Four 32-bit words, not all zero. */
export type RandomState = readonly [number, number, number, number];

/**
 * xoshiro128** 1.1 by D. Blackman and S. Vigna (https://prng.di.unimi.it/xoshiro128starstar.c, public domain; "Scrambled
 * Linear Pseudorandom Number Generators", 2021): period 2¹²⁸ − 1. Not for secrets.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /** Throws ERR_INVALID_ARGUMENT unless `state` is four integers from 0 to 2³² − 1 that are not all zero. */
  constructor(state: RandomState) {
    if (state?.length !== 4 || state.every((word) => word === 0)) {
      fail('ERR_INVALID_ARGUMENT', 'state', state, 'four 32-bit words that are not all zero');
    }
    for (const word of state) requireInteger('state', word, 0, 2 ** 32 - 1, 'ERR_INVALID_ARGUMENT');
    [this.#a, this.#b, this.#c, this.#d] = state;
  }

  /** An integer from 0 to 2³² − 1. */
  nextUint32(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.#b, 5), 7), 9) >>> 0;
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = rotateLeft(this.#d, 11);
    return result;
  }

  /** A number in [min, max), with 32 random bits. */
  uniform(min: number, max: number): number {
    return min + (max - min) * (this.nextUint32() / 2 ** 32);
  }

  /** uniform(min, max) for one element after the other; several times faster, as the state stays in registers. */
  fillUniform(values: Float32Array, min: number, max: number): void {
    let [a, b, c, d] = [this.#a, this.#b, this.#c, this.#d];
    for (let i = 0; i < values.length; i++) {
      const word = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9) >>> 0;
      values[i] = min + (max - min) * (word / 2 ** 32);
      const shifted = b << 9;
      c ^= a;
      d ^= b;
      b ^= c;
      a ^= d;
      c ^= shifted;
      d = rotateLeft(d, 11);
    }
    [this.#a, this.#b, this.#c, this.#d] = [a, b, c, d];
  }
}

/**
 * The generator state for (seed, text): the first four little-endian words of the SHA-256 of the seed, as four
 * little-endian bytes, and the text in UTF-8. Different texts get unrelated streams, so an adapter initialised from
 * (seed, userId) does not depend on which users came before. `seed` is an integer from 0 to 2³² − 1 (ERR_INVALID_CONFIG).
 */
export function hashSeed(seed: number, text: string): RandomState {
  requireInteger('seed', seed, 0, 2 ** 32 - 1);
  if (typeof text !== 'string') fail('ERR_INVALID_ARGUMENT', 'text', text, 'a string');
  const bytes = Buffer.allocUnsafe(4 + Buffer.byteLength(text, 'utf8'));
  bytes.writeUInt32LE(seed);
  bytes.write(text, 4, 'utf8');
  const digest = hash('sha256', bytes, 'buffer');
  return [digest.readUInt32LE(0), digest.readUInt32LE(4), digest.readUInt32LE(8), digest.readUInt32LE(12)];
}

function rotateLeft(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
