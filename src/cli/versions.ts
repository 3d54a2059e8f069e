/** Versions in the configured store, without the service. */
import { basename, resolve } from 'node:path';
import { decodePeft, type PeftAdapter, readPeft } from '../adapter/formats/peft-reader.js';
import { LorakeetError } from '../errors.js';
import type { ServiceConfig } from '../service/config/keys.js';
import { AdapterVersions, type LoadedVersion } from '../versions/adapter-versions.js';

export const CLI_ACTOR = 'lorakeet command line';

/** Opens the store for `work`. Rejects as openVersionStore. */
export async function withVersions<T>(
  config: ServiceConfig,
  work: (versions: AdapterVersions) => Promise<T>,
): Promise<T> {
  const { openVersionStore } = await import('../service/stores.js');
  const store = await openVersionStore(config);
  try {
    return await work(new AdapterVersions(store, config.lora.project, { actor: CLI_ACTOR }));
  } finally {
    await store.close();
  }
}

/** Rejects with ERR_FORMAT_UNSUPPORTED for a version without the files of a PEFT folder. */
export async function peftOf({ version, files }: LoadedVersion): Promise<PeftAdapter> {
  const [config, weights] = [files.get('adapter_config.json'), files.get('adapter_model.safetensors')];
  if (config && weights) return decodePeft({ config, weights });
  const got = [...files.keys()].join(', ');
  const expected = 'adapter_config.json and adapter_model.safetensors';
  throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', `the files of ${version}: got ${got}, expected ${expected}`);
}

/** An adapter to be merged: a PEFT folder, or a version. */
export interface NamedAdapter extends PeftAdapter {
  name: string;
  /** Its number, if it is one. */
  version?: string;
}

export const readFolder = async (folder: string): Promise<NamedAdapter> => ({
  ...(await readPeft(folder)),
  name: basename(resolve(folder)),
});

export async function readVersion(versions: AdapterVersions, versionOrAlias: string): Promise<NamedAdapter> {
  const loaded = await versions.load(versionOrAlias);
  return { ...(await peftOf(loaded)), name: loaded.version, version: loaded.version };
}
