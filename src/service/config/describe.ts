/** A configuration for people to read. */
import { ALL_KEYS } from './keys.js';
import type { ConfigSource, LoadedConfig } from './load.js';
import { REDACTED } from './secret.js';

export interface DescribedKey {
  path: string;
  /** As JSON has it; a secret is `[redacted]`, and what is unset is null. */
  value: unknown;
  source: ConfigSource;
  /** The environment variable that would set it. */
  variable: string;
}

/** Every key with its value and where that came from, in the order of the documentation, without secrets. */
export function describeConfig({ config, sources }: LoadedConfig): DescribedKey[] {
  return ALL_KEYS.map(({ path, variable, secret }) => {
    const value = path.split('.').reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], config);
    const empty = value === undefined || (Array.isArray(value) && value.length === 0);
    const shown = secret && !empty ? REDACTED : (value ?? null);
    return { path, value: shown, source: sources.get(path) as ConfigSource, variable };
  });
}
