/** Checks what came over the wire against its schema, and says which field is wrong. */
import type { z } from 'zod';
import { HttpProblem } from './problems.js';

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** A function that checks values of `part` (body, query, path); it throws ERR_INVALID_REQUEST. */
export function checkerOf(part: string, schema: z.ZodType): (value: unknown) => unknown {
  return (value) => {
    const parsed = schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const { path, message } = firstProblem(parsed.error.issues);
    const field = nameOf(path) || part;
    throw new HttpProblem('ERR_INVALID_REQUEST', `${field}: ${message}`, { field });
  };
}

function firstProblem(issues: readonly Issue[], above: Path = []): { path: Path; message: string } {
  const issue = issues[0];
  const path = [...above, ...issue.path];
  if (issue.code === 'unrecognized_keys') return { path: [...path, issue.keys[0]], message: 'no such field' };
  if (issue.code === 'invalid_union' && issue.errors.length > 0) {
    const branch = closestBranch(issue.errors);
    if (depthOf(branch) > 0) return firstProblem(branch, path);
  }
  if (issue.code === 'invalid_key') return { path, message: 'Invalid name of a field' };
  return { path, message: issue.message };
}

/** Of the forms that a value may have, the one it was most likely meant to have: right in its depths, or wrong in few ways. */
function closestBranch(branches: readonly Issue[][]): Issue[] {
  return branches.reduce((best, branch) => {
    const deeper = depthOf(branch) - depthOf(best);
    return deeper > 0 || (deeper === 0 && branch.length < best.length) ? branch : best;
  });
}

const depthOf = (issues: readonly Issue[]) =>
  Math.max(...issues.map((issue) => issue.path.length + (issue.code === 'unrecognized_keys' ? 1 : 0)));

/** feedback[2].request_data */
function nameOf(path: Path): string {
  return path.reduce<string>((name, key) => {
    if (typeof key === 'number') return `${name}[${key}]`;
    const text = String(key).slice(0, 100);
    return name === '' ? text : `${name}.${text}`;
  }, '');
}
