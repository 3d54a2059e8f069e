/** contract.ts, kernels.h and the addon name the same operations. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import nodeGypBuild from 'node-gyp-build';
import { describe, expect, test } from 'vitest';
import { KERNEL_OPERATIONS } from '../../src/kernels/contract.js';
import { JsPool } from '../../src/kernels/js.js';
import { nativeInfo } from '../../src/kernels/native.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const ASYNC_OPERATIONS = ['apply', 'update', 'consolidate'];
/** What a pool needs beside its operations, in the table of kernels.h and in the addon. */
const LIFECYCLE_OF_TABLE = ['create_pool', 'destroy_pool', 'memory_bytes'];
const LIFECYCLE_OF_ADDON = ['closePool', 'createPool', 'info', 'memoryBytes'];

const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The names of the function pointers in `struct lorakeet_kernels`. */
function functionTable(): string[] {
  const header = readFileSync(`${ROOT}/native/include/lorakeet/kernels.h`, 'utf8').replace(/\/\*[\s\S]*?\*\//g, '');
  const body = /typedef struct lorakeet_kernels \{([\s\S]*?)\} lorakeet_kernels;/.exec(header)?.[1] ?? '';
  return Array.from(body.matchAll(/\(\*(\w+)\)\s*\(/g), (match) => match[1]);
}

describe('the operations of the kernel contract', () => {
  test('are methods of a pool', () => {
    const methods = Object.getOwnPropertyNames(JsPool.prototype);
    const asynchronous = ASYNC_OPERATIONS.map((name) => `${name}Async`);
    const known = ['constructor', 'close', ...KERNEL_OPERATIONS, ...asynchronous];
    expect(methods.toSorted()).toEqual(known.toSorted());
  });

  test('are the function pointers of kernels.h, in the same order', () => {
    const table = functionTable();
    expect(table.filter((name) => !LIFECYCLE_OF_TABLE.includes(name))).toEqual(KERNEL_OPERATIONS.map(snakeCase));
    expect(table).toEqual(expect.arrayContaining(LIFECYCLE_OF_TABLE));
  });

  const { available, reason } = nativeInfo();
  test.skipIf(!available)(`are exports of the addon${available ? '' : ` (skipped: ${reason})`}`, () => {
    const addon = nodeGypBuild(ROOT) as object;
    const asynchronous = ASYNC_OPERATIONS.map((name) => `${name}Async`);
    const known = [...LIFECYCLE_OF_ADDON, ...KERNEL_OPERATIONS, ...asynchronous];
    expect(Object.keys(addon).toSorted()).toEqual(known.toSorted());
  });
});
