/** Whether a version could be served, as far as that can be told without telling a server. */
import { LorakeetError } from '../../errors.js';
import { decodeLanguageAdapter } from '../../llm/index.js';
import { sourceOf } from '../../serving/reconcile.js';
import type { AdapterVersions } from '../../versions/adapter-versions.js';
import type { ServiceConfig } from '../config/keys.js';
import type { BaseModel } from './parts.js';

/**
 * The number of a version whose files are there, whole and readable, and of the base model, where that is known. Rejects with
 * ERR_VERSION_NOT_FOUND, ERR_ADAPTER_MISMATCH, ERR_FORMAT_UNSUPPORTED for a form that the driver does not take, and what
 * reading the files rejects with.
 */
export async function requireServable(
  versions: AdapterVersions,
  versionOrAlias: string,
  { model, driver }: { model: BaseModel; driver: ServiceConfig['serving']['driver'] },
): Promise<string> {
  const loaded = await versions.load(versionOrAlias);
  const { version, manifest } = loaded;
  const { baseModel } = manifest;
  const hash = model.loaded?.hash;
  if (baseModel && hash !== undefined && baseModel.sha256 !== hash) {
    const what = `${version}: it was made for ${baseModel.name} (${baseModel.sha256})`;
    throw new LorakeetError('ERR_ADAPTER_MISMATCH', `${what}, expected ${model.name} (${hash})`);
  }
  const { bytes } = await sourceOf(loaded, { exact: driver === 'in-process' });
  if (bytes && driver !== 'in-process') {
    const expected = `adapter_config.json and adapter_model.safetensors, which ${driver} takes`;
    throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', `${version}: got adapter.bin alone, expected ${expected}`);
  }
  if (bytes) await decodeLanguageAdapter(bytes);
  return version;
}
