/** Version numbers: v1.0, v1.1, …, v1.9, v1.10, …, ordered as numbers. */
import { fail } from '../checks.js';

const FORM = /^v(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})$/;
export const FIRST_VERSION = 'v1.0';

export function isVersionNumber(value: unknown): value is string {
  return typeof value === 'string' && FORM.test(value);
}

/** Throws ERR_INVALID_ARGUMENT. */
export function requireVersionNumber(name: string, value: unknown): string {
  if (!isVersionNumber(value)) fail('ERR_INVALID_ARGUMENT', name, value, 'a version number like v1.10');
  return value;
}

/** For sorting: negative where `a` is the lower one. */
export function compareVersions(a: string, b: string): number {
  const [one, other] = [partsOf(a), partsOf(b)];
  return one[0] - other[0] || one[1] - other[1];
}

/** The number after the highest ever given, `highest`; v1.0 where there was none. */
export function nextVersion(highest: string | null, major = false): string {
  if (highest === null) return FIRST_VERSION;
  const [first, second] = partsOf(highest);
  return major ? `v${first + 1}.0` : `v${first}.${second + 1}`;
}

function partsOf(version: string): [number, number] {
  const [, major, minor] = FORM.exec(version) as RegExpExecArray;
  return [Number(major), Number(minor)];
}
