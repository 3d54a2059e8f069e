/** Where a training starts. */
import { LorakeetError } from '../../../errors.js';
import { requireAdapterConfig, targetsOf } from '../../../llm/adapter-config.js';
import type { LanguageAdapter, LanguageModel } from '../../../llm/index.js';
import type { AdapterVersions } from '../../../versions/adapter-versions.js';
import type { ServiceConfig } from '../../config/keys.js';

/** What adapters of language models are called in versions. */
export const ADAPTER_FILE = 'adapter.bin';

export interface Start {
  adapter: LanguageAdapter;
  /** That the adapter is; null: a new one. */
  version: string | null;
  /** Why it is a new one although something is active. */
  note?: string;
}

/** What is active, null where nothing is, or the kill switch is on. */
export async function activeVersion(versions: AdapterVersions): Promise<string | null> {
  const { disabled, aliases } = await versions.state();
  return disabled ? null : (aliases.active ?? null);
}

/**
 * The adapter of the version, or a new one where there is no version, or it is of another base model or shape than the
 * configuration has. Without what the optimiser remembers: every run begins its own optimisation. To be closed by the caller.
 */
export async function openStart(
  model: LanguageModel,
  versions: AdapterVersions,
  version: string | null,
  { lora, training }: ServiceConfig,
): Promise<Start> {
  const { rank, alpha, rsLora, targetModules } = lora;
  const settings = { rank, alpha, rsLora, targetModules };
  const create = async (note?: string): Promise<Start> => {
    const adapter = await model.createAdapter({ ...settings, seed: training.seed });
    return { adapter, version: null, ...(note !== undefined && { note }) };
  };
  if (version === null) return create();
  const { manifest, files } = await versions.load(version);
  const { baseModel } = manifest;
  if (baseModel && baseModel.sha256 !== model.hash) {
    return create(`${version} is of another base model (${baseModel.name}): training starts with a new adapter`);
  }
  const bytes = files.get(ADAPTER_FILE);
  if (!bytes) return create(`${version} has no ${ADAPTER_FILE}: training starts with a new adapter`);
  const adapter = await model.loadAdapter(bytes);
  const wanted = targetsOf(requireAdapterConfig(model.config.shape, settings));
  if (JSON.stringify(wanted) !== JSON.stringify(adapter.targets)) {
    adapter.close();
    return create(`${version} has another rank, scaling or modules than lora.*: training starts with a new adapter`);
  }
  const { targets, parameters, fisher, anchor } = await adapter.state();
  await adapter.restore({ targets, steps: 0, parameters, ...(fisher && { fisher }), ...(anchor && { anchor }) });
  return { adapter, version };
}

/** A version's adapter, to answer with. Rejects with ERR_ADAPTER_MISMATCH for one of another model. To be closed by the caller. */
export async function openAnswering(
  model: LanguageModel,
  versions: AdapterVersions,
  version: string,
): Promise<LanguageAdapter> {
  const { adapter } = await openVersion(model, versions, version, false);
  return adapter;
}

/** As openAnswering, able to train, with the version's number. */
export async function openVersion(
  model: LanguageModel,
  versions: AdapterVersions,
  versionOrAlias: string,
  train: boolean,
): Promise<{ adapter: LanguageAdapter; version: string }> {
  const { manifest, version, files } = await versions.load(versionOrAlias);
  const { baseModel } = manifest;
  const bytes = files.get(ADAPTER_FILE);
  if (!bytes || (baseModel && baseModel.sha256 !== model.hash)) {
    const what = `${version}: got ${baseModel?.name ?? 'no base model'} and ${[...files.keys()].join(', ')}`;
    throw new LorakeetError('ERR_ADAPTER_MISMATCH', `${what}, expected ${ADAPTER_FILE} of the model that is loaded`);
  }
  return { adapter: await model.loadAdapter(bytes, { train }), version };
}
