/**
 * Objects in a bucket of S3, MinIO or Ceph: single puts, conditional where asked for, and reads that are checked against the
 * SHA-256 that was written with them. A key is a path below the prefix; one that might lead out of it is refused with
 * ERR_PATH_NOT_ALLOWED.
 */
import { createHash, randomUUID } from 'node:crypto';
import type { PutObjectCommandInput } from '@aws-sdk/client-s3';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type OpenedS3Client, openS3Client, type S3Options, unavailable } from './s3-client.js';

export interface S3Object {
  bytes: Uint8Array;
  /** Another one for other bytes; for replace. */
  etag: string;
}

export interface S3ListedObject {
  /** Without the prefix of the options. */
  key: string;
  sizeBytes: number;
  /** By the server's clock; some servers give whole seconds. */
  modifiedAt: Date;
}

interface Place {
  Bucket: string;
  Key: string;
}

const SHA256 = 'sha256';
/** Says which call wrote an object: only so can a repeated request tell its own success from another's. */
const WRITE_ID = 'write-id';
/** How often an answer that does not match its checksum is asked for again. */
const READ_ATTEMPTS = 3;
const MAX_KEY_BYTES = 1024;
/** Times in headers are whole seconds. */
const CLOCK_TICK_MS = 1000;

export class S3Objects {
  readonly #opened: OpenedS3Client;
  readonly #bucket: string;
  readonly #prefix: string;

