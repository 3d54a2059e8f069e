/**
 * What an operation that may fail as expected gives: a value, or why there is none. Operations of this folder throw nothing
 * for bad input, missing adapters and failing stores.
 */
import { LorakeetError } from '../errors.js';
import { none, type Option, option } from './option.js';

export type Result<T, E = string> = Success<T, E> | Failure<T, E>;

abstract class ResultBase<T, E> {
  abstract readonly isSuccess: boolean;
  abstract readonly isFailure: boolean;

  abstract match<R>(onSuccess: (value: T) => R, onFailure: (error: E) => R): R;

  map<U>(change: (value: T) => U): Result<U, E> {
    return this.match<Result<U, E>>(
      (value) => success(change(value)),
      (error) => failure(error),
    );
  }

  mapError<F>(change: (error: E) => F): Result<T, F> {
    return this.match<Result<T, F>>(
      (value) => success(value),
      (error) => failure(change(error)),
    );
  }

  bind<U>(next: (value: T) => Result<U, E>): Result<U, E> {
    return this.match<Result<U, E>>(next, (error) => failure(error));
  }

  getOrDefault<D>(fallback: D): T | D {
    return this.match<T | D>(
      (value) => value,
      () => fallback,
    );
  }

  /** None also for a value of null or undefined. */
  toOption(): Option<T> {
    return this.match<Option<T>>(
      (value) => option(value),
      () => none(),
    );
  }
}

export class Success<T, E = string> extends ResultBase<T, E> {
  override readonly isSuccess = true;
  override readonly isFailure = false;

  constructor(readonly value: T) {
    super();
    Object.freeze(this);
  }

  /** Throws ERR_INVALID_STATE. */
  get error(): never {
    throw new LorakeetError('ERR_INVALID_STATE', 'Cannot access Error of a successful Result');
  }

  override match<R>(onSuccess: (value: T) => R): R {
    return onSuccess(this.value);
  }

  override toString(): string {
    return `Success(${this.value})`;
  }
}

export class Failure<T, E = string> extends ResultBase<T, E> {
  override readonly isSuccess = false;
  override readonly isFailure = true;

  constructor(readonly error: E) {
    super();
    Object.freeze(this);
  }

  /** Throws ERR_INVALID_STATE. */
  get value(): never {
    throw new LorakeetError('ERR_INVALID_STATE', 'Cannot access Value of a failed Result');
  }

  override match<R>(_onSuccess: (value: T) => R, onFailure: (error: E) => R): R {
    return onFailure(this.error);
  }

  override toString(): string {
    return `Failure(${this.error})`;
  }
}

export function success<T, E = string>(value: T): Result<T, E> {
  return new Success(value);
}

export function failure<T, E = string>(error: E): Result<T, E> {
  return new Failure(error);
}

/** The value of an operation that has none. */
export type Unit = undefined;
