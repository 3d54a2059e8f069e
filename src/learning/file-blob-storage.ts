/** Weights as files of one folder. */
import { randomUUID } from 'node:crypto';
import { mkdir, readFile, stat, unlink } from 'node:fs/promises';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { confinePath } from '../files/confined-path.js';
import type { AdapterId } from './adapter-id.js';
import { messageOf } from './attempt.js';
import { notBlank } from './checks.js';
import { failure, type Result, success, type Unit } from './result.js';
import { type AdapterBlobStorage, CANCELLED, type StorageOptions } from './storage.js';

/**
 * Files are named `<id>-<another UUID>.bin`, and are there whole or not at all; paths are relative to the folder and
 * cannot leave it. Failures of the file system read `Failed to store weights: …`, `Failed to retrieve weights: …`,
 * `Failed to delete weights: …`, `Failed to get weights size: …`.
 */
export class FileSystemBlobStorage implements AdapterBlobStorage {
  readonly #folder: string;

  /** The folder is created when something is stored. Throws ERR_INVALID_ARGUMENT. */
  constructor(folder: string) {
    if (typeof folder !== 'string' || folder.trim() === '') {
      fail('ERR_INVALID_ARGUMENT', 'folder', folder, 'a path (Base directory cannot be empty)');
    }
    this.#folder = folder;
  }

  async storeWeights(id: AdapterId, weights: Uint8Array, options: StorageOptions = {}): Promise<Result<string>> {
    if (options.signal?.aborted) return failure(CANCELLED);
    if (!weights?.length) return failure('Weights cannot be empty');
    const path = `${id}-${randomUUID()}.bin`;
    return failingWith('Failed to store weights', async () => {
      await mkdir(this.#folder, { recursive: true });
      await writeAtomically(await confinePath(this.#folder, path), (append) => append(weights));
      return success(path);
    });
  }

  async getWeights(path: string, options: StorageOptions = {}): Promise<Result<Uint8Array>> {
    return this.#at(path, options, 'Failed to retrieve weights', async (file) => success(await readFile(file)));
  }

  async deleteWeights(path: string, options: StorageOptions = {}): Promise<Result<Unit>> {
    const deleted = await this.#at<Unit>(path, options, 'Failed to delete weights', async (file) => {
      await unlink(file);
      return success(undefined);
    });
    return deleted.isFailure && deleted.error === notFound(path) ? success(undefined) : deleted;
  }

  async getWeightsSize(path: string, options: StorageOptions = {}): Promise<Result<number>> {
    return this.#at(path, options, 'Failed to get weights size', async (file) => success((await stat(file)).size));
  }

  async #at<T>(
    path: string,
    { signal }: StorageOptions,
    what: string,
    use: (file: string) => Promise<Result<T>>,
  ): Promise<Result<T>> {
    if (signal?.aborted) return failure(CANCELLED);
    const checked = notBlank('Path', path);
    if (checked.isFailure) return failure(checked.error);
    return failingWith(
      what,
      async () => {
        const file = await confinePath(this.#folder, path);
        return use(file);
      },
      path,
    );
  }
}

async function failingWith<T>(what: string, use: () => Promise<Result<T>>, path = ''): Promise<Result<T>> {
  try {
    return await use();
  } catch (error) {
    if (path && isMissing(error)) return failure(notFound(path));
    return failure(`${what}: ${messageOf(error)}`);
  }
}

function isMissing(error: unknown): boolean {
  const cause = error instanceof LorakeetError && error.code === 'ERR_FILE_ACCESS' ? error.cause : error;
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

function notFound(path: string): string {
  return `File not found: ${path}`;
}
