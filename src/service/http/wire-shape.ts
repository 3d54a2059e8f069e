/** What the compiler knows of wire forms; src/service/wire.ts makes them. */
import type { z } from 'zod';

/** adapterVersion → adapter_version */
type SnakeCase<S extends string> = S extends `${infer First}${infer Rest}`
  ? First extends Lowercase<First>
    ? `${First}${SnakeCase<Rest>}`
    : `_${Lowercase<First>}${SnakeCase<Rest>}`
  : S;

/** What the shape of a type's wire form has to have: all of its keys, and no other. */
export type WireShape<T> = { [K in keyof T & string as SnakeCase<K>]-?: z.ZodType };

/** adapter_version → adapterVersion */
type CamelCase<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : S;

/** What fromWire makes of a wire form. */
export type Unwired<T> = T extends string | number | boolean | null | undefined
  ? T
  : T extends readonly (infer U)[]
    ? Unwired<U>[]
    : T extends object
      ? string extends keyof T
        ? T
        : { [K in keyof T as CamelCase<K & string>]: Unwired<T[K]> }
      : T;
