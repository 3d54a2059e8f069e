/** What is true of an adapter at a moment: its versions, its aliases, its kill switch. */
import type { JsonObject } from '../adapter/meta.js';
import { DocumentReader, encodeDocument, hasShape, isFlag, isText, isTime } from './document.js';
import { compareVersions, isVersionNumber } from './version-number.js';
import { isSha256 } from './version-store.js';

export interface VersionEntry {
  /** SHA-256 of the manifest. */
  readonly manifest: string;
  /** ISO 8601, UTC; as the manifest has it. */
  readonly createdAt: string;
  /** What its publisher gave for publishing it only once. */
  readonly key?: string;
  approved: boolean;
  quarantined: boolean;
}

export interface Head {
  adapter: string;
  /** Changes so far. */
  sequence: number;
  /** SHA-256 of the last change; null where there was none. */
  change: string | null;
  /** The kill switch. */
  disabled: boolean;
  /** The highest number ever given, also to a version that has been deleted since. */
  highest: string | null;
  versions: Map<string, VersionEntry>;
  aliases: Map<string, string>;
}

/** Aliases with rules of their own; rules.ts moves them. */
export const ACTIVE = 'active';
export const PREVIOUS = 'previous';
export const KNOWN_GOOD = 'known-good';

const ALIAS = /^[a-z][a-z0-9._-]{0,63}$/;
const ALIAS_FORM = 'a to z first, then up to 63 of a to z, 0 to 9, ".", "_", "-", and no version number';

export function emptyHead(adapter: string): Head {
  const nothing = { sequence: 0, change: null, disabled: false, highest: null };
  return { adapter, ...nothing, versions: new Map(), aliases: new Map() };
}

/** One that can be changed without changing `head`. */
export function copyHead(head: Head): Head {
  const versions = new Map([...head.versions].map(([version, entry]) => [version, { ...entry }]));
  return { ...head, versions, aliases: new Map(head.aliases) };
}

/** Throws ERR_INVALID_ARGUMENT if it takes more than a MiB, which is some 6,300 versions. */
export function encodeHead(head: Head): Uint8Array {
  const { adapter, sequence, change, disabled, highest } = head;
  const versions = Object.fromEntries([...head.versions].map(([version, entry]) => [version, { ...entry }]));
  const aliases = Object.fromEntries(head.aliases);
  return encodeDocument(`the head of ${adapter}`, { adapter, sequence, change, disabled, highest, versions, aliases });
}

/** Throws ERR_STORE_FAILURE unless `bytes` are a head of that adapter that keeps every rule. */
export function decodeHead(bytes: Uint8Array, adapter: string): Head {
  const reader = new DocumentReader(`the head of ${adapter}`, bytes);
  const head: Head = {
    adapter: reader.take('adapter', JSON.stringify(adapter), (value): value is string => value === adapter),
    sequence: reader.count('sequence'),
    change: reader.take('change', 'a SHA-256', isSha256),
    disabled: reader.flag('disabled'),
    highest: reader.optional('highest', 'a version number', isVersionNumber),
    versions: new Map(Object.entries(reader.object('versions') as unknown as Record<string, VersionEntry>)),
    aliases: new Map(Object.entries(reader.object('aliases') as Record<string, string>)),
  };
  reader.end();
  const { highest, versions, aliases } = head;
  for (const [version, entry] of versions) {
    const numbered = isVersionNumber(version) && highest !== null && compareVersions(version, highest) <= 0;
    if (!numbered || !isEntry(entry)) reader.refuse(`versions.${version}`, entry, `a version up to ${highest}`);
  }
  const keys = [...versions.values()].flatMap(({ key }) => key ?? []);
  if (new Set(keys).size < keys.length) reader.refuse('versions', keys, 'keys of which each is there once');
  for (const [alias, version] of aliases) {
    const entry = versions.get(version);
    const expected = 'an alias of a version that is there and not quarantined';
    if (!isAlias(alias) || !entry || entry.quarantined) reader.refuse(`aliases.${alias}`, version, expected);
  }
  if (head.disabled && aliases.has(ACTIVE)) reader.refuse('aliases.active', aliases.get(ACTIVE), 'none while disabled');
  return head;
}

export function isAlias(value: unknown): value is string {
  return typeof value === 'string' && ALIAS.test(value) && !isVersionNumber(value);
}

export { ALIAS_FORM };

function isEntry(entry: unknown): boolean {
  const shape = { manifest: isSha256, createdAt: isTime, approved: isFlag, quarantined: isFlag };
  const keyed = typeof entry === 'object' && entry !== null && Object.hasOwn(entry, 'key');
  return hasShape(entry as JsonObject, keyed ? { ...shape, key: isText } : shape);
}
