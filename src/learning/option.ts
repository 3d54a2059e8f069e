/** A value that may be missing. */

export type Option<T> = Some<T> | None<T>;

abstract class OptionBase<T> {
  abstract readonly hasValue: boolean;

  map<U>(change: (value: T) => U | null | undefined): Option<U> {
    return this.match(
      (value) => option(change(value)),
      () => none(),
    );
  }

  bind<U>(next: (value: T) => Option<U>): Option<U> {
    return this.match(next, () => none());
  }

  getOrDefault<D>(fallback: D): T | D {
    return this.match<T | D>(
      (value) => value,
      () => fallback,
    );
  }

  abstract match<R>(onSome: (value: T) => R, onNone: () => R): R;
}

export class Some<T> extends OptionBase<T> {
  override readonly hasValue = true;

  constructor(readonly value: T) {
    super();
    Object.freeze(this);
  }

  override match<R>(onSome: (value: T) => R): R {
    return onSome(this.value);
  }

  override toString(): string {
    return `Some(${this.value})`;
  }
}

export class None<T> extends OptionBase<T> {
  override readonly hasValue = false;
  readonly value = undefined;

  override match<R>(_onSome: (value: T) => R, onNone: () => R): R {
    return onNone();
  }

  override toString(): string {
    return 'None';
  }
}

const NOTHING = Object.freeze(new None<never>());

export function some<T>(value: T): Option<T> {
  return new Some(value);
}

export function none<T>(): Option<T> {
  return NOTHING as None<T>;
}

/** None for null and undefined. */
export function option<T>(value: T | null | undefined): Option<T> {
  return value === null || value === undefined ? none() : some(value);
}
