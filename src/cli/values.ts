/** Values of options and arguments: text in, or a sentence about what was expected. */
import { InvalidArgumentError } from 'commander';

type Parse<T> = (text: string) => T;

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export function number(range: { min?: number; above?: number; max: number }): Parse<number> {
  const { min, above, max } = range;
  const expected =
    above === undefined ? `a number from ${min ?? 0} to ${max}` : `a number above ${above}, up to ${max}`;
  return (text) => {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    const fits = above === undefined ? value >= (min ?? 0) : value > above;
    if (fits && value <= max) return value;
    throw new InvalidArgumentError(`expected ${expected}`);
  };
}

export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = NUMBER.test(text) ? Number(text) : Number.NaN;
    if (Number.isInteger(value) && value >= min && value <= max) return value;
    throw new InvalidArgumentError(`expected an integer from ${min} to ${max}`);
  };
}

/** 1,0.5,-2 */
export function numberList(text: string): number[] {
  const values = text.split(',').map((part) => part.trim());
  if (values.every((part) => NUMBER.test(part))) return values.map(Number);
  throw new InvalidArgumentError('expected numbers separated by commas');
}

/** A day, or a time with its zone: a time without would be another one on every machine. */
export function time(text: string): Date {
  const given = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d))?$/.test(text);
  const date = new Date(text);
  if (given && !Number.isNaN(date.getTime())) return date;
  throw new InvalidArgumentError('expected a day like 2026-01-05 (UTC), or a time like 2026-01-05T02:00:00Z');
}

/** For options that may stand several times. */
export function collected(text: string, before: string[] = []): string[] {
  return [...before, text];
}
