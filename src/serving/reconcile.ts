/** Bringing a server to what the store of versions says: after a change, after a restart of either, or just to be sure. */
import { decodePeft } from '../adapter/formats/peft-reader.js';
import { LorakeetError } from '../errors.js';
import type { AdapterVersions, LoadedVersion, VersionState } from '../versions/adapter-versions.js';
import type { AdapterSource, OperationOptions, ServingDriver, ServingStatus } from './driver.js';

export interface ReconcileOptions extends OperationOptions {
  /** What the adapter is called at the server. Default: as in the store. */
  name?: string;
  /** The weights of a version, in a form that the driver takes. Default: sourceOf. */
  load?: (version: LoadedVersion) => Promise<AdapterSource> | AdapterSource;
  /** false: the base model, whatever the store says. Default: true. */
  adapters?: boolean;
}

export interface Reconciled {
  status: ServingStatus;
  /** Of the adapter in the store: what is served is what it said then. */
  sequence: number;
  /** false: all was as it should be. */
  changed: boolean;
}

/** So often does it begin anew when the store changes meanwhile. */
const MAX_ROUNDS = 20;

/**
 * Deploys the version that `active` points to, or, where it points to nothing or the kill switch is on, has the base model
 * served; does nothing where that is so. Whatever is changed in the store meanwhile is followed: what it resolves to was
 * true after the server had been brought to it. Rejects as the store and the driver do, and with ERR_VERSION_CONFLICT if
 * the store says something else after each of 20 rounds.
 */
export async function reconcile(
  versions: AdapterVersions,
  driver: ServingDriver,
  {
    name = versions.adapter,
    load = (version) => sourceOf(version),
    adapters = true,
    ...options
  }: ReconcileOptions = {},
): Promise<Reconciled> {
  const wantedBy = (state: VersionState) => (adapters ? activeOf(state) : null);
  let changed = false;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const state = await versions.state();
    const wanted = wantedBy(state);
    try {
      let status = await driver.status(name, options);
      if (!isServing(status, wanted)) {
        changed = true;
        status = await bring(versions, driver, name, wanted, load, options);
      }
      const now = await versions.state();
      if (wantedBy(now) !== wanted) continue;
      if (isServing(status, wanted)) return { status, sequence: now.sequence, changed };
    } catch (error) {
      // what was asked for may have been deleted, or have been stopped by the kill switch, meanwhile
      if (options.signal?.aborted || wantedBy(await versions.state()) === wanted) throw error;
      continue;
    }
    const what = `${name}: ${driver.target} was brought to ${wanted ?? 'the base model'}`;
    throw new LorakeetError('ERR_SERVING_MISMATCH', `${what}, and serves something else`);
  }
  const what = `adapter ${JSON.stringify(versions.adapter)}`;
  throw new LorakeetError('ERR_VERSION_CONFLICT', `${what}: active was moved during each of ${MAX_ROUNDS} rounds`);
}

/**
 * The modules of a version with the files of a PEFT folder, else the bytes of its adapter.bin; `exact`: the other way round,
 * for drivers that take bytes, as a PEFT folder has the scale of alpha / rank folded in. Rejects with ERR_FORMAT_UNSUPPORTED
 * for a version with neither, and as decodePeft.
 */
export async function sourceOf(
  { version, files }: LoadedVersion,
  { exact = false }: { exact?: boolean } = {},
): Promise<AdapterSource> {
  const [config, weights] = [files.get('adapter_config.json'), files.get('adapter_model.safetensors')];
  const bytes = files.get('adapter.bin');
  if (bytes && (exact || !(config && weights))) return { bytes };
  if (config && weights) return { modules: (await decodePeft({ config, weights })).modules };
  const expected = 'adapter.bin, or adapter_config.json and adapter_model.safetensors';
  const got = [...files.keys()].join(', ');
  throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', `the files of ${version}: got ${got}, expected ${expected}`);
}

function activeOf({ disabled, aliases }: VersionState): string | null {
  return disabled ? null : (aliases.active ?? null);
}

function isServing({ version, settled }: ServingStatus, wanted: string | null): boolean {
  return settled && version === wanted;
}

async function bring(
  versions: AdapterVersions,
  driver: ServingDriver,
  name: string,
  wanted: string | null,
  load: NonNullable<ReconcileOptions['load']>,
  options: OperationOptions,
): Promise<ServingStatus> {
  if (wanted === null) return driver.disable(name, options);
  const loaded = await versions.load(wanted);
  const { baseModel } = loaded.manifest;
  const source = await load(loaded);
  const request = { name, version: wanted, ...source, ...(baseModel && { baseModel }) };
  return driver.deploy(request, {
    ...options,
    confirm: async () => {
      if (activeOf(await versions.state()) === wanted) return;
      throw new LorakeetError('ERR_ABORTED', `${name} ${wanted}: the store says something else by now`);
    },
  });
}
