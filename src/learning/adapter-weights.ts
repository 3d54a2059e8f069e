/** An adapter's weights and memory as the blobs that are stored. */
import type { FloatDtype } from '../adapter/formats/dtypes.js';
import type { JsonObject } from '../adapter/meta.js';
import { firstNonFinite } from '../checks.js';
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
 * The parameters in the widest type with which they stay below the limit, F32 or BF16. Fails with `Failed to validate <what>: …`
 * for a number that is not finite, and with `<What> size (x.xx MB) exceeds 10 MB limit`.
 */
export function encodeWeights(what: string, { targets, steps, parameters }: LanguageAdapterState): Result<Uint8Array> {
  const bad = firstNonFinite(parameters);
  if (bad >= 0) return failure(`Failed to validate ${what}: parameters[${bad}] is ${parameters[bad]}`);
  let size = 0;
  for (const dtype of ['F32', 'BF16'] satisfies FloatDtype[]) {
    const bytes = encodeLanguageAdapter({ targets, steps, parameters }, { dtype });
    if (bytes.length <= MAX_ADAPTER_BYTES) return success(bytes);
    size = bytes.length;
  }
  const name = what[0].toUpperCase() + what.slice(1);
  return failure(`${name} size (${(size / 1024 / 1024).toFixed(2)} MB) exceeds 10 MB limit`);
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

/** In a file of an adapter whose parameters are the anchor. */
export function encodeMemory(
  { targets, steps, parameters }: LanguageAdapterState,
  { fisher, anchor, examples }: AdapterMemory,
): Uint8Array {
  const texts = examples.map(({ input, output, weight }) => [input, output, weight]);
  return encodeLanguageAdapter(
    { targets, steps, parameters: anchor ?? parameters, fisher },
    { meta: { examples: texts } },
  );
}

export async function decodeMemory(bytes: Uint8Array): Promise<Result<AdapterMemory>> {
  try {
    const { state, meta } = await decodeLanguageAdapter(bytes);
    const examples = examplesOf(meta);
    if (!examples) return failure('examples are damaged');
    const { fisher, parameters: anchor } = state;
    return success(fisher ? { fisher, anchor, examples } : { examples });
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
