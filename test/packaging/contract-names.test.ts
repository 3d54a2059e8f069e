/** The kernel contract is stated three times, in TypeScript, in C and as the addon's exports; here they are compared. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES } from '../../src/errors.js';
import { KERNEL_OPERATIONS, MAX_FEATURES, MAX_RANK, MAX_THREADS, UpdateFlag } from '../../src/kernels/contract.js';
import { isRequired } from '../support/coverage-report.js';
import { root, sourceFiles } from '../support/imports.js';

const read = (path: string) => readFileSync(join(root, path), 'utf8');
const header = read('native/include/lorakeet/kernels.h');
const camelCase = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Operations that have an asynchronous form: those whose work grows with the rows of a batch. */
const ASYNCHRONOUS = ['apply', 'update', 'consolidate'];
const DENSE_OPERATIONS = ['multiply', 'symmetricEigen', 'magnitudeAt', 'mergeEntries'];
const asyncForms = ASYNCHRONOUS.map((name) => `${name}Async`);

/** The functions of the decoder's table in C, spelt as the addon's. */
const decoderTable = read('native/include/lorakeet/decoder.h').match(
  /typedef struct lorakeet_decoder \{([\s\S]*)\} lorakeet_decoder;/,
);
const decoderFunctions = [...(decoderTable?.[1] ?? '').matchAll(/\(\*(\w+)\)\(/g)]
  .map((match) => camelCase(match[1]))
  .map((name) => name.replace(/^destroy/, 'close'));

describe('the contract of the decoder', () => {
  it('has the same operations in TypeScript and in C', () => {
    const contract = read('src/llm/decoder/contract.ts');
    const methods = (name: string) => {
      const body = contract.match(new RegExp(`export interface Decoder${name} \\{([\\s\\S]*?)\\n\\}`))?.[1] ?? '';
      return [...body.matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1]);
    };
    // What is said of one object in TypeScript names its kind in C.
    const named = (kind: string) =>
      methods(kind).map((name) => (/^(write|read|step|truncate|close)$/.test(name) ? name + kind : name));
    const all = [...methods('Backend'), ...['Model', 'Adapter', 'Pass', 'Cache'].flatMap(named)].filter(
      (name) => name !== 'length',
    );
    expect(all).toContain('stepAdapter');
    expect([...all, 'modelBytes'].sort()).toEqual([...decoderFunctions].sort());
  });
});

describe('the kernel contract', () => {
  it('has the methods of its list in TypeScript', () => {
    const body = read('src/kernels/contract.ts').match(/export interface KernelPool \{([\s\S]*?)\n\}/)?.[1] ?? '';
    const methods = [...body.matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1]);
    expect(methods.sort()).toEqual([...KERNEL_OPERATIONS, ...asyncForms, 'close'].sort());
  });

  it('has the same operations in C', () => {
    const table = header.match(/typedef struct lorakeet_kernels \{([\s\S]*?)\} lorakeet_kernels;/)?.[1] ?? '';
    const functions = [...table.matchAll(/\(\*(\w+)\)\(/g)].map((match) => camelCase(match[1]));
    expect(functions.sort()).toEqual([...KERNEL_OPERATIONS, 'createPool', 'destroyPool', 'memoryBytes'].sort());
  });

  it('has the same flags in C', () => {
    const flags = [...header.matchAll(/LORAKEET_FLAG_(\w+) = (\d+)/g)].map(([, name, bit]) => [name, Number(bit)]);
    expect(Object.fromEntries(flags)).toEqual(UpdateFlag);
  });

  it('has the same dense operations in TypeScript and in C', () => {
    const body = read('src/kernels/dense.ts').match(/export interface DenseKernels \{([\s\S]*?)\n\}/)?.[1] ?? '';
    const methods = [...body.matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1]);
    const table = read('native/include/lorakeet/dense.h').match(
      /typedef struct lorakeet_dense \{([\s\S]*?)\} lorakeet_dense;/,
    );
    const functions = [...(table?.[1] ?? '').matchAll(/\(\*(\w+)\)\(/g)].map((match) => camelCase(match[1]));
    expect(methods.sort()).toEqual([...DENSE_OPERATIONS].sort());
    expect(functions.sort()).toEqual([...DENSE_OPERATIONS].sort());
  });

  it('has the same operations in the addon', (test) => {
    const path = join(root, 'build/Release/lorakeet.node');
    if (!existsSync(path)) {
      expect(isRequired('cpu'), 'LORAKEET_REQUIRE lists cpu, and build/Release/lorakeet.node is missing').toBe(false);
      test.skip('the addon has not been built');
    }
    const addon = createRequire(import.meta.url)(path);
    const around = ['info', 'createPool', 'closePool', 'memoryBytes', 'firstNonFinite', 'misalignment'];
    const all = [...KERNEL_OPERATIONS, ...asyncForms, ...around, ...DENSE_OPERATIONS, ...decoderFunctions];
    expect(Object.keys(addon).sort()).toEqual(all.sort());
    for (const name of Object.keys(addon)) expect(typeof addon[name], name).toBe('function');
  });

  it('has the same limits in the binding', () => {
    const binding = read('binding/pools.cc');
    const limit = (option: string) => Number(binding.match(new RegExp(`\\{"${option}", 1, (\\d+),`))?.[1]);
    expect([limit('rank'), limit('inFeatures'), limit('outFeatures')]).toEqual([MAX_RANK, MAX_FEATURES, MAX_FEATURES]);
    expect(limit('threads')).toBe(MAX_THREADS);
  });

  it('has no error code in the binding that errors.ts lacks', () => {
    const codes = sourceFiles('binding', /\.(h|cc)$/).flatMap(
      (file) => read(`binding/${file}`).match(/ERR_[A-Z_]+/g) ?? [],
    );
    expect(codes.length).toBeGreaterThan(0);
    expect([...new Set(codes)].filter((code) => !(code in ERROR_CODES))).toEqual([]);
  });
});
