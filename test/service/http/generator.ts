/** Requests made of an OpenAPI document: fitting ones, and every kind of unfitting. The same seed makes the same. */
import type { InjectOptions } from 'fastify';
import type { OpenAPIV3_1 } from 'openapi-types';
import type { Operation } from './document.js';

type Schema = Record<string, unknown>;

/** mulberry32 */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const nested = (levels: number): unknown =>
  levels === 0 ? 1 : levels % 2 ? [nested(levels - 1)] : { a: nested(levels - 1) };

/** What somebody, somewhere, does not expect. */
const TEXTS = [
  ...[
    '',
    ' ',
    '\0',
    'a\0b',
    '\ud800',
    'x\udfff',
    '\u202e',
    '\ufeff',
    '🦜'.repeat(50),
    'é'.repeat(200),
    'x'.repeat(5000),
  ],
  ...[
    'null',
    'undefined',
    'NaN',
    'true',
    '0',
    '-1',
    '1e999',
    '[object Object]',
    'constructor',
    'toString',
    '__proto__',
  ],
  ...[
    '../../etc/passwd',
    '/etc/passwd',
    '/dev/zero',
    '/proc/self/mem',
    'C:\\x',
    '.',
    '..',
    '/',
    '%2e%2e%2f',
    'file:///x',
    '\\\\x\\y',
  ],
  ...[
    "' OR 1=1 --",
    '"; DROP TABLE feedback; --',
    '{{7*7}}',
    '<script>alert(1)</script>',
    '(a+)+$',
    '%s%n',
    '\r\nX: y',
  ],
  ...['active', 'previous', 'known-good', 'v1.0', 'v0.0', 'v1', 'v99999999999999999999.0', '2026-02-30T00:00:00Z'],
];
const NUMBERS = [
  ...[
    0,
    -0,
    1,
    -1,
    0.5,
    2 ** 31,
    2 ** 31 - 1,
    -(2 ** 31),
    2 ** 32,
    2 ** 53,
    -(2 ** 53),
    1e308,
    -1e308,
    5e-324,
    100,
    1000,
    3650,
  ],
];
const OTHERS: readonly unknown[] = [
  null,
  true,
  false,
  [],
  {},
  [null],
  [[]],
  { a: 1 },
  nested(40),
  nested(400),
  [1, 'a', {}],
];
const KEYS = [
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'length',
  '',
  ' ',
  'a.b',
  'a[0]',
  '\0',
  'x'.repeat(300),
  'é',
];

export class RequestGenerator {
  readonly #random: () => number;
  readonly #schemas: Record<string, Schema>;

  constructor(document: OpenAPIV3_1.Document, seed: number) {
    this.#random = randomOf(seed);
    this.#schemas = (document.components?.schemas ?? {}) as Record<string, Schema>;
  }

  chance(share: number): boolean {
    return this.#random() < share;
  }

