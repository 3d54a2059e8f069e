/** The kinds of values that a configuration key may have: how each is checked, described, and read from a variable. */
import { z } from 'zod';
import { Secret } from './secret.js';

/** One key of the configuration. Its path is where it stands in the table. */
export interface ConfigKey<T = unknown> {
  /** Checks a value of a file, and turns it into what the service uses. */
  schema: z.ZodType<T>;
  /** What is accepted, to follow "expected". */
  expected: string;
  /** Undefined: unset. */
  default: T;
  /** The environment variable, where the name does not follow from the path. */
  variable?: string;
  /** Never shown. */
  secret: boolean;
  /** One line for the documentation. */
  about: string;
  /** The text of a variable as a file would have it; what cannot be read is left for the schema to refuse. */
  parse(text: string): unknown;
}

/** Most keys are given a description and, last, the name of a variable that does not follow from the path. */
type Kind<T> = Pick<ConfigKey<T>, 'schema' | 'expected' | 'parse'>;

export function key<T>(kind: Kind<T>, fallback: NoInfer<T>, about: string, variable?: string): ConfigKey<T> {
  return { ...kind, default: fallback, about, variable, secret: false };
}

/** A key without a default. */
export function optional<T>(kind: Kind<T>, about: string, variable?: string): ConfigKey<T | undefined> {
  const { schema, expected, parse } = kind;
  return { schema, expected, parse, default: undefined, about, variable, secret: false };
}

/** A text that is shown nowhere, and has no default. */
export function secret(about: string, variable?: string): ConfigKey<Secret | undefined> {
  return { ...SECRET_TEXT, default: undefined, about, variable, secret: true };
}

/** A secret that goes into a header. */
export function bearerToken(about: string): ConfigKey<Secret | undefined> {
  const schema = plainText(1)
    .regex(/^[\x21-\x7e]+$/)
    .transform((value) => new Secret(value));
  const expected = `1 to ${MAX_TEXT_CHARACTERS} visible ASCII characters`;
  return { schema, expected, parse: asText, default: undefined, about, secret: true };
}

const asText = (text: string) => text;
const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const asNumber = (text: string) => (NUMBER.test(text.trim()) ? Number(text) : text);
const asList = (text: string) => text.split(',').map((part) => part.trim());

export const MAX_TEXT_CHARACTERS = 4096;

/** Without control characters: a file name with NUL, a header with a line break. */
function plainText(minimum: number) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  const plain = /^[^\u0000-\u001f\u007f]*$/;
  return z
    .string()
    .min(minimum)
    .max(MAX_TEXT_CHARACTERS)
    .regex(plain)
    .refine((value) => value.trim().length >= minimum);
}

export const text: Kind<string> = {
  schema: plainText(1),
  expected: `text of 1 to ${MAX_TEXT_CHARACTERS} characters`,
  parse: asText,
};

const SECRET_TEXT: Kind<Secret> = {
  schema: plainText(1).transform((value) => new Secret(value)),
  expected: text.expected,
  parse: asText,
};

/** Text of a form that `check` recognises. */
export function textLike(expected: string, check: RegExp | ((value: string) => boolean)): Kind<string> {
  const fits = check instanceof RegExp ? (value: string) => check.test(value) : check;
  return { schema: plainText(1).refine(fits), expected, parse: asText };
}

export function integer(min: number, max: number): Kind<number> {
  return { schema: z.int().min(min).max(max), expected: `an integer from ${min} to ${max}`, parse: asNumber };
}

/** With `above` the minimum itself is not allowed. */
export function number(range: { min?: number; above?: number; max: number }): Kind<number> {
  const { min, above, max } = range;
  const schema = above === undefined ? z.number().min(min ?? 0) : z.number().gt(above);
  const from = above === undefined ? `from ${min ?? 0}` : `above ${above} and`;
  const upTo = above === undefined ? `to ${max}` : `up to ${max}`;
  return { schema: schema.max(max), expected: `a number ${from} ${upTo}`, parse: asNumber };
}

export const boolean: Kind<boolean> = {
  schema: z.boolean(),
  expected: 'true or false',
  parse: (value) => ({ true: true, '1': true, false: false, '0': false })[value.trim().toLowerCase()] ?? value,
};

export function choice<const T extends string>(...values: readonly T[]): Kind<T> {
  return { schema: z.enum(values) as unknown as z.ZodType<T>, expected: `one of ${values.join(', ')}`, parse: asText };
}

/** In a variable the entries are separated by commas. */
export function listOf<T>(kind: Kind<T>, minimum = 0): Kind<readonly T[]> {
  const distinct = (values: readonly T[]) => new Set(values).size === values.length;
  return {
    schema: z.array(kind.schema).min(minimum).max(1000).refine(distinct),
    expected: `a list${minimum > 0 ? ` of at least ${minimum}` : ''}, no entry twice, each ${kind.expected}`,
    parse: (value) => asList(value).map(kind.parse),
  };
}

const MIN_TOKEN_CHARACTERS = 16;

export const SCOPES = ['read', 'operate'] as const;
export type Scope = (typeof SCOPES)[number];

/** Who may call the service. */
export interface ServiceToken {
  /** Who it is, for the audit trail. */
  name: string;
  token: Secret;
  /** `operate` includes `read`. */
  scope: Scope;
}

/** In a variable: JSON. */
export const tokens: Kind<readonly ServiceToken[]> = {
  schema: z
    .array(
      z.strictObject({
        name: z.string().regex(/^[\w.@-]{1,64}$/),
        token: z
          .string()
          .min(MIN_TOKEN_CHARACTERS)
          .max(MAX_TEXT_CHARACTERS)
          .regex(/^[\x21-\x7e]+$/),
        scope: z.enum(SCOPES),
      }),
    )
    .max(1000)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length)
    .refine((all) => new Set(all.map(({ token }) => token)).size === all.length)
    .transform((all) => all.map(({ token, ...rest }) => ({ ...rest, token: new Secret(token) }))),
  expected:
    'a list of { name, token, scope } with names of letters, digits and _.@-, tokens of at least ' +
    `${MIN_TOKEN_CHARACTERS} visible ASCII characters, scope read or operate, no name and no token twice`,
  parse(value) {
    try {
      return JSON.parse(value);
    } catch {
      return value;
    }
  },
};
