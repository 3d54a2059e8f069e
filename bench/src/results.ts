/** One run as a record, added to bench/results. */
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { FacadeRow } from './facade-suite.js';
import type { KernelRow } from './kernel-suite.js';
import type { Machine } from './machine.js';
import type { Ceilings } from './model.js';
import type { Comparison } from './peers/comparison.js';
import type { Scale } from './scale/scale.js';

export interface RunRecord {
  /** ISO 8601, start of the run. */
  date: string;
  /** HEAD at that time; local changes are not seen. */
  commit: string;
  command: string;
  machine: Machine;
  /** null with a reason where they could not be measured. */
  ceilings: Ceilings | null;
  ceilingsMissing?: string;
  rows: KernelRow[];
  facade: FacadeRow[];
  /** With the whole kernels suite. */
  scale?: Scale;
  /** With --peers. */
  comparison?: Comparison;
}

/** Appends the run as one line. Figures are rounded to what can be meant. */
export function appendRecord(file: string, record: object): void {
  mkdirSync(dirname(file), { recursive: true });
  appendFileSync(file, `${JSON.stringify(record, rounded)}\n`);
}

export function writeRecord(file: string, record: RunRecord): void {
  writeFileSync(file, `${JSON.stringify(record, rounded, 2)}\n`);
}

function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value;
}
