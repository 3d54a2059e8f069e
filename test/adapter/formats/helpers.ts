import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { LoraModule } from '../../../src/adapter/lora-module.js';
import { hashSeed, Random } from '../../../src/adapter/random.js';
import { LorakeetError, type LorakeetErrorCode } from '../../../src/errors.js';

/** Files and numbers made by golden/make_formats.py with safetensors and PEFT. */
export const golden = JSON.parse(readFileSync(new URL('./golden/formats.json', import.meta.url), 'utf8'));

export const fromBase64 = (text: string) => Uint8Array.from(Buffer.from(text, 'base64'));

/** A folder that is gone after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-formats-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** The code of the LorakeetError that `action` throws or rejects with; anything else it does fails the test. */
export async function rejection(action: () => unknown): Promise<LorakeetErrorCode> {
  try {
    await action();
  } catch (error) {
    if (error instanceof LorakeetError) return error.code;
    throw new Error(`expected a LorakeetError, got ${error}`, { cause: error });
  }
  throw new Error('expected a LorakeetError, but nothing was thrown');
}

/** A safetensors file of this header, as an object or as raw text, and this data. */
export function forgeFile(header: unknown, data: Uint8Array | number = 0): Uint8Array {
  const json = typeof header === 'string' ? Buffer.from(header) : rawBytes(header);
  const start = Buffer.alloc(8);
  start.writeBigUInt64LE(BigInt(json.length));
  return Uint8Array.from(Buffer.concat([start, json, typeof data === 'number' ? Buffer.alloc(data) : data]));
}

function rawBytes(header: unknown): Buffer {
  return header instanceof Uint8Array ? Buffer.from(header) : Buffer.from(JSON.stringify(header));
}

/** A module of reproducible numbers. */
export function sampleModule(rank: number, inFeatures: number, outFeatures: number, scaling: number): LoraModule {
  const random = new Random(hashSeed(7, `${rank} ${inFeatures} ${outFeatures} ${scaling}`));
  const numbers = (length: number) => Float32Array.from({ length }, () => random.uniform(-1, 1));
  const [loraA, loraB] = [numbers(rank * inFeatures), numbers(outFeatures * rank)];
  return { rank, inFeatures, outFeatures, loraA, loraB, scaling };
}

/** scaling · B · (A · x), in double. */
export function deltaOf({ rank, inFeatures, outFeatures, loraA, loraB, scaling }: LoraModule, x: readonly number[]) {
  const z = Array.from({ length: rank }, (_, k) => dot(loraA.subarray(k * inFeatures, (k + 1) * inFeatures), x));
  return Array.from({ length: outFeatures }, (_, o) => scaling * dot(loraB.subarray(o * rank, (o + 1) * rank), z));
}

function dot(a: Float32Array, b: readonly number[]): number {
  return b.reduce((sum, value, i) => sum + a[i] * value, 0);
}
