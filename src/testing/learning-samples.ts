/** What the suites of learning storages have in common: metadata to store, and what results are held against. */
import assert from 'node:assert/strict';
import { AdapterConfig } from '../learning/adapter-config.js';
import type { AdapterId } from '../learning/adapter-id.js';
import { AdapterMetadata } from '../learning/adapter-metadata.js';
import type { Result } from '../learning/result.js';
import type { ConformanceCase } from './harness.js';

export const CANCELLED = 'Operation cancelled';
const FIRST_DAY = Date.UTC(2024, 0, 1);

/** The same for the same number. */
export function idOf(n: number): AdapterId {
  return `00000000-0000-4000-8000-${n.toString(16).padStart(12, '0')}` as AdapterId;
}

/** Made on the day of that number. */
export function metadataOf(n: number, changes: Partial<AdapterMetadata> = {}): AdapterMetadata {
  const day = new Date(FIRST_DAY + n * 86_400_000);
  return new AdapterMetadata({
    id: idOf(n),
    taskName: `task ${n}`,
    config: AdapterConfig.lowRank(),
    blobStoragePath: `blob-${n}`,
    createdAt: day,
    lastTrainedAt: day,
    trainingExampleCount: 0,
    baseModel: 'a model',
    version: 1,
    history: [],
    ...changes,
  });
}

/** What a case opens is closed in the end, whatever happens. */
export function casesOver<S extends object>(
  open: () => Promise<S>,
  close: (storage: S) => Promise<void> | void = () => {},
): (name: string, body: (storage: S, also: (other: S) => S) => Promise<void>) => ConformanceCase {
  return (name, body) => ({
    name,
    async run() {
      const opened: S[] = [await open()];
      const also = (other: S) => {
        opened.push(other);
        return other;
      };
      try {
        await body(opened[0], also);
      } finally {
        for (const storage of opened) await close(storage);
      }
    },
  });
}

export async function succeed<T>(what: string, result: Promise<Result<T>>): Promise<T> {
  const found = await result;
  if (found.isFailure) assert.fail(`${what}: got the failure ${JSON.stringify(found.error)}, expected success`);
  return found.value;
}

/** Fails with that message, or one that the expression matches; a rejection is wrong. */
export async function failWith(
  what: string,
  expected: string | RegExp,
  result: Promise<Result<unknown>>,
): Promise<void> {
  const found = await result.catch((error) => assert.fail(`${what}: rejected with ${error}, expected a failure`));
  if (found.isSuccess) assert.fail(`${what}: got success, expected the failure ${expected}`);
  if (typeof expected === 'string') assert.equal(found.error, expected, what);
  else assert.match(found.error, expected, what);
}
