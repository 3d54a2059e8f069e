/** Between a language model's adapters and the states that are stored. */
import { readPeft } from '../adapter/formats/peft-reader.js';
import { writePeft } from '../adapter/formats/peft-writer.js';
import type { LoraModules } from '../adapter/lora-module.js';
import type { LanguageAdapter, LanguageAdapterState } from '../llm/language-adapter.js';
import type { LanguageModel } from '../llm/language-model.js';
import { AdapterConfig } from './adapter-config.js';

/** Of an adapter that changes nothing yet. Throws ERR_INVALID_CONFIG. */
export async function freshState(
  model: LanguageModel,
  config: AdapterConfig,
  seed: number,
): Promise<LanguageAdapterState> {
  const { rank, useRSLoRA: rsLora } = config;
  const targetModules = config.modules().value;
  return stateOf(await model.createAdapter({ rank, rsLora, targetModules, seed, train: false }));
}

/** The adapter, to generate and score with. Throws ERR_INVALID_CONFIG, ERR_ADAPTER_MISMATCH for one of another model. */
export async function openState(model: LanguageModel, state: LanguageAdapterState): Promise<LanguageAdapter> {
  const adapter = model.createEmptyAdapter(state.targets, { train: false });
  try {
    await adapter.restore(state);
    return adapter;
  } catch (error) {
    adapter.close();
    throw error;
  }
}

/** What `use` makes of the adapter, which is closed then. */
export async function withState<T>(
  model: LanguageModel,
  state: LanguageAdapterState,
  use: (adapter: LanguageAdapter) => Promise<T>,
): Promise<T> {
  const adapter = await openState(model, state);
  try {
    return await use(adapter);
  } finally {
    adapter.close();
  }
}

export function modulesOf(model: LanguageModel, state: LanguageAdapterState): Promise<LoraModules> {
  return withState(model, state, (adapter) => adapter.modules());
}

/** Throws ERR_ADAPTER_MISMATCH. */
export async function stateOfModules(model: LanguageModel, modules: LoraModules): Promise<LanguageAdapterState> {
  return stateOf(await model.importAdapter(modules, { train: false }));
}

/** Throws what writePeft throws. */
export async function writeFolder(model: LanguageModel, state: LanguageAdapterState, folder: string): Promise<void> {
  await writePeft(folder, await modulesOf(model, state), { taskType: 'CAUSAL_LM' });
}

/** Throws what readPeft throws, and ERR_ADAPTER_MISMATCH. */
export async function readFolder(model: LanguageModel, folder: string): Promise<LanguageAdapterState> {
  return stateOfModules(model, (await readPeft(folder)).modules);
}

/** What a configuration says of an adapter that was not made from one: ranks may differ, the largest counts. */
export function configOf({ targets }: LanguageAdapterState, base = AdapterConfig.default()): AdapterConfig {
  return base.with({
    rank: Math.max(...targets.map(({ rank }) => rank)),
    targetModules: [...new Set(targets.map(({ module }) => module))].join(','),
  });
}

async function stateOf(adapter: LanguageAdapter): Promise<LanguageAdapterState> {
  try {
    return await adapter.state();
  } finally {
    adapter.close();
  }
}
