/** What storages of metadata that keep it as text have in common: everything but the five calls of their table. */
import { type AdapterId, parseAdapterId } from './adapter-id.js';
import type { AdapterMetadata } from './adapter-metadata.js';
import { messageOf, untilAborted } from './attempt.js';
import { notBlank } from './checks.js';
import { decodeMetadata, encodeMetadata } from './metadata-json.js';
import { failure, type Result, success, type Unit } from './result.js';
import { type AdapterStorage, CANCELLED, OUTCOME_UNKNOWN, type StorageOptions } from './storage.js';

export interface MetadataRow {
  id: string;
  text: string;
}

/** What is written: the text, and what it is found by. */
export interface NewMetadataRow extends MetadataRow {
  /** Equal for task names that differ in nothing but case. */
  task: string;
  version: number;
}

export type Replacement = 'replaced' | 'missing' | 'changed';

/** Its failures are thrown; a write whose outcome cannot be known throws an OutcomeUnknown. */
export interface MetadataTable {
  /** Also in place of a row with the same id. */
  put(row: NewMetadataRow): Promise<void>;
  get(id: string): Promise<string | undefined>;
  /** Of a task, or all; in any order. */
  list(task: string | undefined): Promise<MetadataRow[]>;
  /** Replaces the row of this id if its version is `expected`, in one step. */
  replace(row: NewMetadataRow, expected: number): Promise<Replacement>;
  remove(id: string): Promise<void>;
}

export class OutcomeUnknown extends Error {}

export abstract class TextAdapterStorage implements AdapterStorage {
  readonly #table: MetadataTable;

  protected constructor(table: MetadataTable) {
    this.#table = table;
  }

  async storeMetadata(metadata: AdapterMetadata, { signal }: StorageOptions = {}): Promise<Result<Unit>> {
    return guarded(signal, async () => {
      const row = rowOf(metadata);
      if (row.isFailure) return failure(row.error);
      await this.#table.put(row.value);
      return success(undefined);
    });
  }

  async getMetadata(id: AdapterId, { signal }: StorageOptions = {}): Promise<Result<AdapterMetadata>> {
    return guarded(signal, async () => {
      const known = parseAdapterId(id);
      const text = known.hasValue ? await untilAborted(this.#table.get(known.value), signal) : undefined;
      return text === undefined ? failure(`Adapter not found: ${id}`) : decodeMetadata(text);
    });
  }

  async getAdaptersByTask(taskName: string, { signal }: StorageOptions = {}): Promise<Result<AdapterMetadata[]>> {
    return guarded(signal, async () => {
      const checked = notBlank('Task name', taskName);
      return checked.isFailure ? failure(checked.error) : this.#list(taskKey(taskName), signal);
    });
  }

  async listAdapters({ signal }: StorageOptions = {}): Promise<Result<AdapterMetadata[]>> {
    return guarded(signal, () => this.#list(undefined, signal));
  }

  async updateMetadata(metadata: AdapterMetadata, { signal }: StorageOptions = {}): Promise<Result<Unit>> {
    return guarded(signal, async () => {
      const row = rowOf(metadata);
      if (row.isFailure) return failure(row.error);
      const done = await this.#table.replace(row.value, metadata.version - 1);
      if (done === 'missing') return failure(`Adapter not found: ${metadata.id}`);
      return done === 'changed' ? failure(`Adapter changed meanwhile: ${metadata.id}`) : success(undefined);
    });
  }

  async deleteMetadata(id: AdapterId, { signal }: StorageOptions = {}): Promise<Result<Unit>> {
    return guarded(signal, async () => {
      const known = parseAdapterId(id);
      if (known.hasValue) await this.#table.remove(known.value);
      return success(undefined);
    });
  }

  async #list(task: string | undefined, signal: AbortSignal | undefined): Promise<Result<AdapterMetadata[]>> {
    const found: AdapterMetadata[] = [];
    for (const { id, text } of await untilAborted(this.#table.list(task), signal)) {
      const metadata = decodeMetadata(text);
      if (metadata.isFailure) return failure(`Adapter ${id}: ${metadata.error}`);
      found.push(metadata.value);
    }
    return success(found.sort(oldestFirst));
  }
}

/** The same for names that are equal without regard to case. */
export function taskKey(taskName: string): string {
  return taskName.toLowerCase();
}

/** Of those made at once, the one with the smaller id. */
export function oldestFirst(a: AdapterMetadata, b: AdapterMetadata): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || (a.id < b.id ? -1 : 1);
}

function rowOf(metadata: AdapterMetadata): Result<NewMetadataRow> {
  return encodeMetadata(metadata).map((text) => {
    const { id, taskName, version } = metadata;
    return { id: id.toLowerCase(), task: taskKey(taskName), version, text };
  });
}

async function guarded<T>(signal: AbortSignal | undefined, operation: () => Promise<Result<T>>): Promise<Result<T>> {
  if (signal?.aborted) return failure(CANCELLED);
  try {
    return await operation();
  } catch (error) {
    const message = messageOf(error);
    return failure(error instanceof OutcomeUnknown ? `${OUTCOME_UNKNOWN}: ${message}` : message);
  }
}
