/** The identity of an adapter: a UUID. */
import { randomUUID } from 'node:crypto';
import { none, type Option, some } from './option.js';

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** The text itself, in lower case, so that equal ids are equal values. */
export type AdapterId = string & { readonly __adapterId: never };

/** One that no adapter has. */
export function newAdapterId(): AdapterId {
  return randomUUID() as AdapterId;
}

/** None where the text is no UUID. */
export function parseAdapterId(text: string): Option<AdapterId> {
  return typeof text === 'string' && UUID.test(text) ? some(text.toLowerCase() as AdapterId) : none();
}
