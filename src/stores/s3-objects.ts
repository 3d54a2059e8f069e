/**
 * Objects in a bucket of S3, MinIO or Ceph: single puts, conditional where asked for, and reads that are checked against the
 * SHA-256 that was written with them.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { PutObjectCommandInput, S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
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
   * addresses where there is an endpoint (MinIO, Ceph), 5 attempts with exponential back-off and jitter, and timeouts of
   * 5 s to connect and 60 s for an answer.
   */
  client?: S3Client | S3ClientConfig;
}

export interface S3Object {
  bytes: Uint8Array;
  /** Changes with every write; for replace. */
  etag: string;
}

type Sdk = typeof import('@aws-sdk/client-s3');

const SHA256 = 'sha256';
/** Says which call wrote an object: only so can a repeated request tell its own success from another's. */
const WRITE_ID = 'write-id';
/** How often an answer that does not match its checksum is asked for again. */
const READ_ATTEMPTS = 3;

export class S3Objects {
  readonly #sdk: Sdk;
  readonly #client: S3Client;
  readonly #owned: boolean;
  readonly #bucket: string;
  readonly #prefix: string;

  private constructor(sdk: Sdk, client: S3Client, owned: boolean, bucket: string, prefix: string) {
    this.#sdk = sdk;
    this.#client = client;
    this.#owned = owned;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /**
   * Rejects with ERR_INVALID_CONFIG, and ERR_STORE_UNAVAILABLE where the package @aws-sdk/client-s3 is not installed or the
   * bucket cannot be reached.
   */
  static async open(options: S3Options): Promise<S3Objects> {
    rejectUnknownKeys('options', options, ['bucket', 'prefix', 'client']);
    const { bucket, prefix = '', client: given = {} } = options;
    if (typeof bucket !== 'string' || bucket === '') fail('ERR_INVALID_CONFIG', 'options.bucket', bucket, 'a name');
    if (typeof prefix !== 'string') fail('ERR_INVALID_CONFIG', 'options.prefix', prefix, 'a string');
    const sdk = await loadSdk();
    const owned = !isClient(given);
    const client = owned ? new sdk.S3Client({ ...DEFAULTS, forcePathStyle: !!given.endpoint, ...given }) : given;
    const objects = new S3Objects(sdk, client, owned, bucket, prefix);
    try {
      await client.send(new sdk.HeadBucketCommand({ Bucket: bucket }));
    } catch (cause) {
      objects.close();
      throw unavailable(`bucket ${bucket}`, cause);
    }
    return objects;
  }

  /** The object, or undefined. Rejects with ERR_STORE_FAILURE if its bytes are not those that were written. */
  async get(key: string): Promise<S3Object | undefined> {
    const request = { Bucket: this.#bucket, Key: this.#prefix + key };
    for (let attempt = 1; ; attempt++) {
      try {
        const { Body, ETag, Metadata } = await this.#client.send(new this.#sdk.GetObjectCommand(request));
        const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array(0);
        if (sha256Of(bytes).toString('hex') === Metadata?.[SHA256] && ETag) return { bytes, etag: ETag };
      } catch (cause) {
        if ((cause as Error).name === 'NoSuchKey') return undefined;
        throw unavailable(`get ${request.Key}`, cause);
      }
      if (attempt === READ_ATTEMPTS) {
        const what = `${request.Key}: its bytes do not match the sha256 that lorakeet wrote with them`;
        throw new LorakeetError('ERR_STORE_FAILURE', what);
      }
    }
  }

  /** Writes the object, over whatever is there, and gives its etag. */
  async put(key: string, bytes: Uint8Array): Promise<string> {
    return (await this.#write(key, bytes, {})) as string;
  }

  /** Writes the object unless there is one: its etag, or undefined. Of any number at once exactly one succeeds. */
  async create(key: string, bytes: Uint8Array): Promise<string | undefined> {
    return this.#write(key, bytes, { IfNoneMatch: '*' });
  }

  /** Writes the object if the one there is still that of `etag`: the new etag, or undefined. */
  async replace(key: string, bytes: Uint8Array, etag: string): Promise<string | undefined> {
    // without the quotes of HTTP, which older Ceph takes for part of the etag; S3 and MinIO take either
    return this.#write(key, bytes, { IfMatch: etag.replaceAll('"', '') });
  }

  /** Removes the object; one that is not there does no harm. */
  async delete(key: string): Promise<void> {
    const request = { Bucket: this.#bucket, Key: this.#prefix + key };
    try {
      await this.#client.send(new this.#sdk.DeleteObjectCommand(request));
    } catch (cause) {
      throw unavailable(`delete ${request.Key}`, cause);
    }
  }

  /** Closes the connections of a client that was made here. */
  close(): void {
    if (this.#owned) this.#client.destroy();
  }

  /** In one request: the conditions of multipart uploads are not kept everywhere. */
  async #write(
    key: string,
    bytes: Uint8Array,
    condition: Pick<PutObjectCommandInput, 'IfMatch' | 'IfNoneMatch'>,
  ): Promise<string | undefined> {
    const digest = sha256Of(bytes);
    const writeId = randomUUID();
    const place = { Bucket: this.#bucket, Key: this.#prefix + key };
    const request = {
      ...place,
      ...condition,
      Body: bytes,
      ChecksumSHA256: digest.toString('base64'),
      Metadata: { [SHA256]: digest.toString('hex'), [WRITE_ID]: writeId },
    };
    try {
      const { ETag } = await this.#client.send(new this.#sdk.PutObjectCommand(request));
      if (ETag) return ETag;
    } catch (cause) {
      if (!isConflict(cause)) throw unavailable(`put ${place.Key}`, cause);
      // a first attempt may have succeeded with its answer lost: then the second one meets the object of the first
      return this.#etagOfWrite(place, writeId);
    }
    throw new LorakeetError('ERR_STORE_FAILURE', `put ${place.Key}: the answer has no etag`);
  }

  async #etagOfWrite(place: { Bucket: string; Key: string }, writeId: string): Promise<string | undefined> {
    try {
      const { ETag, Metadata } = await this.#client.send(new this.#sdk.HeadObjectCommand(place));
      return Metadata?.[WRITE_ID] === writeId ? ETag : undefined;
    } catch (cause) {
      if ((cause as Error).name === 'NotFound') return undefined;
      throw unavailable(`head ${place.Key}`, cause);
    }
  }
}

const DEFAULTS: S3ClientConfig = {
  maxAttempts: 5,
  retryMode: 'standard',
  requestHandler: { connectionTimeout: 5000, requestTimeout: 60_000 },
  // the checksum is given with each put; others than it are not known to every server
  requestChecksumCalculation: 'WHEN_REQUIRED',
  responseChecksumValidation: 'WHEN_REQUIRED',
};

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

/** 412: the condition does not hold. 409: another conditional write of the same object was under way. 404: replaced none. */
function isConflict(cause: unknown): boolean {
  const { name, $metadata } = cause as { name?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode ?? 0;
  return name === 'PreconditionFailed' || name === 'NoSuchKey' || status === 412 || status === 409;
}

function unavailable(what: string, cause: unknown): LorakeetError {
  const { name, message, $metadata } = cause as { name?: string; message?: string; $metadata?: { attempts?: number } };
  const attempts = $metadata?.attempts ? ` after ${$metadata.attempts} attempt(s)` : '';
  return new LorakeetError('ERR_STORE_UNAVAILABLE', `${what}: ${name}${attempts}: ${message}`, { cause });
}

function sha256Of(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
