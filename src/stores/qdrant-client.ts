/** The client of @qdrant/js-client-rest, an optional package that is loaded when something is opened. */
import type { QdrantClient, QdrantClientParams } from '@qdrant/js-client-rest';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';

/** An own client, or settings for one. Rejects with ERR_INVALID_CONFIG and ERR_STORE_UNAVAILABLE. */
export async function openQdrantClient(given: QdrantClient | QdrantClientParams): Promise<QdrantClient> {
  if (typeof given !== 'object' || given === null) fail('ERR_INVALID_CONFIG', 'options.client', given, 'an object');
  if (typeof (given as QdrantClient).upsert === 'function') return given as QdrantClient;
  let sdk: typeof import('@qdrant/js-client-rest');
  try {
    sdk = await import('@qdrant/js-client-rest');
  } catch (cause) {
    const advice = 'npm install @qdrant/js-client-rest';
    throw new LorakeetError('ERR_STORE_UNAVAILABLE', `Qdrant needs a package that is not installed: ${advice}`, {
      cause,
    });
  }
  try {
    // the check would be a request that nobody waits for, and prints what it finds
    return new sdk.QdrantClient({ checkCompatibility: false, ...(given as QdrantClientParams) });
  } catch (cause) {
    throw new LorakeetError('ERR_INVALID_CONFIG', `options.client: ${(cause as Error).message}`, { cause });
  }
}

interface QdrantFailure {
  status?: number;
  message?: string;
  /** What the server says of it. */
  data?: { status?: { error?: string } };
  /** Of a request that has not come through. */
  cause?: { code?: string; message?: string };
}

/** Runs a request. Rejects with ERR_COLLECTION_NOT_FOUND and ERR_STORE_UNAVAILABLE. */
export async function sendToQdrant<T>(collection: string, request: () => Promise<T>): Promise<T> {
  try {
    return await request();
  } catch (error) {
    const { status, message, data, cause } = error as QdrantFailure;
    const why = data?.status?.error ?? [message, cause?.message].filter(Boolean).join(': ');
    const code = status === 404 ? 'ERR_COLLECTION_NOT_FOUND' : 'ERR_STORE_UNAVAILABLE';
    throw new LorakeetError(code, `collection ${collection}: ${why}`, { cause: error });
  }
}

const NOT_SENT = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN']);

/** Whether what sendToQdrant has rejected with cannot have changed anything. */
export function isRefusal(error: unknown): boolean {
  const { status = 0, cause } = ((error as Error).cause ?? {}) as QdrantFailure;
  return (status >= 400 && status < 500) || NOT_SENT.has(cause?.code ?? '');
}
