/** The safetensors files of a model folder: one, or several with an index. */
import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import { openSafetensors, type SafetensorsFile } from '../adapter/formats/safetensors-reader.js';
import { isJsonObject, parseStrictJson } from '../adapter/formats/strict-json.js';
import { fail } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { confinePath, requireRelativeName } from '../files/confined-path.js';
import { readSmallFile } from '../files/random-access.js';
import { type FoundTensor, listed } from './base-tensors.js';

const WEIGHTS_FILE = 'model.safetensors';
const INDEX_FILE = 'model.safetensors.index.json';
/** Some hundred bytes for each of ten thousand tensors. */
const MAX_INDEX_BYTES = 2 ** 24;
const MAX_FILES = 1024;

/** Where the files of a model are. With `root`, `folder` is relative to it and nothing may lead out of it. */
export interface FolderPlace {
  folder: string;
  root?: string;
}

/** The path of a file of the folder; `name` may come from elsewhere. Throws ERR_PATH_NOT_ALLOWED. */
export async function pathInFolder({ folder, root }: FolderPlace, name: string): Promise<string> {
  requireRelativeName('file', name);
  return root === undefined ? join(folder, name) : await confinePath(root, `${folder}/${name}`);
}

/** The bytes of a file of the folder, undefined where there is none. Throws ERR_FILE_ACCESS, ERR_PATH_NOT_ALLOWED. */
export async function readOptional(
  place: FolderPlace,
  name: string,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const path = await pathInFolder(place, name);
  return (await isThere(path)) ? await readSmallFile(path, maxBytes) : undefined;
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new LorakeetError('ERR_FILE_ACCESS', `${path}: cannot be read (${cause})`, { cause });
  }
}

/** The open files by name. Throws what is wrong with them; then none stays open. */
export async function openModelFiles(place: FolderPlace): Promise<Map<string, SafetensorsFile>> {
  const index = await readIndex(place);
  const files = new Map<string, SafetensorsFile>();
  try {
    for (const name of index ? new Set(index.values()) : [WEIGHTS_FILE]) {
      files.set(name, await openSafetensors(await pathInFolder(place, name)));
    }
    if (index) checkIndex(index, files);
    return files;
  } catch (error) {
    await closeFiles(files);
    throw error;
  }
}

export async function closeFiles(files: ReadonlyMap<string, SafetensorsFile>): Promise<void> {
  for (const file of files.values()) await file.close();
}

/** All tensors of the files; none stands in two of them, as the index names every one once. */
export function tensorsOf(files: ReadonlyMap<string, SafetensorsFile>): Map<string, FoundTensor> {
  const found = new Map<string, FoundTensor>();
  for (const [file, { tensors, dataStart }] of files) {
    for (const [name, info] of tensors) {
      found.set(name, { ...info, file, dataStart });
    }
  }
  return found;
}

/** File names by tensor, or undefined where all is in one file, which goes before an index as it does in transformers. */
async function readIndex(place: FolderPlace): Promise<Map<string, string> | undefined> {
  if (await isThere(await pathInFolder(place, WEIGHTS_FILE))) return undefined;
  const bytes = await readOptional(place, INDEX_FILE, MAX_INDEX_BYTES);
  if (!bytes) {
    const pickled = await isThere(await pathInFolder(place, 'pytorch_model.bin'));
    const why = pickled ? ' (pytorch_model.bin can run code when it is read; save the model as safetensors)' : '';
    throw new LorakeetError('ERR_FILE_ACCESS', `${place.folder}: has neither ${WEIGHTS_FILE} nor ${INDEX_FILE}${why}`);
  }
  const { value } = parseStrictJson(INDEX_FILE, bytes);
  const map = isJsonObject(value) ? value.weight_map : undefined;
  if (!isJsonObject(map)) fail('ERR_FORMAT_CORRUPT', `${INDEX_FILE}: weight_map`, map, 'file names by tensor');
  const index = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    const name = requireRelativeName(`${INDEX_FILE}: weight_map`, file);
    if (!name.endsWith('.safetensors')) {
      fail('ERR_FORMAT_UNSUPPORTED', `${INDEX_FILE}: weight_map`, name, 'names of safetensors files');
    }
    index.set(tensor, name);
  }
  const count = new Set(index.values()).size;
  if (count === 0 || count > MAX_FILES) fail('ERR_FORMAT_CORRUPT', `${INDEX_FILE}: files`, count, `1 to ${MAX_FILES}`);
  return index;
}

/** Index and files name the same tensors in the same places. */
function checkIndex(index: ReadonlyMap<string, string>, files: ReadonlyMap<string, SafetensorsFile>): void {
  const astray = [...index].filter(([tensor, file]) => !files.get(file)?.tensors.has(tensor)).map(([tensor]) => tensor);
  if (astray.length > 0)
    fail('ERR_FORMAT_CORRUPT', INDEX_FILE, listed(astray), 'tensors that are in the files named for them');
  const unnamed = [...files].flatMap(([file, { tensors }]) =>
    [...tensors.keys()].filter((tensor) => index.get(tensor) !== file),
  );
  if (unnamed.length > 0)
    fail('ERR_FORMAT_CORRUPT', INDEX_FILE, listed(unnamed), 'it to name every tensor of its files');
}
