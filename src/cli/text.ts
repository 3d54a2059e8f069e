/** Values as lines for people. */

/** What it is called, and what it is. */
export type Field = readonly [name: string, value: unknown];

/** Names on the left, values in one column; what is undefined is left out. */
export function fields(list: readonly Field[]): string[] {
  const shown = list.filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...shown.map(([name]) => name.length));
  return shown.map(([name, value]) => `${name.padEnd(width)}  ${cell(value)}`);
}

/** Columns as wide as their longest cell, numbers to the right; `none` where there are no rows. */
export function table(columns: readonly string[], rows: readonly (readonly unknown[])[], none: string): string[] {
  if (rows.length === 0) return [none];
  const cells = rows.map((row) => row.map(cell));
  const widths = columns.map((name, i) => Math.max(name.length, ...cells.map((row) => row[i].length)));
  const isNumeric = columns.map((_, i) => rows.every((row) => typeof row[i] === 'number'));
  const line = (row: readonly string[]) =>
    row
      .map((text, i) => (isNumeric[i] ? text.padStart(widths[i]) : text.padEnd(widths[i])))
      .join('  ')
      .trimEnd();
  return [line(columns), ...cells.map(line)];
}

function cell(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (value instanceof Date) return value.toISOString();
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value)) return value.length === 0 ? '-' : value.map(cell).join(', ');
  return oneLine(String(value));
}

/** Text from elsewhere must not move the cursor or fake lines. */
export function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  return text.replace(/\s*\n\s*/g, '; ').replace(/[\u0000-\u001f\u007f-\u009f]/g, ' ');
}

/** Four decimal places, as losses and rates have them. */
export const decimal = (value: number | undefined): string | undefined =>
  value === undefined ? undefined : value.toFixed(4);

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];

export function bytes(size: number): string {
  const step = Math.min(UNITS.length - 1, Math.floor(Math.log2(Math.max(size, 1)) / 10));
  return step === 0 ? `${size} B` : `${(size / 1024 ** step).toFixed(1)} ${UNITS[step]}`;
}

/** 1 row, 2 rows */
export const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;
