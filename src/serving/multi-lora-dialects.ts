/**
 * How servers are told to load and unload adapters by name and path while they run. Read from their sources in autumn 2026:
 * vllm/entrypoints/openai/models/serving.py, sglang/srt/entrypoints/http_server.py, max/serve/router/openai_routes.py,
 * mistralrs-server-core/src/lora_adapters.rs.
 */
import { isRecord } from './http-client.js';

export const DIALECT_NAMES = ['vllm', 'sglang', 'max', 'mistral.rs'] as const;
export type DialectName = (typeof DIALECT_NAMES)[number];

/** What a server lists. */
export interface Listing {
  /** The name of the base model, where the listing has it. */
  base: string | undefined;
  /** By name; the path where the server tells it. */
  adapters: Map<string, string | undefined>;
}

export interface Dialect {
  load: string;
  unload: string;
  list: string;
  /** What load is sent beside lora_name and lora_path. */
  loadWith: Readonly<Record<string, unknown>>;
  /** undefined: not what this server answers. */
  readListing(answer: Record<string, unknown>[]): Listing | undefined;
  /** Whether answers say in their JSON body what became of the request, too. */
  saysSuccess: boolean;
  /** What goes into the field `model` of requests that this adapter is to answer. */
  modelField(adapter: string, base: string | undefined): string;
  /** What switches its routes on. */
  switchedOnBy: string;
}

const isText = (value: unknown): value is string => typeof value === 'string';

/** Base models without parent, adapters with one and with their path in `root`. */
function readParents(answer: Record<string, unknown>[]): Listing | undefined {
  const adapters = new Map<string, string | undefined>();
  let base: string | undefined;
  for (const { id, root, parent } of answer) {
    if (!isText(id)) return undefined;
    if (isText(parent)) adapters.set(id, isText(root) ? root : undefined);
    else base ??= id;
  }
  return { base, adapters };
}

/** The base model first, then the adapters, with nothing but their names. */
function readFirstAsBase(answer: Record<string, unknown>[]): Listing | undefined {
  const ids = answer.map(({ id }) => id);
  if (ids.length === 0 || !ids.every(isText)) return undefined;
  const [base, ...names] = ids;
  return { base, adapters: new Map(names.map((name) => [name, undefined])) };
}

/** Adapters only, by the aliases that they were loaded under. */
function readAliases(answer: Record<string, unknown>[]): Listing | undefined {
  const ids = answer.map(({ id }) => id);
  if (!ids.every(isText)) return undefined;
  return { base: undefined, adapters: new Map(ids.map((name) => [name, undefined])) };
}

const V1 = { load: '/v1/load_lora_adapter', unload: '/v1/unload_lora_adapter' };
const itself = (adapter: string) => adapter;

export const DIALECTS: Readonly<Record<DialectName, Dialect>> = {
  vllm: {
    ...V1,
    list: '/v1/models',
    loadWith: { load_inplace: false },
    readListing: readParents,
    saysSuccess: false,
    modelField: itself,
    switchedOnBy: 'VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and --enable-lora',
  },
  sglang: {
    load: '/load_lora_adapter',
    unload: '/unload_lora_adapter',
    list: '/v1/models',
    loadWith: { pinned: false },
    readListing: readParents,
    saysSuccess: true,
    // its OpenAI routes take base:adapter
    modelField: (adapter, base) => (base === undefined ? adapter : `${base}:${adapter}`),
    switchedOnBy: '--enable-lora',
  },
  max: {
    ...V1,
    list: '/v1/models',
    loadWith: {},
    readListing: readFirstAsBase,
    saysSuccess: false,
    modelField: itself,
    switchedOnBy: '--enable-lora',
  },
  'mistral.rs': {
    ...V1,
    list: '/v1/lora_adapters',
    loadWith: { load_inplace: false },
    readListing: readAliases,
    saysSuccess: false,
    modelField: itself,
    switchedOnBy: 'MISTRALRS_ALLOW_RUNTIME_LORA_UPDATING=1',
  },
};

/** The body of every listing. */
export function isListing(value: unknown): value is { data: Record<string, unknown>[] } {
  return isRecord(value) && Array.isArray(value.data) && value.data.every(isRecord);
}
