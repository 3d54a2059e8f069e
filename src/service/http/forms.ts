/** The forms that single fields of requests and answers have. */
import { z } from 'zod';
import type { Json } from '../jobs/job.js';

/** What the OpenAPI document says of schemas: names of components, descriptions. */
export const DESCRIPTIONS = z.registry<{ id?: string; description?: string }>();

/** A component of the document. */
export function named<T extends z.ZodType>(id: string, schema: T): T {
  DESCRIPTIONS.add(schema, { id });
  return schema;
}

export function about<T extends z.ZodType>(description: string, schema: T): T {
  const own = schema.clone() as T;
  DESCRIPTIONS.add(own, { description });
  return own;
}

const MAX_DEPTH = 32;
const MAX_NAME = 200;
const MAX_TEXT = 2 ** 20;

/** Half a character has no UTF-8, and Postgres takes no NUL. */
const isText = (value: string) => !/[\0\p{Surrogate}]/u.test(value);
const CHARACTERS = 'Invalid text: expected well-formed Unicode without NUL';

export const text = z.string().max(MAX_TEXT).refine(isText, CHARACTERS);
export const nonEmptyText = z.string().min(1).max(MAX_TEXT).refine(isText, CHARACTERS);

/** A name, a reason, a path: what is not blank. */
export const name = z
  .string()
  .min(1)
  .max(MAX_NAME)
  .refine(isText, CHARACTERS)
  .refine((value) => value.trim() !== '', 'Invalid text: expected more than white space');

export const path = z
  .string()
  .min(1)
  .max(4096)
  .refine((value) => isText(value) && value.trim() !== '', 'Invalid path');

export const count = z.int().min(0);

/** Of answers: a Date is written so. */
export const instant = z.iso.datetime();

/** JSON that is data: at most 32 levels, in whatever form. */
export const freeForm = z
  .record(z.string(), z.unknown() as unknown as z.ZodType<Json>)
  .superRefine((value, context) => {
    const problem = findProblem(value);
    if (problem) context.addIssue({ code: 'custom', message: problem });
  });

function findProblem(value: unknown): string | undefined {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > MAX_DEPTH) return `Too deep: expected at most ${MAX_DEPTH} levels`;
    const below: unknown[] = [];
    for (const one of level) {
      if (typeof one === 'string' && !isText(one)) return CHARACTERS;
      // 1e999 is read as infinity
      if (typeof one === 'number' && !Number.isFinite(one)) return 'Invalid number: expected a finite one';
      if (typeof one !== 'object' || one === null) continue;
      for (const [key, inner] of Object.entries(one)) {
        if (!isText(key)) return CHARACTERS;
        below.push(inner);
      }
    }
    level = below;
  }
  return undefined;
}

/** A parameter of a query, which is text. */
export const integerParameter = (min: number, max: number) => z.coerce.number().int().min(min).max(max);
