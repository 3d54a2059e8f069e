/** Adapters as files that a server reads: written here, named as the server sees them. */
import { mkdir, rm } from 'node:fs/promises';
import { dirname, join, posix, relative, resolve, sep } from 'node:path';
import { MAX_CONFIG_BYTES, parsePeftConfig } from '../adapter/formats/peft-config.js';
import { CONFIG_FILE, readPeft, WEIGHTS_FILE } from '../adapter/formats/peft-reader.js';
import { encodePeft } from '../adapter/formats/peft-writer.js';
import type { LoraModules } from '../adapter/lora-module.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { confinePath } from '../files/confined-path.js';
import { readSmallFile } from '../files/random-access.js';
import type { DeployRequest } from './driver.js';

export interface AdapterFilesOptions {
  /** Where adapters are written that do not come as a folder; it must exist, and the server must see it. */
  folder?: string;
  /** What the server calls it; default: the same. */
  serverFolder?: string;
}

export const FILES_KEYS = ['folder', 'serverFolder'];

export class AdapterFiles {
  readonly #folder: string | undefined;
  readonly #serverFolder: string;

  /** Throws ERR_INVALID_CONFIG. */
  constructor({ folder, serverFolder }: AdapterFilesOptions) {
    for (const [name, value] of Object.entries({ folder, serverFolder })) {
      const ok = value === undefined || (typeof value === 'string' && value !== '');
      if (!ok) fail('ERR_INVALID_CONFIG', `options.${name}`, value, 'the path of a folder');
    }
    if (serverFolder !== undefined && folder === undefined) {
      fail('ERR_INVALID_CONFIG', 'options.serverFolder', serverFolder, 'none without options.folder');
    }
    this.#folder = folder === undefined ? undefined : resolve(folder);
    this.#serverFolder = (serverFolder ?? this.#folder ?? '').replace(/\/+$/, '');
  }

  /** Where the server finds a PEFT folder: the one that was given, or the one that write() makes of modules. */
  serverPathOf(request: DeployRequest): string {
    if (request.folder !== undefined) return this.toServer(resolve(request.folder));
    return this.serverPath(`${request.name}/${request.version}`);
  }

  /** Of what is below the folder. Throws ERR_INVALID_CONFIG where there is none. */
  serverPath(name: string): string {
    this.#requireFolder();
    return posix.join(this.#serverFolder, name);
  }

  toServer(path: string): string {
    const below = this.#folder === undefined ? undefined : relative(this.#folder, path);
    if (below === undefined || below === '..' || below.startsWith(`..${sep}`) || below === path) return path;
    return posix.join(this.#serverFolder, ...below.split(sep));
  }

  fromServer(path: string): string {
    if (this.#folder === undefined || !path.startsWith(`${this.#serverFolder}/`)) return path;
    return join(this.#folder, path.slice(this.#serverFolder.length + 1));
  }

  /** The path of a new file below the folder; the folders in between are made. Throws ERR_PATH_NOT_ALLOWED, ERR_FILE_ACCESS. */
  async pathFor(name: string): Promise<string> {
    const path = await confinePath(this.#requireFolder(), name);
    try {
      await mkdir(dirname(path), { recursive: true });
    } catch (cause) {
      throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be written (${cause})`, { cause });
    }
    return path;
  }

  /** Puts modules where serverPathOf says; a folder that was given stays where it is. As writePeft throws. */
  async write({ name, version, modules }: DeployRequest): Promise<void> {
    if (modules) await this.writeModules(`${name}/${version}`, modules);
  }

  /**
   * What is there already stays untouched, as a server may be reading it, and drivers of several servers that share the folder
   * may write the same at the same time: each file comes whole, and only other contents are taken away first.
   */
  async writeModules(name: string, modules: LoraModules): Promise<void> {
    const path = await this.pathFor(`${name}/${CONFIG_FILE}`);
    const { config, weights } = encodePeft(modules);
    const before = await readSmallFile(path, MAX_CONFIG_BYTES).catch(() => undefined);
    const isComplete = before !== undefined && Buffer.compare(before, config) === 0;
    const weightsPath = join(dirname(path), WEIGHTS_FILE);
    const found = await readSmallFile(weightsPath, weights.length).catch(() => undefined);
    const hasWeights = found !== undefined && Buffer.compare(found, weights) === 0;
    if (isComplete && hasWeights) return;
    if (before !== undefined && !isComplete) await removeFile(path);
    if (!hasWeights) await writeAtomically(weightsPath, (append) => append(weights));
    if (!isComplete) await writeAtomically(path, (append) => append(config));
  }

  #requireFolder(): string {
    if (this.#folder !== undefined) return this.#folder;
    return fail('ERR_INVALID_CONFIG', 'options.folder', undefined, 'a folder, where adapters come as modules');
  }
}

async function removeFile(path: string): Promise<void> {
  try {
    await rm(path, { force: true });
  } catch (cause) {
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be replaced (${cause})`, { cause });
  }
}

/** The modules of a request. Throws ERR_FORMAT_UNSUPPORTED for bytes, and as readPeft. */
export async function modulesOf(target: string, { folder, modules, bytes }: DeployRequest): Promise<LoraModules> {
  if (bytes) refuseBytes(target);
  return modules ?? (await readPeft(folder as string)).modules;
}

/** The highest rank among the modules of a request; as modulesOf() throws. */
export async function rankOf({ folder, modules }: DeployRequest): Promise<number> {
  if (modules) return Math.max(...Array.from(modules.values(), ({ rank }) => rank));
  const name = join(folder as string, CONFIG_FILE);
  const { rank, rankPattern } = parsePeftConfig(name, await readSmallFile(name, MAX_CONFIG_BYTES));
  return Math.max(rank, ...rankPattern.values());
}

export function refuseBytes(target: string): never {
  const expected = `a PEFT folder or modules, which are what ${target} takes`;
  throw new LorakeetError('ERR_FORMAT_UNSUPPORTED', `request.bytes: expected ${expected}`);
}
