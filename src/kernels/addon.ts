/** The native addon: finding it, and turning its errors into LorakeetErrors. Who uses it gives its functions their types. */
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ERROR_CODES, LorakeetError, type LorakeetErrorCode } from '../errors.js';

/** Changes with every change of the addon's functions; binding/modules.cc has the same number. */
const BINDING_VERSION = 9;

const PACKAGE_ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..');

/** CommonJS without types: gives the addon of a folder, or the path that it would load. */
const nodeGypBuild = createRequire(import.meta.url)('node-gyp-build') as {
  (folder: string): unknown;
  resolve(folder: string): string;
};

/** What the addon says of itself. */
export interface AddonInfo {
  info(
    withCuda: boolean,
    withDecoder?: boolean,
  ): {
    bindingVersion: number;
    instructionSets: string[];
    /** Bits, by place in STATE_DTYPES. */
    stateDtypes: number;
    cudaDevice?: string;
    cudaReason?: string;
    cudaStateDtypes?: number;
    /** The GPU that language models can be computed on. */
    decoderDevice?: string;
    decoderReason?: string;
  };
}

/** What this machine offers. `file` is relative to the package; `reason` says why `addon` is missing. */
interface Loaded {
  addon?: AddonInfo;
  file?: string;
  reason: string;
}

let loaded: Loaded | undefined;

function load(): Loaded {
  if (loaded) return loaded;
  let file: string | undefined;
  try {
    const path = nodeGypBuild.resolve(PACKAGE_ROOT);
    file = path.slice(PACKAGE_ROOT.length + 1);
    const addon = nodeGypBuild(PACKAGE_ROOT) as AddonInfo;
    const { bindingVersion } = addon.info(false);
    loaded =
      bindingVersion === BINDING_VERSION
        ? { addon, file, reason: '' }
        : { file, reason: `${file} has binding version ${bindingVersion}, expected ${BINDING_VERSION}: build it anew` };
  } catch (error) {
    loaded = { file, reason: file ? `${file} cannot be loaded: ${messageOf(error)}` : missingReason() };
  }
  return loaded;
}

function missingReason(): string {
  const platform = `${process.platform}-${process.arch}`;
  const prebuilt = existsSync(join(PACKAGE_ROOT, 'prebuilds', platform));
  return prebuilt
    ? `no prebuilt addon for ${platform} fits this system, and none was built from source`
    : `there is no prebuilt addon for ${platform}, and none was built from source`;
}

/** The addon with the functions that the caller knows of it; without `addon`, the reason. */
export function loadAddon<Functions extends AddonInfo>(): { addon?: Functions; file?: string; reason: string } {
  return load() as { addon?: Functions; file?: string; reason: string };
}

/** `wanted`, or what LORAKEET_ISA names, or the fastest; throws ERR_BACKEND_UNAVAILABLE for one that this processor lacks. */
export function instructionSet(addon: AddonInfo, wanted: string | undefined): string {
  const { instructionSets } = addon.info(false);
  const isa = wanted ?? (process.env.LORAKEET_ISA || instructionSets[0]);
  if (!instructionSets.includes(isa)) {
    const known = instructionSets.join(', ');
    throw new LorakeetError(
      'ERR_BACKEND_UNAVAILABLE',
      `backend cpu: instruction set ${isa} is not one that this processor runs (${known})`,
    );
  }
  return isa;
}

/** What the call gives; an error of the addon's becomes a LorakeetError. */
export function coded<T>(call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toLorakeetError(error);
  }
}

export function codedAsync<T>(result: Promise<T>): Promise<T> {
  return result.catch((error: unknown) => {
    throw toLorakeetError(error);
  });
}

export function toLorakeetError(error: unknown): unknown {
  const code = (error as { code?: unknown }).code;
  if (error instanceof LorakeetError || typeof code !== 'string' || !(code in ERROR_CODES)) return error;
  return new LorakeetError(code as LorakeetErrorCode, messageOf(error));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
