/** An adapter's weights and memory as the blobs that are stored. */
import type { FloatDtype } from '../adapter/formats/dtypes.js';
import type { JsonObject } from '../adapter/meta.js';
import { decodeLanguageAdapter, encodeLanguageAdapter } from '../llm/adapter-file.js';
import type { LanguageAdapterState } from '../llm/language-adapter.js';
import { messageOf } from './attempt.js';
import { failure, type Result, success } from './result.js';
import { TrainingExample } from './training-example.js';

export const MAX_ADAPTER_BYTES = 10 * 1024 * 1024;

/** What an incremental update holds on to: Fisher and anchor, and examples of what was learnt. */
export interface AdapterMemory {
  fisher?: Float32Array;
  anchor?: Float32Array;
  examples: readonly TrainingExample[];
}

/**
 * The parameters in the widest type with which they stay below the limit, F32 or BF16. Fails with
 * `<what> size (x.xx MB) exceeds 10 MB limit`.
 */
export function encodeWeights(what: string, state: LanguageAdapterState): Result<Uint8Array> {
  const { targets, steps, parameters } = state;
  let size = 0;
  for (const dtype of ['F32', 'BF16'] satisfies FloatDtype[]) {
    const bytes = encodeLanguageAdapter({ targets, steps, parameters }, { dtype });
    if (bytes.length <= MAX_ADAPTER_BYTES) return success(bytes);
    size = bytes.length;
  }
  return failure(`${what} size (${(size / 1024 / 1024).toFixed(2)} MB) exceeds 10 MB limit`);
}

/** Checks the structure, the checksum and every number. Fails with what is wrong. */
export async function decodeWeights(bytes: Uint8Array): Promise<Result<LanguageAdapterState>> {
  if (bytes.length === 0) return failure('Weights cannot be empty');
  try {
    return success((await decodeLanguageAdapter(bytes)).state);
  } catch (error) {
    return failure(messageOf(error));
  }
}

export function encodeMemory(state: LanguageAdapterState, memory: AdapterMemory): Uint8Array {
  const examples = memory.examples.map(({ input, output, weight }) => [input, output, weight]);
  const { fisher, anchor } = memory;
  return encodeLanguageAdapter(
    { ...state, moment1: undefined, moment2: undefined, fisher, anchor },
    { meta: { examples } },
  );
}

export async function decodeMemory(bytes: Uint8Array): Promise<Result<AdapterMemory>> {
  try {
    const { state, meta } = await decodeLanguageAdapter(bytes);
    const examples = examplesOf(meta);
    return examples
      ? success({ fisher: state.fisher, anchor: state.anchor, examples })
      : failure('examples are damaged');
  } catch (error) {
    return failure(messageOf(error));
  }
}

function examplesOf({ examples }: JsonObject): TrainingExample[] | undefined {
  if (!Array.isArray(examples)) return undefined;
  const found = examples.map((each) => {
    const [input, output, weight] = Array.isArray(each) ? each : [];
    return new TrainingExample(input as string, output as string, weight as number);
  });
  return found.every((example) => example.validate().isSuccess) ? found : undefined;
}
