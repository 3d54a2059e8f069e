/** Folders for stores that are synced often: in memory where the system has such a place, for what is tested is not the disk. */
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';

/** Defines where this file's tests may write; the result names another folder, not there yet, with every call. */
export function useFolders(): () => string {
  let top: string;
  let count = 0;
  beforeAll(() => {
    top = mkdtempSync(join(memoryFolder() ?? tmpdir(), 'lorakeet-packed-'));
  });
  afterAll(() => {
    rmSync(top, { recursive: true });
  });
  return () => join(top, `folder-${count++}`);
}

function memoryFolder(): string | undefined {
  try {
    accessSync('/dev/shm', constants.W_OK);
    return '/dev/shm';
  } catch {
    return undefined;
  }
}
