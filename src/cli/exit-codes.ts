/** How the program ends. docs/cli.md has the same table; a test compares. */
import { LorakeetError, type LorakeetErrorCode } from '../errors.js';
import { ServiceAnswerError } from '../service/client/transport.js';

export const EXIT_CODES = {
  ok: [0, 'What was asked for is done.'],
  failed: [
    1,
    'It failed, or the verdict is negative: a gate that does not approve, a job that failed, rejected lines.',
  ],
  usage: [2, 'The command, an option, a value or the configuration is wrong.'],
  unreachable: [3, 'The service, or what it needs, cannot be reached, is busy, or did not answer in time.'],
  refused: [4, 'The token is missing, unknown, or may not do this.'],
  conflict: [5, 'It does not fit what is true now: not approved, quarantined, taken, disabled.'],
  notFound: [6, 'There is no such version or job.'],
  interrupted: [130, 'Interrupted (Ctrl-C); 143 for SIGTERM.'],
} as const satisfies Record<string, readonly [number, string]>;

export const exitCode = (name: keyof typeof EXIT_CODES): number => EXIT_CODES[name][0];

const BY_STATUS: Readonly<Record<number, keyof typeof EXIT_CODES>> = {
  400: 'usage',
  401: 'refused',
  403: 'refused',
  404: 'notFound',
  405: 'usage',
  408: 'unreachable',
  409: 'conflict',
  413: 'usage',
  415: 'usage',
  422: 'usage',
  429: 'unreachable',
  503: 'unreachable',
  504: 'unreachable',
};

/** Of errors that no service has answered with. */
const BY_CODE: Partial<Record<LorakeetErrorCode, keyof typeof EXIT_CODES>> = {
  ERR_INVALID_ARGUMENT: 'usage',
  ERR_INVALID_CONFIG: 'usage',
  ERR_OUT_OF_RANGE: 'usage',
  ERR_LENGTH_MISMATCH: 'usage',
  ERR_PATH_NOT_ALLOWED: 'usage',
  ERR_SERVICE_UNAVAILABLE: 'unreachable',
  ERR_VERSION_NOT_FOUND: 'notFound',
  ERR_JOB_NOT_FOUND: 'notFound',
  ERR_VERSION_CONFLICT: 'conflict',
  ERR_VERSION_QUARANTINED: 'conflict',
  ERR_VERSION_UNAPPROVED: 'conflict',
  ERR_ADAPTER_DISABLED: 'conflict',
  ERR_ABORTED: 'interrupted',
};

export function exitCodeOf(error: unknown): number {
  if (!(error instanceof LorakeetError)) return exitCode('failed');
  const status = error.cause instanceof ServiceAnswerError ? BY_STATUS[error.cause.status] : undefined;
  return exitCode(status ?? BY_CODE[error.code] ?? 'failed');
}
