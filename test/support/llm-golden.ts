/** What test/golden/llm holds (its README says what the numbers are), as the tests of the decoders take it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPeft } from '../../src/adapter/formats/peft-reader.js';
import { openSafetensors } from '../../src/adapter/formats/safetensors-reader.js';
import type { LoraModules } from '../../src/adapter/lora-module.js';

export const LLM_GOLDENS = ['llama', 'llama-bias', 'llama3-rope', 'qwen2', 'qwen3', 'mistral'] as const;
export type LlmGoldenName = (typeof LLM_GOLDENS)[number];

export interface GoldenSequence {
  ids: number[];
  /** As long as ids; −100 where the id is not a target. */
  labels: number[];
  weight: number;
  loss: number;
  base_loss: number;
  target_log_probs: number[];
}

export interface GoldenGreedy {
  prompt: number[];
  ids: number[];
  smallest_logit_gap: number;
}

export interface LlmExpectations {
  rank: number;
  alpha: number;
  scaling: number;
  learning_rate: number;
  weight_decay: number;
  betas: [number, number];
  eps: number;
  sequences: GoldenSequence[];
  /** Without the adapter, with it. */
  greedy: [GoldenGreedy, GoldenGreedy];
  losses: number[];
  grad_norms: number[];
  inverse_frequencies: number[];
}

export interface LlmGolden {
  name: LlmGoldenName;
  /** The model folder. */
  folder: string;
  /** The adapter by module path. */
  adapter: LoraModules;
  expected: LlmExpectations;
  /** The numbers of a tensor of expected.safetensors, row-major; throws for a name that it does not have. */
  tensor(name: string): Float64Array;
  /** The names of those that begin with `prefix`, without it: `grad.` → `model.layers.0.self_attn.q_proj.lora_A`, … */
  names(prefix: string): string[];
}

export function llmGoldenFolder(name: LlmGoldenName): string {
  return fileURLToPath(new URL(`../golden/llm/${name}`, import.meta.url));
}

export async function readLlmGolden(name: LlmGoldenName): Promise<LlmGolden> {
  const folder = llmGoldenFolder(name);
  const file = await openSafetensors(join(folder, 'expected.safetensors'));
  const tensors = new Map<string, Float64Array>();
  for (const key of file.tensors.keys()) tensors.set(key, (await file.read(key)) as Float64Array);
  await file.close();
  return {
    name,
    folder,
    adapter: (await readPeft(join(folder, 'adapter'))).modules,
    expected: JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')),
    tensor(key) {
      const numbers = tensors.get(key);
      if (!numbers) throw new Error(`${name} expects no ${key}`);
      return numbers;
    },
    names: (prefix) =>
      [...tensors.keys()].filter((key) => key.startsWith(prefix)).map((key) => key.slice(prefix.length)),
  };
}
