/** The client of @aws-sdk/client-s3, an optional package that is loaded when a store is opened. */
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { fail, rejectUnknownKeys } from '../checks.js';
import { LorakeetError } from '../errors.js';

export interface S3Options {
  /** It must exist. */
  bucket: string;
  /** Put in front of every key, e.g. `lorakeet/`; default ''. */
  prefix?: string;
  /**
   * An own client, which stays open when the store is closed, or settings for one, as @aws-sdk/client-s3 takes them:
   * endpoint, region, credentials. Default: what the SDK finds in the environment. Settings are completed with path-style
   * addresses where there is an endpoint, here or in AWS_ENDPOINT_URL_S3 (MinIO, Ceph), 5 attempts with exponential back-off and jitter, and timeouts of
   * 5 s to connect and 60 s without a byte.
   */
  client?: S3Client | S3ClientConfig;
}

export type Sdk = typeof import('@aws-sdk/client-s3');

export interface OpenedS3Client {
  sdk: Sdk;
  client: S3Client;
  /** Whether it was made here, and is to be closed here. */
  owned: boolean;
}

const DEFAULTS: S3ClientConfig = {
  maxAttempts: 5,
  retryMode: 'standard',
  // the SDK's requestTimeout only warns, and its time includes the transfer of large bodies
  requestHandler: { connectionTimeout: 5000, socketTimeout: 60_000 },
  // the checksum is given with each put; others than it are not known to every server
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
};

/** Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package is not installed. */
export async function openS3Client(options: S3Options): Promise<OpenedS3Client> {
  rejectUnknownKeys('options', options, ['bucket', 'prefix', 'client']);
  const { bucket, prefix = '', client: given = {} } = options;
  if (typeof bucket !== 'string' || bucket === '') fail('ERR_INVALID_CONFIG', 'options.bucket', bucket, 'a name');
  if (typeof prefix !== 'string') fail('ERR_INVALID_CONFIG', 'options.prefix', prefix, 'a string');
  const sdk = await loadSdk();
  if (isClient(given)) return { sdk, client: given, owned: false };
  const endpoint = given.endpoint ?? process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  const client = new sdk.S3Client({ ...DEFAULTS, forcePathStyle: !!endpoint, ...given });
  return { sdk, client, owned: true };
}

/** What a failure of the SDK becomes. */
export function unavailable(what: string, cause: unknown): LorakeetError {
  const { name, message, $metadata } = cause as { name?: string; message?: string; $metadata?: { attempts?: number } };
  const attempts = $metadata?.attempts ? ` after ${$metadata.attempts} attempt(s)` : '';
  return new LorakeetError('ERR_STORE_UNAVAILABLE', `${what}: ${name}${attempts}: ${message}`, { cause });
}

async function loadSdk(): Promise<Sdk> {
  try {
    return await import('@aws-sdk/client-s3');
  } catch (cause) {
    const advice = 'npm install @aws-sdk/client-s3';
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', `S3 needs a package that is not installed: ${advice}`, { cause });
  }
}

function isClient(value: S3Client | S3ClientConfig): value is S3Client {
  return typeof (value as S3Client).send === 'function';
}
