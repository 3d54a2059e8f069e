/** Zod schemas as JSON Schema, those with a name each in one place. */
import { z } from 'zod';
import { DESCRIPTIONS } from './forms.js';

export type JsonSchema = Record<string, unknown>;

export class ComponentSchemas {
  readonly #all = new Map<string, JsonSchema>();

  /** By name, in order. */
  get all(): Record<string, JsonSchema> {
    return Object.fromEntries([...this.#all].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  /** `input`: what may be sent; `output`: what is answered, of which clients should expect more in later versions. */
  of(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    const made = z.toJSONSchema(schema, {
      ...{ io, metadata: DESCRIPTIONS, unrepresentable: 'any' },
      override: ({ jsonSchema }) => {
        if (io === 'output' && jsonSchema.additionalProperties === false) delete jsonSchema.additionalProperties;
      },
    });
    const { $schema: _, $defs = {}, ...own } = referring(made);
    for (const [name, one] of Object.entries($defs)) this.#all.set(name, one);
    return own;
  }
}

/** Definitions become components of the document. */
function referring(schema: unknown): JsonSchema & { $defs?: Record<string, JsonSchema> } {
  const text = JSON.stringify(schema, (key, value) =>
    key === '$ref' && typeof value === 'string' ? value.replace('#/$defs/', '#/components/schemas/') : value,
  );
  return JSON.parse(text);
}
