/** Who changes something, and why: options that all changes of versions have in common. */
import type { JsonObject } from '../adapter/meta.js';
import { encodeMeta } from '../adapter/meta.js';
import { fail, rejectUnknownKeys, requireBoolean } from '../checks.js';
import { requireVersionNumber } from './version-number.js';

export interface ChangeOptions {
  /** Who does it; default: the actor of the AdapterVersions, or nobody. */
  actor?: string;
  /** Why; up to 4096 characters. */
  reason?: string;
}

/** Where a reason must be given. */
export interface ReasonedOptions extends ChangeOptions {
  reason: string;
}

export interface ExpectOptions extends ChangeOptions {
  /**
   * What the caller believes the alias to point to, null for nothing: if it does not, ERR_VERSION_CONFLICT and no change.
   * Default: whatever it is.
   */
  expect?: string | null;
}

export interface ActivateOptions extends ExpectOptions {
  /** Also a version that is not approved; needs a reason. Default: false. */
  override?: boolean;
}

export interface RollbackOptions extends ActivateOptions {
  reason: string;
  /** Default: known-good, else previous. */
  to?: string;
}

export interface ApproveOptions extends ChangeOptions {
  /** What the approval rests on, such as the report of a validation; goes into the audit trail. */
  evidence?: JsonObject;
}

type AllOptions = ActivateOptions & ApproveOptions & { to?: string };

const MAX_TEXT = 4096;
/** What JSON could not tell from another text. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** Throws ERR_INVALID_CONFIG, ERR_INVALID_ARGUMENT. `reasoned`: a reason must be there. */
export function requireChangeOptions(options: AllOptions, known: readonly string[], reasoned = false): void {
  if (typeof options !== 'object' || options === null) {
    fail('ERR_INVALID_ARGUMENT', 'options', options, reasoned ? 'an object with a reason' : 'an object');
  }
  rejectUnknownKeys('options', options, ['actor', 'reason', ...known]);
  const { actor, reason, expect, override = false, evidence, to } = options;
  if (actor !== undefined) requireText('options.actor', actor);
  if (reason !== undefined || reasoned) requireText('options.reason', reason);
  if (expect !== undefined && expect !== null) requireVersionNumber('options.expect', expect);
  if (requireBoolean('options.override', override)) requireText('options.reason (of an override)', reason);
  if (evidence !== undefined) encodeMeta('options.evidence', evidence);
  if (to !== undefined) requireVersionNumber('options.to', to);
}

/** Text that says something. Throws ERR_INVALID_ARGUMENT. */
export function requireText(name: string, value: unknown): string {
  if (typeof value !== 'string' || value.trim() === '' || value.length > MAX_TEXT || LONE_SURROGATE.test(value)) {
    fail('ERR_INVALID_ARGUMENT', name, value, `text of 1 to ${MAX_TEXT} characters`);
  }
  return value;
}
