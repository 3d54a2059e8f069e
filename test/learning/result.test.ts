import { describe, expect, it } from 'vitest';
import { none, option, some } from '../../src/learning/option.js';
import { failure, type Result, success } from '../../src/learning/result.js';

describe('a result', () => {
  const good: Result<number> = success(4);
  const bad: Result<number> = failure('no');

  it('has a value or an error, and throws the documented message for the other', () => {
    expect([good.isSuccess, good.isFailure, good.value]).toEqual([true, false, 4]);
    expect([bad.isSuccess, bad.isFailure, bad.error]).toEqual([false, true, 'no']);
    expect(() => bad.value).toThrow('Cannot access Value of a failed Result');
    expect(() => good.error).toThrow('Cannot access Error of a successful Result');
  });

  it('combines', () => {
    const half = (n: number): Result<number> => (n % 2 ? failure(`${n} is odd`) : success(n / 2));
    expect(good.map((n) => n + 1)).toEqual(success(5));
    expect(bad.map((n) => n + 1)).toEqual(bad);
    expect(good.bind(half).bind(half)).toEqual(success(1));
    expect(good.bind(half).bind(half).bind(half)).toEqual(failure('1 is odd'));
    expect(bad.bind(half)).toEqual(bad);
    expect(bad.mapError((error) => error.length)).toEqual(failure(2));
    expect(good.mapError((error) => error.length)).toEqual(good);
    expect(good.match(String, (error) => error)).toBe('4');
    expect(bad.match(String, (error) => `${error}!`)).toBe('no!');
    expect([good.getOrDefault(7), bad.getOrDefault(7)]).toEqual([4, 7]);
    expect([good.toOption(), bad.toOption()]).toEqual([some(4), none()]);
    expect([String(good), String(bad)]).toEqual(['Success(4)', 'Failure(no)']);
  });

  it('cannot be changed', () => {
    expect(() => Object.assign(good, { value: 5 })).toThrow();
    expect(() => Object.assign(bad, { error: 'yes' })).toThrow();
  });

  it('narrows by its discriminant', () => {
    const text = (result: Result<number>) => (result.isSuccess ? result.value.toFixed(1) : result.error.toUpperCase());
    expect([text(good), text(bad)]).toEqual(['4.0', 'NO']);
  });
});

describe('an option', () => {
  it('has a value or none', () => {
    const [one, nothing] = [some(1), none<number>()];
    expect([option(1), option(0), option(null), option(undefined)]).toEqual([one, some(0), nothing, nothing]);
    expect([one.hasValue, nothing.hasValue]).toEqual([true, false]);
    expect(one.map((n) => n + 1)).toEqual(some(2));
    expect(one.map(() => undefined)).toEqual(nothing);
    expect(nothing.map((n) => n + 1)).toEqual(nothing);
    expect(one.bind((n) => (n > 1 ? some(n) : none()))).toEqual(nothing);
    expect([one.getOrDefault(9), nothing.getOrDefault(9)]).toEqual([1, 9]);
    expect([one.match(String, () => '-'), nothing.match(String, () => '-')]).toEqual(['1', '-']);
    expect([String(one), String(nothing)]).toEqual(['Some(1)', 'None']);
  });
});
