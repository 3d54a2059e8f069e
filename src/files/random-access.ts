/** Reading parts of a file or of bytes in memory in the same way. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { describe } from '../checks.js';
import { LorakeetError } from '../errors.js';

/** One read call takes less than 2 GiB. */
const READ_CHUNK_BYTES = 2 ** 28;

/** Without waiting for the other end of a named pipe; Windows does not have the flag. */
const OPEN_FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

export interface RandomAccess {
  /** For messages. */
  readonly name: string;
  readonly byteLength: number;
  /** Of a file: another string whenever it has been replaced or written to. */
  readonly identity?: string;
  /**
   * The bytes from `position` on, in memory of their own at offset 0 of its buffer. The range lies within byteLength.
   * Throws ERR_FILE_ACCESS for a file that has become shorter.
   */
  read(position: number, length: number): Promise<Uint8Array>;
  /** As read, of as many bytes as `target` has and into it: for many reads that should not each take memory. */
  readInto(position: number, target: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

export function accessBytes(name: string, bytes: Uint8Array): RandomAccess {
  return {
    name,
    byteLength: bytes.length,
    read: async (position, length) => Uint8Array.prototype.slice.call(bytes, position, position + length),
    readInto: async (position, target) => target.set(bytes.subarray(position, position + target.length)),
    close: async () => {},
  };
}

/** Opens a regular file for reading. Throws ERR_FILE_ACCESS with the cause. */
export async function accessFile(path: string): Promise<RandomAccess> {
  const file = await attempt(path, () => open(path, OPEN_FLAGS));
  try {
    const stats = await attempt(path, () => file.stat({ bigint: true }));
    if (!stats.isFile()) throw new LorakeetError('ERR_FILE_ACCESS', `${describe(path)}: is not a regular file`);
    return {
      name: path,
      byteLength: Number(stats.size),
      identity: [stats.dev, stats.ino, stats.size, stats.mtimeNs, stats.ctimeNs].join(' '),
      read: async (position, length) => {
        const bytes = new Uint8Array(length);
        await attempt(path, () => readExactly(file, position, bytes));
        return bytes;
      },
      readInto: (position, target) => attempt(path, () => readExactly(file, position, target)),
      close: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

/** All of a small file. Throws ERR_FILE_ACCESS, also if it has more than `maxBytes`, before reading any of it. */
export async function readSmallFile(path: string, maxBytes: number): Promise<Uint8Array> {
  const file = await accessFile(path);
  try {
    if (file.byteLength > maxBytes) {
      throw new LorakeetError('ERR_FILE_ACCESS', `${path}: has ${file.byteLength} bytes, expected at most ${maxBytes}`);
    }
    return await file.read(0, file.byteLength);
  } finally {
    await file.close();
  }
}

async function readExactly(file: FileHandle, position: number, target: Uint8Array): Promise<void> {
  let done = 0;
  while (done < target.length) {
    const wanted = Math.min(READ_CHUNK_BYTES, target.length - done);
    const { bytesRead } = await file.read(target, done, wanted, position + done);
    if (bytesRead === 0) throw new Error(`it ends ${target.length - done} bytes too early`);
    done += bytesRead;
  }
}

async function attempt<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be read (${cause})`, { cause });
  }
}
