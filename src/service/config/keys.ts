/** The table of all configuration keys: the loader, the rendering and docs/configuration.md follow from it. */
import type { ConfigKey } from './kinds.js';
import { LEARNING_KEYS } from './learning-keys.js';
import { SERVICE_KEYS } from './service-keys.js';

const { service, ...surroundings } = SERVICE_KEYS;
export const CONFIG_KEYS = { service, ...LEARNING_KEYS, ...surroundings };

type Values<T> = T extends ConfigKey<infer V> ? V : { readonly [K in keyof T]: Values<T[K]> };

/** What the service runs with: every key has its value, `undefined` where it is unset. */
export type ServiceConfig = Values<typeof CONFIG_KEYS>;

/** A table within the table, or a key. */
export type KeyTree = { readonly [name: string]: KeyTree | ConfigKey };

export interface NamedKey extends ConfigKey {
  /** Such as service.port. */
  path: string;
  variable: string;
}

export function isKey(node: KeyTree | ConfigKey): node is ConfigKey {
  return typeof (node as ConfigKey).parse === 'function';
}

/** Every key, in the order of the table. */
export const ALL_KEYS: readonly NamedKey[] = [...walk(CONFIG_KEYS as unknown as KeyTree, [])];

function* walk(tree: KeyTree, parents: readonly string[]): Generator<NamedKey> {
  for (const [name, node] of Object.entries(tree)) {
    const parts = [...parents, name];
    if (isKey(node)) yield { ...node, path: parts.join('.'), variable: node.variable ?? variableOf(parts) };
    else yield* walk(node, parts);
  }
}

/** training.likedWeight → LORAKEET_TRAINING_LIKED_WEIGHT; of the service itself: LEARNING_ENGINE_PORT. */
function variableOf([section, ...names]: readonly string[]): string {
  const first = section === 'service' ? 'LEARNING_ENGINE' : `LORAKEET_${section}`;
  return [first, ...names.map((name) => name.replace(/[A-Z]/g, '_$&'))].join('_').toUpperCase();
}
