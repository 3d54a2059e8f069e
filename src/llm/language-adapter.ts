/** A LoRA adapter of a language model: a decoder's adapter with its history, and its exchange with the rest of lorakeet. */
import type { LoraModules } from '../adapter/lora-module.js';
import { requireLoraModules } from '../adapter/lora-module.js';
import { hashSeed, Random } from '../adapter/random.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { type LanguageAdapterConfig, pathOf, placeOf, requireAdapterConfig, targetsOf } from './adapter-config.js';
import type { AdapterVector, DecoderAdapter, DecoderModel, LoraTarget } from './decoder/contract.js';
import { adapterLayout, moduleFeatures, type PlacedTarget } from './decoder/layout.js';

/** Everything that learning changes. The arrays are [parameterCount]; moments, Fisher and anchor may be missing: zeros. */
export interface LanguageAdapterState {
  targets: readonly LoraTarget[];
  /** Optimiser steps so far. */
  steps: number;
  parameters: Float32Array;
  moment1?: Float32Array;
  moment2?: Float32Array;
  fisher?: Float32Array;
  anchor?: Float32Array;
}

const LEARNT = ['moment1', 'moment2', 'fisher', 'anchor'] as const satisfies readonly AdapterVector[];

const PIECE = 2 ** 16;

export class LanguageAdapter {
  readonly decoder: DecoderAdapter;
  readonly #placed: readonly PlacedTarget[];
  #steps = 0;
  #revision = 0;

  /** See createLanguageAdapter and adapterFromModules. */
  constructor(model: DecoderModel, targets: readonly LoraTarget[], train: boolean) {
    this.decoder = model.createAdapter(targets, { train });
    this.#placed = adapterLayout(model.shape, targets).targets;
  }

  get targets(): readonly LoraTarget[] {
    return this.decoder.targets;
  }

  /** Σ rank · (inFeatures + outFeatures) */
  get parameterCount(): number {
    return this.decoder.parameterCount;
  }

  /** Optimiser steps so far. */
  get steps(): number {
    return this.#steps;
  }

  /** Another one whenever the parameters have changed: what was computed with an older one is stale. */
  get revision(): number {
    return this.#revision;
  }

  /** To be called by who has changed the parameters behind it: `steps` optimiser steps. */
  advance(steps: number): void {
    this.#steps += steps;
    this.#revision++;
  }

