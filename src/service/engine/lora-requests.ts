/** What callers may say when they change what is served. */
import { fail, rejectUnknownKeys, requireBoolean } from '../../checks.js';
import { requireText } from '../../versions/change-options.js';
import { requireVersionNumber } from '../../versions/version-number.js';
import type { Caller, LoraRequest, QuarantineRequest } from './operations.js';

/** As AdapterVersions takes it. */
export interface AuditedRequest {
  /** A version or an alias. */
  version: string | undefined;
  options: { actor: string; reason: string; override?: boolean; expect?: string | null };
}

const DEFAULT_REASON = 'manual_operation';

/** Throws ERR_INVALID_ARGUMENT, ERR_INVALID_CONFIG. `named`: a version must be given. */
export function requireLoraRequest(request: LoraRequest, caller: Caller, { named = false } = {}): AuditedRequest {
  if (typeof request !== 'object' || request === null) fail('ERR_INVALID_ARGUMENT', 'request', request, 'an object');
  rejectUnknownKeys('request', request, ['adapterVersion', 'reason', 'override', 'expect']);
  const { adapterVersion: version, reason, override = false, expect } = request;
  if (named || version !== undefined) requireVersion(version);
  if (reason !== undefined) requireText('request.reason', reason);
  if (requireBoolean('request.override', override) && reason === undefined) {
    fail('ERR_INVALID_ARGUMENT', 'request.reason', reason, 'the reason of the override');
  }
  if (expect !== undefined && expect !== null) requireVersionNumber('request.expect', expect);
  return {
    version,
    options: {
      actor: requireText('caller.name', caller?.name),
      reason: reason ?? DEFAULT_REASON,
      ...(override && { override }),
      ...(expect !== undefined && { expect }),
    },
  };
}

/** Throws ERR_INVALID_ARGUMENT, ERR_INVALID_CONFIG. */
export function requireQuarantineRequest(
  request: QuarantineRequest,
  caller: Caller,
): { version: string; actor: string; reason: string } {
  if (typeof request !== 'object' || request === null) fail('ERR_INVALID_ARGUMENT', 'request', request, 'an object');
  rejectUnknownKeys('request', request, ['adapterVersion', 'reason']);
  return {
    version: requireVersion(request.adapterVersion),
    actor: requireText('caller.name', caller?.name),
    reason: requireText('request.reason', request.reason),
  };
}

function requireVersion(version: unknown): string {
  const ok = typeof version === 'string' && version !== '';
  if (!ok) fail('ERR_INVALID_ARGUMENT', 'request.adapterVersion', version, 'a version or an alias');
  return version;
}
