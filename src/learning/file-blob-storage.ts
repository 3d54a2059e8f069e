/** Weights as files of one folder. */
import { mkdir, readFile, stat, unlink } from 'node:fs/promises';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { confinePath } from '../files/confined-path.js';
import { type BlobPlace, NamedBlobStorage } from './named-blobs.js';

/**
 * Files are there whole or not at all, also after the process was killed or the power failed, and are checked when they are
 * read. Nothing outside the folder is touched, also where a link of it leads there.
 */
export class FileSystemBlobStorage extends NamedBlobStorage {
  /** The folder is made when something is stored. Throws ERR_INVALID_ARGUMENT: `Base directory cannot be empty`. */
  constructor(folder: string) {
    if (typeof folder !== 'string' || folder.trim() === '') {
      fail('ERR_INVALID_ARGUMENT', 'folder', folder, 'a path (Base directory cannot be empty)');
    }
    super(new Folder(folder));
  }
}

class Folder implements BlobPlace {
  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
  }

  async create(name: string, bytes: Uint8Array): Promise<void> {
    await mkdir(this.#path, { recursive: true });
    await writeAtomically(await confinePath(this.#path, name), (append) => append(bytes));
  }

  read(name: string): Promise<Uint8Array | undefined> {
    return this.#unlessMissing(name, (path) => readFile(path));
  }

  size(name: string): Promise<number | undefined> {
    return this.#unlessMissing(name, async (path) => {
      const stats = await stat(path);
      if (!stats.isFile()) throw new Error(`${path} is not a file`);
      return stats.size;
    });
  }

  async remove(name: string): Promise<void> {
    await this.#unlessMissing(name, unlink);
  }

  async #unlessMissing<T>(name: string, use: (path: string) => Promise<T>): Promise<T | undefined> {
    try {
      return await use(await confinePath(this.#path, name));
    } catch (error) {
      const cause = error instanceof LorakeetError && error.code === 'ERR_FILE_ACCESS' ? error.cause : error;
      if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }
}
