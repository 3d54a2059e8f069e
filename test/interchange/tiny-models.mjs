// The tiny models and adapters of cases.json: their weights are made from the names of the tensors, as interchange.py does.
import { readFileSync } from 'node:fs';

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), 'utf8'));
export const cases = read('./cases.json');
/** What transformers and PEFT make of them, by interchange.py. */
export const expected = read('./expected.json');

/** The config.json of a model. */
export function configOf(name) {
  return { ...cases.common, ...cases.models[name] };
}

/** Name → { shape, data } of every weight of a model. */
export function weightsOf(name) {
  const weights = Object.entries(expected[name].tensors).map(([key, shape]) => [
    key,
    { shape, data: weight(key, shape) },
  ]);
  return new Map(weights);
}

/** The LoRA modules of an adapter, as PEFT's config means them. */
export function modulesOf(name, adapter) {
  const modules = Object.entries(expected[name].adapters[adapter].modules).map(([key, module]) => {
    const { rank, inFeatures, outFeatures } = module;
    const loraA = scale(fill(`${key}.lora_A`, rank * inFeatures), 0.5);
    const loraB = scale(fill(`${key}.lora_B`, outFeatures * rank), 0.5);
    return [key, { ...module, loraA, loraB }];
  });
  return new Map(modules);
}

function weight(name, shape) {
  const values = fill(
    name,
    shape.reduce((a, b) => a * b, 1),
  );
  if (name.endsWith('norm.weight')) return values.map((value) => 1 + 0.25 * value);
  const sharp = { q_proj: 1, k_proj: 1, embed_tokens: 1, lm_head: 2 };
  return scale(values, sharp[name.split('.').at(-2)] ?? 0.5);
}

/** MurmurHash3's finalizer of index and hash of the name (FNV-1a), as numbers in -0.5 … 0.5. */
function fill(name, length) {
  let seed = 0x811c9dc5;
  for (const byte of Buffer.from(name)) seed = Math.imul(seed ^ byte, 0x01000193);
  return Float32Array.from({ length }, (_, i) => {
    let h = Math.imul(i + 1, 0x9e3779b1) ^ seed;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return ((h ^ (h >>> 16)) >>> 8) / 2 ** 24 - 0.5;
  });
}

function scale(values, factor) {
  return values.map((value) => factor * value);
}
