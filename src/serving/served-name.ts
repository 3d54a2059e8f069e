/** One name for each version of an adapter, for servers that know adapters by one name only. */
import { isVersionNumber } from '../versions/version-number.js';

export function servedName(name: string, version: string): string {
  return `${name}@${version}`;
}

/** The version of `name` that is served under this name; undefined: it is another adapter's. */
export function versionServed(name: string, served: string): string | undefined {
  if (!served.startsWith(`${name}@`)) return undefined;
  const version = served.slice(name.length + 1);
  return isVersionNumber(version) ? version : undefined;
}