  /** LoRA modules by path, for merges and files; with Fisher and anchor where there are any. Copies. */
  async modules(): Promise<LoraModules> {
    const parameters = await this.decoder.read('parameters');
    const fisher = this.decoder.train ? await this.decoder.read('fisher') : undefined;
    const anchor = fisher?.some((value) => value > 0) ? await this.decoder.read('anchor') : undefined;
    return new Map(
      this.#placed.map((target) => {
        const { rank, scaling, in: inFeatures, out: outFeatures, offsetA, offsetB } = target;
        const end = offsetB + outFeatures * rank;
        return [
          pathOf(target),
          {
            rank,
            inFeatures,
            outFeatures,
            scaling,
            loraA: parameters.slice(offsetA, offsetB),
            loraB: parameters.slice(offsetB, end),
            ...(anchor && { fisher: fisher?.slice(offsetA, end), anchor: anchor.slice(offsetA, end) }),
          },
        ];
      }),
    );
  }

  /** Copies, without those that are zero throughout. */
  async state(): Promise<LanguageAdapterState> {
    const state: LanguageAdapterState = {
      targets: this.targets,
      steps: this.#steps,
      parameters: await this.decoder.read('parameters'),
    };
    if (!this.decoder.train) return state;
    for (const vector of LEARNT) if (!(await this.#isZero(vector))) state[vector] = await this.decoder.read(vector);
    return state;
  }

  /** Piece by piece: most vectors that are not zero show it at once. */
  async #isZero(vector: AdapterVector): Promise<boolean> {
    for (let first = 0; first < this.parameterCount; first += PIECE) {
      const piece = await this.decoder.read(vector, first, Math.min(PIECE, this.parameterCount - first));
      if (piece.some((value) => value !== 0)) return false;
    }
    return true;
  }

  /** Throws ERR_ADAPTER_MISMATCH unless the state is that of an adapter with the same targets. */
  async restore(state: LanguageAdapterState): Promise<void> {
    if (JSON.stringify(state.targets) !== JSON.stringify(this.targets)) {
      throw new LorakeetError('ERR_ADAPTER_MISMATCH', 'state: it is that of an adapter with other targets');
    }
    await this.decoder.write('parameters', state.parameters);
    if (this.decoder.train) {
      const zeros = new Float32Array(this.parameterCount);
      for (const vector of LEARNT) {
        // what was never written to takes no memory
        if (state[vector] || !(await this.#isZero(vector))) await this.decoder.write(vector, state[vector] ?? zeros);
      }
      await this.decoder.write('gradient', zeros);
    }
    this.#steps = state.steps;
    this.#revision++;
  }

  /** Frees what the decoder holds of it. */
  close(): void {
    this.decoder.close();
  }
}

export interface CreateAdapterOptions extends LanguageAdapterConfig {
  /** Of the first loraA. Default 0. */
  seed?: number;
  /** Makes room for learning: five more vectors of the size of the adapter. Default true. */
  train?: boolean;
}

/**
 * A new adapter, which changes nothing yet: loraA uniform in ±1/√inFeatures (Kaiming with a = √5, as PEFT), loraB zero.
 * Throws ERR_INVALID_CONFIG.
 */
export async function createLanguageAdapter(
  model: DecoderModel,
  { seed = 0, train = true, ...config }: CreateAdapterOptions = {},
): Promise<LanguageAdapter> {
  const targets = targetsOf(requireAdapterConfig(model.shape, config));
  const { targets: placed, parameterCount } = adapterLayout(model.shape, targets);
  const parameters = new Float32Array(parameterCount);
  for (const target of placed) {
    const random = new Random(hashSeed(seed, pathOf(target)));
    const bound = 1 / Math.sqrt(target.in);
    random.fillUniform(parameters.subarray(target.offsetA, target.offsetB), -bound, bound);
  }
  const adapter = new LanguageAdapter(model, targets, train);
  // all else is zero already, and takes no memory before it is written
  await adapter.decoder.write('parameters', parameters);
  return adapter;
}

/**
 * The adapter that a PEFT folder or a merge gives, whatever its ranks and scalings. Throws ERR_ADAPTER_MISMATCH for modules
 * that this model does not have, or not of that size.
 */
export async function adapterFromModules(
  model: DecoderModel,
  modules: LoraModules,
  { train = true }: { train?: boolean } = {},
): Promise<LanguageAdapter> {
  requireLoraModules('modules', modules);
  const targets: LoraTarget[] = [];
  for (const [path, module] of modules) {
    const place = placeOf(path);
    if (!place || place.layer >= model.shape.layers) {
      fail('ERR_ADAPTER_MISMATCH', 'modules', path, `projections of the ${model.shape.layers} layers of this model`);
    }
    const features = moduleFeatures(model.shape, place.module);
    if (features.in !== module.inFeatures || features.out !== module.outFeatures) {
      const got = `${module.outFeatures} × ${module.inFeatures}`;
      fail('ERR_ADAPTER_MISMATCH', `modules[${path}]`, got, `${features.out} × ${features.in} features`);
    }
    targets.push({ ...place, rank: module.rank, scaling: module.scaling });
  }
  const adapter = new LanguageAdapter(model, targets, train);
  const { targets: placed, parameterCount } = adapterLayout(model.shape, targets);
  const parameters = new Float32Array(parameterCount);
  const fisher = new Float32Array(parameterCount);
  const anchor = new Float32Array(parameterCount);
  for (const target of placed) {
    const module = modules.get(pathOf(target));
    if (!module) continue;
    parameters.set(module.loraA, target.offsetA);
    parameters.set(module.loraB, target.offsetB);
    if (module.fisher) fisher.set(module.fisher, target.offsetA);
    anchor.set(
      module.anchor ?? parameters.subarray(target.offsetA, target.offsetA + fisherSize(target)),
      target.offsetA,
    );
  }
  await adapter.restore({ targets: adapter.targets, steps: 0, parameters, fisher, anchor });
  return adapter;
}

function fisherSize(target: PlacedTarget): number {
  return target.rank * (target.in + target.out);
}
