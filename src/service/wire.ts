/**
 * The types of this service as JSON, for who writes and who reads it: keys with underscores, dates as ISO 8601 in UTC, what is
 * undefined left out. Keys of free maps are data, and stay as they are.
 */

/** What stands under these is not ours to rename. */
const FREE: ReadonlySet<string> = new Set([
  'auditContext',
  'byIntent',
  'byProject',
  'byType',
  'checkpoint',
  'dropReasons',
  'feedbackDistribution',
  'intentDistribution',
  'metrics',
  'projectDistribution',
  'training',
  'validationMetrics',
]);

export const toSnake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const toCamel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

/** { knownGood: 'v1.2' } → { known_good: 'v1.2' } */
export function toWire(value: unknown): unknown {
  if (value instanceof Date) return value.toISOString();
  return renamed(value, toSnake, (name) => FREE.has(name), toWire);
}

/** { known_good: 'v1.2' } → { knownGood: 'v1.2' }; dates stay text. */
export function fromWire(value: unknown): unknown {
  return renamed(value, toCamel, (name) => FREE.has(toCamel(name)), fromWire);
}

function renamed(
  value: unknown,
  rename: (name: string) => string,
  isFree: (name: string) => boolean,
  convert: (value: unknown) => unknown,
): unknown {
  if (Array.isArray(value)) return value.map(convert);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined);
  return Object.fromEntries(entries.map(([name, inner]) => [rename(name), isFree(name) ? inner : convert(inner)]));
}
