/** Small adapters that fit models/tiny-shakespeare-llama, as PEFT folders and as versions. */
import { CONFIG_FILE, WEIGHTS_FILE } from '../../src/adapter/formats/peft-reader.js';
import { encodePeft } from '../../src/adapter/formats/peft-writer.js';
import type { LoraModules } from '../../src/adapter/lora-module.js';
import { hashSeed, Random } from '../../src/adapter/random.js';
import { FileVersionStore } from '../../src/stores/file-versions.js';
import { AdapterVersions } from '../../src/versions/adapter-versions.js';

const SIZE = 192;

export function modulesOf(seed: number, rank = 2): LoraModules {
  const random = new Random(hashSeed(seed, 'test'));
  const filled = (length: number) => {
    const values = new Float32Array(length);
    random.fillUniform(values, -0.1, 0.1);
    return values;
  };
  return new Map(
    [0, 1, 2, 3, 4].map((layer) => [
      `model.layers.${layer}.self_attn.q_proj`,
      {
        rank,
        inFeatures: SIZE,
        outFeatures: SIZE,
        scaling: 0.5,
        loraA: filled(rank * SIZE),
        loraB: filled(SIZE * rank),
      },
    ]),
  );
}

/** ΔW of the first module, [192 × 192]. */
export function deltaOf(modules: LoraModules): number[] {
  const [{ rank, loraA, loraB, scaling }] = modules.values();
  return Array.from({ length: SIZE * SIZE }, (_, i) => {
    const [row, column] = [Math.floor(i / SIZE), i % SIZE];
    let sum = 0;
    for (let k = 0; k < rank; k++) sum += loraB[row * rank + k] * loraA[k * SIZE + column];
    return scaling * sum;
  });
}

/** Publishes versions of the adapter `default`, v1.0 and so on, to the store in a folder. */
export async function publish(folder: string, ...adapters: LoraModules[]): Promise<void> {
  const store = await FileVersionStore.open(folder);
  const versions = new AdapterVersions(store, 'default');
  for (const modules of adapters) {
    const { config, weights } = encodePeft(modules, { baseModel: 'tiny', taskType: 'CAUSAL_LM' });
    await versions.publish({ files: { [CONFIG_FILE]: config, [WEIGHTS_FILE]: weights } });
  }
  store.close();
}