  pick<T>(values: readonly T[]): T {
    return values[Math.floor(this.#random() * values.length)];
  }

  /** `oddness`: how often a part is not what the document wants; 0 fits. */
  request({ method, path, operation }: Operation, oddness: number): InjectOptions {
    const parameters = (operation.parameters ?? []) as OpenAPIV3_1.ParameterObject[];
    const textOf = (schema: unknown) => String(this.value(schema as Schema, oddness));
    let url = path.replace(/\{(\w+)\}/g, (_, name) => {
      const { schema } = parameters.find((one) => one.in === 'path' && one.name === name) ?? {};
      const text = textOf(schema).replace(/\p{Surrogate}/gu, '\ufffd');
      // some are not encoded as they should be
      return this.chance(oddness)
        ? this.pick(['%', '%00', '%ff', '%2f', '%2e%2e', ';a=b', '~', '%u0041'])
        : encodeURIComponent(text);
    });
    const query: string[] = [];
    for (const { in: place, name, schema } of parameters) {
      if (place !== 'query' || !this.chance(0.5)) continue;
      for (let i = this.chance(oddness) ? 3 : 1; i > 0; i--) {
        query.push(
          `${name}=${this.chance(oddness) ? '%' : encodeURIComponent(textOf(schema).replace(/\p{Surrogate}/gu, '\ufffd'))}`,
        );
      }
    }
    if (this.chance(oddness))
      query.push(`${encodeURIComponent(this.pick(KEYS))}=${encodeURIComponent(this.pick(NUMBERS))}`);
    if (query.length > 0) url += `?${query.join('&')}`;
    if (method === 'GET') return { method, url, headers: this.#headers(oddness) };
    const type = this.chance(oddness / 4)
      ? this.pick(['text/plain', 'application/xml', 'application/json; charset=latin1', ';', 'a/b/c'])
      : 'application/json';
    return {
      method,
      url,
      headers: { ...this.#headers(oddness), 'content-type': type },
      payload: this.#body(operation, oddness),
    };
  }

  #headers(oddness: number): Record<string, string> {
    if (!this.chance(oddness)) return {};
    const odd: readonly [string, string][] = [
      ...([
        ['x-request-id', 'a'.repeat(500)],
        ['x-request-id', '\u00e9\u00ff'],
        ['accept', 'text/html;q=NaN'],
        ['range', 'bytes=5-1'],
      ] as const),
      ...([
        ['if-none-match', '*'],
        ['expect', '100-continue'],
        ['accept-version', '9.9.9'],
        ['connection', 'upgrade'],
      ] as const),
      ...([
        ['content-length', '3'],
        ['content-encoding', 'gzip'],
        ['x-http-method-override', 'DELETE'],
        ['cookie', '__proto__=1'],
      ] as const),
      ...([
        ['host', 'evil.example'],
        ['origin', 'null'],
        ['x-forwarded-for', '::1'],
        ['transfer-encoding', 'chunked'],
      ] as const),
    ].map(([name, value]) => [name, value]);
    return Object.fromEntries([this.pick(odd)]);
  }

  #body(operation: OpenAPIV3_1.OperationObject, oddness: number): string | undefined {
    const content = (operation.requestBody as OpenAPIV3_1.RequestBodyObject | undefined)?.content['application/json'];
    if (!content) return undefined;
    const value = this.value(content.schema as Schema, oddness);
    const text = JSON.stringify(value) ?? '';
    if (!this.chance(oddness / 4)) return text;
    const breaks: readonly ((text: string) => string)[] = [
      (it) => it.slice(0, -1),
      (it) => `${it},`,
      () => '',
      () => '{"a":NaN}',
      () => '{"__proto__":{"a":1}}',
      () => `{"constructor":{"prototype":{"a":1}}}`,
      () => `${'['.repeat(50_000)}${']'.repeat(50_000)}`,
      () => `${'{"a":'.repeat(20_000)}1${'}'.repeat(20_000)}`,
      (it) => it.replace(/\d+/, '1e999'),
      (it) => `\ufeff${it}`,
    ];
    return this.pick(breaks)(text);
  }

  value(schema: Schema, oddness: number, depth = 0): unknown {
    if (this.chance(oddness)) return this.#odd();
    const { $ref, anyOf, enum: values, const: constant, type } = schema;
    if (typeof $ref === 'string') return this.value(this.#schemas[$ref.split('/').pop() as string], oddness, depth);
    if (Array.isArray(anyOf)) return this.value(this.pick(anyOf), oddness, depth);
    if (constant !== undefined) return constant;
    if (Array.isArray(values)) return this.pick(values);
    if (type === 'object') return this.#object(schema, oddness, depth);
    if (type === 'array') {
      const { items, minItems = 0 } = schema as { items: Schema; minItems?: number };
      const count = Math.max(minItems, Math.floor(this.#random() * 4));
      return Array.from({ length: count }, () => this.value(items, oddness, depth + 1));
    }
    if (type === 'integer' || type === 'number') return this.#number(schema);
    if (type === 'boolean') return this.chance(0.5);
    if (type === 'null') return null;
    if (type === 'string') return this.#text(schema);
    return depth > 3 ? 1 : this.pick<unknown>([1, 'text', [1, 'a'], { inner: { a: null } }, true, null]);
  }

  #odd(): unknown {
    const kinds = [() => this.pick(TEXTS), () => this.pick(NUMBERS), () => this.pick(OTHERS)];
    return this.pick(kinds)();
  }

  #object(schema: Schema, oddness: number, depth: number): Record<string, unknown> {
    const {
      properties = {},
      required = [],
      additionalProperties,
    } = schema as {
      properties?: Record<string, Schema>;
      required?: string[];
      additionalProperties?: Schema | false;
    };
    const entries: [string, unknown][] = [];
    for (const [name, inner] of Object.entries(properties)) {
      const wanted = required.includes(name) ? !this.chance(oddness) : this.chance(0.4);
      if (wanted) entries.push([name, this.value(inner, oddness, depth + 1)]);
    }
    if (additionalProperties) entries.push(['free key', this.value(additionalProperties, oddness, depth + 1)]);
    if (this.chance(oddness)) entries.push([this.pick(KEYS), this.#odd()]);
    return Object.fromEntries(entries);
  }

  #number({ minimum, maximum, exclusiveMinimum, type }: Schema): number {
    const low = Number(minimum ?? exclusiveMinimum ?? -1000);
    const high = Math.min(Number(maximum ?? 1000), Number.MAX_SAFE_INTEGER);
    const between = low + this.#random() * (high - low);
    const candidates = [low, high, type === 'integer' ? Math.round(between) : between];
    const one = this.pick(candidates);
    return exclusiveMinimum !== undefined && one === low ? high : one;
  }

  #text({ minLength = 0, maxLength = 40, format }: Schema): string {
    if (format === 'date-time') return '2026-01-05T02:00:00Z';
    const usual = ['v1.0', 'active', 'ROMEO:', 'what is it?', '2026-01-05T02:00:00Z', 'job-1', 'é🦜'];
    const length = this.pick([Number(minLength), Math.min(Number(maxLength), 300), 7]);
    return this.chance(0.5) ? this.pick(usual) : 'y'.repeat(Math.max(1, length));
  }
}
