/** Overrides, environment, file and defaults → one checked configuration. */
import { parseDocument } from 'yaml';
import { isJsonObject } from '../../adapter/formats/strict-json.js';
import { describe } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import { readSmallFile } from '../../files/random-access.js';
import { ALL_KEYS, CONFIG_KEYS, isKey, type KeyTree, type NamedKey, type ServiceConfig } from './keys.js';
import { findContradictions } from './rules.js';
import { REDACTED } from './secret.js';

/** What a value of a key comes from; the first that has one wins. */
export type ConfigSource = 'override' | 'environment' | 'file' | 'default';

export interface LoadConfigOptions {
  /** A YAML (or JSON) file. Default: the one that the variable LORAKEET_CONFIG names, else none. */
  file?: string;
  /** Default: process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /** Values by path, such as { 'service.port': 0 }, before everything else. */
  overrides?: Readonly<Record<string, unknown>>;
}

export interface LoadedConfig {
  config: ServiceConfig;
  /** By path. */
  sources: ReadonlyMap<string, ConfigSource>;
}

interface Given {
  value: unknown;
  source: Exclude<ConfigSource, 'default'>;
  /** For messages. */
  from: string;
}

export const CONFIG_FILE_VARIABLE = 'LORAKEET_CONFIG';
const MAX_FILE_BYTES = 2 ** 20;
/** Kubernetes puts such variables of every service into every container, also of one that is called lorakeet-model. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT|PORT)(_\w+)?$/;

/**
 * The configuration, checked as a whole. Relative paths in it are relative to the working directory. Rejects with
 * ERR_INVALID_CONFIG, whose message names every key that is unknown, out of its range or in contradiction to another, never
 * with a secret in it; and ERR_FILE_ACCESS for a file that cannot be read.
 */
export async function loadConfig(options: LoadConfigOptions = {}): Promise<LoadedConfig> {
  const { env = process.env, overrides = {} } = options;
  const file = options.file ?? (env[CONFIG_FILE_VARIABLE] || undefined);
  const problems: string[] = [];
  const given = new Map<string, Given>();
  if (file !== undefined) {
    collect(await readYaml(file), CONFIG_KEYS as unknown as KeyTree, [], (path, value) => {
      if (value === UNKNOWN) problems.push(`${path} (in ${file}): no such key`);
      else given.set(path, { value, source: 'file', from: `in ${file}` });
    });
  }
  collectEnvironment(env, given, problems);
  for (const [path, value] of Object.entries(overrides)) {
    if (!ALL_KEYS.some((one) => one.path === path)) problems.push(`${path}: no such key`);
    else if (value !== undefined) given.set(path, { value, source: 'override', from: 'override' });
  }

  const config = {};
  const sources = new Map<string, ConfigSource>();
  for (const one of ALL_KEYS) {
    const found = given.get(one.path);
    sources.set(one.path, found?.source ?? 'default');
    const parsed = found ? one.schema.safeParse(found.value) : { success: true, data: one.default };
    if (parsed.success) setAt(config, one.path, parsed.data);
    else problems.push(problemOf(one, found, one.expected));
  }
  if (problems.length === 0) {
    const isSet = (path: string) => sources.get(path) !== 'default';
    for (const { path, expected } of findContradictions(config as ServiceConfig, isSet)) {
      const one = ALL_KEYS.find((candidate) => candidate.path === path) as NamedKey;
      problems.push(problemOf(one, given.get(path), expected));
    }
  }
  if (problems.length > 0) throw new LorakeetError('ERR_INVALID_CONFIG', problems.join('\n'));
  return { config: config as ServiceConfig, sources };
}

function problemOf(key: NamedKey, given: Given | undefined, expected: string): string {
  const from = given ? ` (${given.from})` : '';
  const value = given ? (key.secret ? REDACTED : describe(given.value)) : describe(key.default);
  return `${key.path}${from}: got ${value}, expected ${expected}`;
}

/** An empty file, and a file of comments, are an empty configuration. */
async function readYaml(file: string): Promise<unknown> {
  const bytes = await readSmallFile(file, MAX_FILE_BYTES);
  const refuse = (what: string, cause?: unknown): never => {
    throw new LorakeetError('ERR_INVALID_CONFIG', `${file}: ${what}`, { cause });
  };
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const document = parseDocument(text, { prettyErrors: false });
    // the errors of the package quote the line, which may hold a secret
    for (const { code, pos } of [...document.errors, ...document.warnings]) {
      refuse(`line ${text.slice(0, pos[0]).split('\n').length}: no well-formed YAML (${code})`);
    }
    const value: unknown = document.toJS() ?? {};
    if (!isJsonObject(value)) refuse(`got ${describe(value)}, expected sections with keys`);
    return value;
  } catch (cause) {
    if (cause instanceof LorakeetError) throw cause;
    return refuse(`no YAML in UTF-8 (${(cause as Error).name})`, cause);
  }
}

const UNKNOWN = Symbol('unknown');

/** Keys without a value (null) are not set. */
function collect(
  value: unknown,
  tree: KeyTree,
  parents: readonly string[],
  found: (path: string, value: unknown) => void,
) {
  for (const [name, inner] of Object.entries(value as object)) {
    const parts = [...parents, name];
    const path = parts.join('.');
    const node = Object.hasOwn(tree, name) ? tree[name] : undefined;
    if (node === undefined) found(path, UNKNOWN);
    else if (inner === null) continue;
    else if (isKey(node)) found(path, inner);
    else if (isJsonObject(inner)) collect(inner, node, parts, found);
    else found(path, UNKNOWN);
  }
}

/** An empty variable is not set. */
function collectEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  given: Map<string, Given>,
  problems: string[],
) {
  for (const { path, variable, parse } of ALL_KEYS) {
    const text = env[variable];
    if (text !== undefined && text !== '')
      given.set(path, { value: parse(text), source: 'environment', from: variable });
  }
  const sections = Object.keys(CONFIG_KEYS).map((section) => `LORAKEET_${section.toUpperCase()}_`);
  for (const variable of Object.keys(env)) {
    const ours = sections.some((section) => variable.startsWith(section)) && !SERVICE_LINK.test(variable);
    if (ours && !ALL_KEYS.some((one) => one.variable === variable)) problems.push(`${variable}: no such variable`);
  }
}

function setAt(target: object, path: string, value: unknown): void {
  const names = path.split('.');
  let at = target as Record<string, unknown>;
  for (const name of names.slice(0, -1)) {
    at[name] ??= {};
    at = at[name] as Record<string, unknown>;
  }
  at[names[names.length - 1]] = value;
}
