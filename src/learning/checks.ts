/** Checks that give the documented messages. */
import { failure, type Result, success, type Unit } from './result.js';

/** The first failure of checks that are made one after another. */
export function allOf(...checks: readonly (() => Result<Unit>)[]): Result<Unit> {
  for (const check of checks) {
    const result = check();
    if (result.isFailure) return result;
  }
  return success(undefined);
}

export function ensure(holds: boolean, message: string): Result<Unit> {
  return holds ? success(undefined) : failure(message);
}

/** A number above 0 and at most `max`; NaN and ∞ are not positive. */
export function positive(name: string, value: unknown, max = Number.MAX_VALUE): Result<Unit> {
  if (typeof value !== 'number' || !(value > 0) || value === Infinity) return failure(`${name} must be positive`);
  return ensure(value <= max, `${name} must be at most ${max}`);
}

export function positiveInteger(name: string, value: unknown, max: number): Result<Unit> {
  return positive(name, value, max).bind(() => ensure(Number.isInteger(value), `${name} must be a whole number`));
}

/** Something else than white space. */
export function notBlank(name: string, value: unknown): Result<Unit> {
  return ensure(typeof value === 'string' && value.trim() !== '', `${name} cannot be empty`);
}
