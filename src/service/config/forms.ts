/** Forms of text that configuration keys have: addresses, cron expressions, names. */
import { isIPv6 } from 'node:net';
import { isVersionNumber } from '../../versions/version-number.js';
import { textLike } from './kinds.js';

/** Field by field: lowest, highest, names. */
const CRON_FIELDS: readonly [min: number, max: number, names: readonly string[]][] = [
  [0, 59, []],
  [0, 23, []],
  [1, 31, []],
  [1, 12, ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec']],
  [0, 7, ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat']],
];

/** Five fields of *, numbers, names, ranges, lists and steps, as in crontab(5). */
export function isCron(value: string): boolean {
  const fields = value.trim().split(/\s+/);
  return fields.length === CRON_FIELDS.length && fields.every((field, i) => isCronField(field, ...CRON_FIELDS[i]));
}

function isCronField(field: string, min: number, max: number, names: readonly string[]): boolean {
  const numberOf = (value: string) => {
    const index = names.indexOf(value.toLowerCase());
    if (index >= 0) return index + min;
    return /^\d{1,2}$/.test(value) ? Number(value) : NaN;
  };
  return field.split(',').every((part) => {
    const [range, step, ...more] = part.split('/');
    if (more.length > 0 || (step !== undefined && !/^[1-9]\d?$/.test(step))) return false;
    if (range === '*') return true;
    const ends = range.split('-').map(numberOf);
    if (step !== undefined && ends.length !== 2) return false;
    return ends.length <= 2 && ends.every((end) => end >= min && end <= max) && ends[0] <= (ends[1] ?? max);
  });
}

export function isTimeZone(value: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: value });
    return true;
  } catch {
    return false;
  }
}

/** A user and a password in it would be shown. */
function isUrl(value: string): boolean {
  if (!/^https?:\/\//i.test(value) || !URL.canParse(value)) return false;
  const { username, password } = new URL(value);
  return username === '' && password === '';
}

const HOST = /^(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*$/i;
const isHost = (value: string) => HOST.test(value) || isIPv6(value);

/** As MinIO's clients take it: host:port, or a URL. */
function isEndpoint(value: string): boolean {
  if (isUrl(value)) return true;
  const [, name, port] = /^([^:]+)(?::(\d{1,5}))?$/.exec(value) ?? [];
  return name !== undefined && HOST.test(name) && Number(port ?? 1) <= 65535;
}

/** Addresses that only this machine can reach. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);
}

export const cron = textLike('a cron expression of five fields, like 0 2 * * 1', isCron);
export const timeZone = textLike('a time zone, like Europe/Vienna', isTimeZone);
export const url = textLike('an http or https URL without user and password', isUrl);
export const endpoint = textLike('host:port, or an http or https URL without user and password', isEndpoint);
export const host = textLike('a host name or an IP address', isHost);
export const urlPath = textLike('a path that begins with /', /^\/[\w\-./~%]*$/);
export const identifier = textLike('lower-case letters, digits and _, at most 63', /^[a-z_][a-z0-9_]{0,62}$/);
export const tableName = textLike('table or schema.table', /^[A-Za-z_]\w{0,62}(\.[A-Za-z_]\w{0,62})?$/);
export const columnName = textLike('the name of a column', /^[A-Za-z_]\w{0,62}$/);
export const bucket = textLike('a bucket: 3 to 63 of a-z, 0-9, . and -', /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/);
export const pathPart = textLike('a plain name: letters, digits, _, . and -, at most 64', /^\w([\w.-]{0,62}\w)?$/);
export const versionNumber = textLike('a version number, like v1.0', isVersionNumber);
export const prefix = textLike('a prefix of keys like lorakeet/', /^[\w!.*'()/-]{1,512}$/);
