/**
 * Tests say here what they really covered and what they skipped and why; `npm test` prints it at the end, so that a green
 * run cannot hide that a backend was never tried.
 */
import { appendFileSync } from 'node:fs';

export type CoverageKind = 'backend' | 'instruction set' | 'server' | 'browser';

/** Call once the tests on it have run. */
export function covered(kind: CoverageKind, name: string): void {
  append({ kind, name });
}

/** `reason`: one plain line. */
export function skipped(kind: CoverageKind, name: string, reason: string): void {
  append({ kind, name, reason });
}

/** Whether LORAKEET_REQUIRE lists the name: then a skip is a failure. */
export function isRequired(name: string): boolean {
  return (process.env.LORAKEET_REQUIRE ?? '').split(',').some((listed) => listed.trim() === name);
}

function append(entry: { kind: CoverageKind; name: string; reason?: string }): void {
  // scripts/test.mjs sets the file; a test run by hand has no summary to feed
  const file = process.env.LORAKEET_COVERAGE_FILE;
  if (file) appendFileSync(file, `${JSON.stringify({ ...entry, pool: process.env.LORAKEET_TEST_POOL })}\n`);
}
