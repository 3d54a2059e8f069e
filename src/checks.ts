/**
 * Checks of single arguments, shared by every facade so that the same mistake reads the same everywhere:
 * `<name>: got <value>, expected <what>`.
 */
import { LorakeetError, type LorakeetErrorCode } from './errors.js';

/** A short, safe rendering of any value for an error message. */
export function describe(value: unknown): string {
  if (typeof value === 'string')
    return value.length > 60 ? `${JSON.stringify(value.slice(0, 60))}…` : JSON.stringify(value);
  if (ArrayBuffer.isView(value))
    return `${value.constructor.name}(${(value as Uint8Array).length ?? value.byteLength})`;
  if (Array.isArray(value)) return `Array(${value.length})`;
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return `a ${value.constructor?.name ?? 'null-prototype'} object`;
  return String(value);
}

export function fail(code: LorakeetErrorCode, name: string, value: unknown, expected: string): never {
  throw new LorakeetError(code, `${name}: got ${describe(value)}, expected ${expected}`);
}

/** An integer in [min, max]; throws `code` naming the argument otherwise. */
export function requireInteger(
  name: string,
  value: unknown,
  min: number,
  max: number,
  code: LorakeetErrorCode = 'ERR_INVALID_CONFIG',
): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    fail(code, name, value, `an integer from ${min} to ${max}`);
  }
  return value;
}

export interface NumberRange {
  min?: number;
  max?: number;
  /** The minimum itself is not allowed. */
  above?: number;
  /** Positive infinity is allowed. */
  infinity?: boolean;
}

/** A number in the given range, NaN and (unless allowed) infinity excluded. */
export function requireNumber(
  name: string,
  value: unknown,
  range: NumberRange = {},
  code: LorakeetErrorCode = 'ERR_INVALID_CONFIG',
): number {
  const { min, max, above, infinity = false } = range;
  const ok =
    typeof value === 'number' &&
    (Number.isFinite(value) || (infinity && value === Infinity)) &&
    (min === undefined || value >= min) &&
    (max === undefined || value <= max) &&
    (above === undefined || value > above);
  if (!ok) {
    const bounds = [
      above !== undefined ? `above ${above}` : min !== undefined ? `at least ${min}` : '',
      max !== undefined ? `at most ${max}` : '',
    ].filter(Boolean);
    const kind = infinity ? 'a number' : 'a finite number';
    fail(code, name, value, bounds.length ? `${kind} ${bounds.join(' and ')}` : kind);
  }
  return value as number;
}

export function requireBoolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') fail('ERR_INVALID_CONFIG', name, value, 'true or false');
  return value;
}

export function requireOneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (!allowed.includes(value as T)) fail('ERR_INVALID_CONFIG', name, value, `one of ${allowed.join(', ')}`);
  return value as T;
}

/** Rejects keys that no option has, so that a misspelt option is not silently ignored. */
export function rejectUnknownKeys(name: string, value: object, known: readonly string[]): void {
  for (const key of Object.keys(value)) {
    if (!known.includes(key))
      fail(
        'ERR_INVALID_CONFIG',
        `${name}.${key}`,
        (value as Record<string, unknown>)[key],
        `no such option (known: ${known.join(', ')})`,
      );
  }
}

/** A Float32Array of exactly `length` finite numbers. */
export function requireVector(name: string, value: unknown, length: number): Float32Array {
  if (!(value instanceof Float32Array)) fail('ERR_INVALID_ARGUMENT', name, value, `a Float32Array of length ${length}`);
  if (value.length !== length) {
    throw new LorakeetError('ERR_LENGTH_MISMATCH', `${name}: got ${value.length} elements, expected ${length}`);
  }
  requireFiniteElements(name, value);
  return value;
}

/** Throws naming the first element that is NaN or infinite. */
export function requireFiniteElements(name: string, values: Float32Array): void {
  const i = firstNonFinite(values);
  if (i >= 0) fail('ERR_NOT_FINITE', `${name}[${i}]`, values[i], 'a finite number');
}

/** Where the first NaN or infinity stands; −1 if there is none. */
export function firstNonFinite(values: Float32Array): number {
  for (let i = 0; i < values.length; i++) {
    // x - x is 0 for every finite x and NaN for NaN and both infinities
    if (values[i] - values[i] !== 0) return i;
  }
  return -1;
}