  private constructor(opened: OpenedS3Client, bucket: string, prefix: string) {
    this.#opened = opened;
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /**
   * Rejects with ERR_INVALID_CONFIG, ERR_PATH_NOT_ALLOWED for a prefix that is no plain path, and ERR_STORE_UNAVAILABLE where
   * the package @aws-sdk/client-s3 is not installed or the bucket cannot be reached.
   */
  static async open(options: S3Options): Promise<S3Objects> {
    const opened = await openS3Client(options);
    const { bucket, prefix = '' } = options;
    const objects = new S3Objects(opened, bucket, prefix);
    try {
      if (prefix !== '') requireKey('options.prefix', prefix.replace(/\/$/, ''));
      await opened.client.send(new opened.sdk.HeadBucketCommand({ Bucket: bucket }));
    } catch (cause) {
      objects.close();
      throw cause instanceof LorakeetError ? cause : unavailable(`bucket ${bucket}`, cause);
    }
    return objects;
  }

  /** The object, or undefined. Rejects with ERR_STORE_FAILURE if its bytes are not those that were written. */
  async get(key: string): Promise<S3Object | undefined> {
    const place = this.#place(key);
    const found = await this.#read(place);
    if (!found || found.intact) return found?.object;
    const what = `${place.Key}: its bytes do not match the sha256 that lorakeet wrote with them`;
    throw new LorakeetError('ERR_STORE_FAILURE', what);
  }

  /** The bytes as the store has them, or undefined; asked for again while they do not have this SHA-256. */
  async getUnchecked(key: string, sha256: string): Promise<Uint8Array | undefined> {
    return (await this.#read(this.#place(key), sha256))?.object.bytes;
  }

  /** In bytes, or undefined where there is none. */
  async size(key: string): Promise<number | undefined> {
    return (await this.#head(this.#place(key)))?.ContentLength;
  }

  /** Writes the object, over whatever is there, and gives its etag. */
  async put(key: string, bytes: Uint8Array): Promise<string> {
    return (await this.#write(key, bytes, {})) as string;
  }

  /**
   * Writes the object unless there is one: its etag, or undefined. Of any number at once exactly one succeeds. An answer that
   * was lost is no failure; only if another write follows before the request is repeated, the writer is told undefined.
   */
  async create(key: string, bytes: Uint8Array): Promise<string | undefined> {
    return this.#write(key, bytes, { IfNoneMatch: '*' });
  }

  /** Writes the object if the one there is still that of `etag`: the new etag, or undefined, as create() does. */
  async replace(key: string, bytes: Uint8Array, etag: string): Promise<string | undefined> {
    // without the quotes of HTTP, which older Ceph takes for part of the etag; S3 and MinIO take either
    const IfMatch = etag.replaceAll('"', '');
    // in HTTP a star is any etag, and a comma comes between two; those of S3 have neither
    if (!/^[\w.+/=-]+$/.test(IfMatch)) return undefined;
    return this.#write(key, bytes, { IfMatch });
  }

  /** Removes the object; one that is not there does no harm. */
  async delete(key: string): Promise<void> {
    await this.#remove(this.#place(key));
  }

  /**
   * Removes the object, unless it was written at or after `since`, by the server's clock; whether it has removed it. In a
   * bucket with versioning it removes exactly what it has looked at, and all that was there before; without, also what is
   * written between the two requests.
   */
  async deleteUnlessSince(key: string, since: Date): Promise<boolean> {
    const place = this.#place(key);
    for (let removed = false; ; removed = true) {
      const found = await this.#head(place);
      if (!found?.LastModified) return removed;
      if (found.LastModified.getTime() + CLOCK_TICK_MS > since.getTime()) return false;
      await this.#remove({ ...place, VersionId: found.VersionId });
      if (found.VersionId === undefined) return true;
    }
  }

  /** The objects whose keys begin with `start`, in any order; of those written or removed meanwhile, any. */
  async *list(start: string, pageSize = 1000): AsyncIterable<S3ListedObject> {
    const { sdk, client } = this.#opened;
    const Prefix = this.#prefix + start;
    // so that names survive the XML of the answer
    const request = { Bucket: this.#bucket, Prefix, MaxKeys: pageSize, EncodingType: 'url' as const };
    let ContinuationToken: string | undefined;
    do {
      const command = new sdk.ListObjectsV2Command({ ...request, ContinuationToken });
      const page = await client.send(command).catch((cause) => {
        throw unavailable(`list ${Prefix}`, cause);
      });
      for (const { Key, Size, LastModified } of page.Contents ?? []) {
        if (Key === undefined || Size === undefined || LastModified === undefined) continue;
        const key = decodeURIComponent(Key.replaceAll('+', '%20')).slice(this.#prefix.length);
        yield { key, sizeBytes: Size, modifiedAt: LastModified };
      }
      ContinuationToken = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (ContinuationToken !== undefined);
  }

  /** Closes the connections of a client that was made here. */
  close(): void {
    if (this.#opened.owned) this.#opened.client.destroy();
  }

  #place(key: string): Place {
    requireKey('key', key);
    const Key = this.#prefix + key;
    const sizeBytes = Buffer.byteLength(Key);
    if (sizeBytes > MAX_KEY_BYTES) {
      fail('ERR_PATH_NOT_ALLOWED', 'key', key, `at most ${MAX_KEY_BYTES} bytes with the prefix, not ${sizeBytes}`);
    }
    return { Bucket: this.#bucket, Key };
  }

  /** `expected` is the SHA-256; default: what was written with the object. */
  async #read(place: Place, expected?: string): Promise<{ object: S3Object; intact: boolean } | undefined> {
    const { sdk, client } = this.#opened;
    for (let attempt = 1; ; attempt++) {
      try {
        const { Body, ETag: etag = '', Metadata } = await client.send(new sdk.GetObjectCommand(place));
        const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array(0);
        const intact = sha256Of(bytes).toString('hex') === (expected ?? Metadata?.[SHA256]) && etag !== '';
        if (intact || attempt === READ_ATTEMPTS) return { object: { bytes, etag }, intact };
      } catch (cause) {
        if ((cause as Error).name === 'NoSuchKey') return undefined;
        throw unavailable(`get ${place.Key}`, cause);
      }
    }
  }

  /** In one request: the conditions of multipart uploads are not kept everywhere. */
  async #write(
    key: string,
    bytes: Uint8Array,
    condition: Pick<PutObjectCommandInput, 'IfMatch' | 'IfNoneMatch'>,
  ): Promise<string | undefined> {
    const { sdk, client } = this.#opened;
    const digest = sha256Of(bytes);
    const writeId = randomUUID();
    const place = this.#place(key);
    const request = {
      ...place,
      ...condition,
      Body: bytes,
      ChecksumSHA256: digest.toString('base64'),
      Metadata: { [SHA256]: digest.toString('hex'), [WRITE_ID]: writeId },
    };
    try {
      const { ETag } = await client.send(new sdk.PutObjectCommand(request));
      if (ETag) return ETag;
    } catch (cause) {
      if (!isConflict(cause)) throw unavailable(`put ${place.Key}`, cause);
      // a first attempt may have succeeded with its answer lost: then the second one meets the object of the first
      const found = await this.#head(place);
      return found?.Metadata?.[WRITE_ID] === writeId ? found.ETag : undefined;
    }
    throw new LorakeetError('ERR_STORE_FAILURE', `put ${place.Key}: the answer has no etag`);
  }

  async #head(place: Place) {
    const { sdk, client } = this.#opened;
    try {
      return await client.send(new sdk.HeadObjectCommand(place));
    } catch (cause) {
      if ((cause as Error).name === 'NotFound') return undefined;
      throw unavailable(`head ${place.Key}`, cause);
    }
  }

  async #remove(object: Place & { VersionId?: string }): Promise<void> {
    const { sdk, client } = this.#opened;
    try {
      await client.send(new sdk.DeleteObjectCommand(object));
    } catch (cause) {
      throw unavailable(`delete ${object.Key}`, cause);
    }
  }
}

/** 412: the condition does not hold. 409: another conditional write of the same object was under way. 404: replaced none. */
function isConflict(cause: unknown): boolean {
  const { name, $metadata } = cause as { name?: string; $metadata?: { httpStatusCode?: number } };
  const status = $metadata?.httpStatusCode ?? 0;
  return name === 'PreconditionFailed' || name === 'NoSuchKey' || status === 412 || status === 409;
}

/** Whoever forwards a request may resolve dots, and so leave the prefix, or the bucket. */
function requireKey(name: string, key: unknown): void {
  const plain =
    typeof key === 'string' &&
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
    !/[\u0000-\u001f\u007f\\]|\p{Surrogate}/u.test(key) &&
    key.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..');
  if (!plain) fail('ERR_PATH_NOT_ALLOWED', name, key, 'plain names, with slashes between them');
}

function sha256Of(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}
