/**
 * The service form against direct pool.learn calls: the same events by the same clients, in the same order, so that all must
 * end with the same adapters, which is checked before anything is reported.
 */
import { deepStrictEqual } from 'node:assert';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { silentLogger } from '#lorakeet/logger.js';
import { createAdapterPool } from '#lorakeet/personalization/pool.js';
import { createPersonalizationService } from '#lorakeet/personalization/service/service.js';
import type { PersonalizationServiceOptions } from '#lorakeet/personalization/service/types.js';
import type { PoolFeedback, UserLoRAAdapter } from '#lorakeet/personalization/types.js';
import { MemoryAdapterStore } from '#lorakeet/stores/memory-adapters.js';
import { SqliteAdapterStore } from '#lorakeet/stores/sqlite-adapters.js';
import type { AdapterStore } from '#lorakeet/versions/adapter-store.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import { type LoadResult, makeEvents, quantile, runClients } from './load.js';

export interface ServiceFormSize {
  dim: number;
  rank: number;
  users: number;
  events: number;
  clients: number;
  rounds: number;
}

/** How a variant is run: whether users fit into memory, and behind what. */
interface Variant {
  name: string;
  /** Share of the users that fit into memory. */
  memory: number;
  /** Absent: pool.learn itself. */
  service?: Partial<PersonalizationServiceOptions>;
  store?: 'memory' | 'sqlite';
  /** Every call is one step, so the adapters must come out as with direct calls. */
  exact: boolean;
}

const VARIANTS: readonly Variant[] = [
  { name: 'pool.learn, one call per event', memory: 1, exact: true },
  { name: 'service, all in memory', memory: 1, service: {}, store: 'memory', exact: true },
  { name: 'service, all in memory, 1 ms delay', memory: 1, service: { maxDelayMs: 1 }, store: 'memory', exact: true },
  { name: 'service, all in memory, merged', memory: 1, service: { steps: 'merged' }, store: 'memory', exact: false },
  { name: 'service, 1 in 10 in memory, memory store', memory: 0.1, service: {}, store: 'memory', exact: true },
  { name: 'service, 1 in 10 in memory, SQLite', memory: 0.1, service: {}, store: 'sqlite', exact: true },
];

export interface ServiceFormRow {
  what: string;
  /** Medians over the rounds. */
  updatesPerSecond: number;
  cpuMicrosPerUpdate: number;
  p50Ms: number;
  p99Ms: number;
  /** CPU time of a direct call as a multiple of this variant's. */
  directRatio: number;
  batchRows: number | null;
  evictions: number;
  reloads: number;
}

interface Round extends LoadResult {
  /** Of a service. */
  counted?: { batchRows: number; evictions: number; reloads: number };
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const size = parseSize(args);
  const { rows, backend } = await runServiceForm(size, onProgress);
  console.log(`\n${size.events} events of ${size.users} users (zipf), ${size.clients} clients, ${backend}\n`);
  console.log(tableOf(rows));
  return { size, backend, rows };
}

export async function runServiceForm(
  size: ServiceFormSize,
  onProgress: (what: string) => void,
): Promise<{ rows: ServiceFormRow[]; backend: string }> {
  const rounds = new Map<Variant, Round[]>(VARIANTS.map((variant) => [variant, []]));
  let backend = '';
  for (let seed = 0; seed < size.rounds; seed++) {
    const events = makeEvents({ ...size, seed });
    const someUsers = [...new Set(events.slice(0, 200).map(({ userId }) => userId as string))];
    let expected: unknown;
    // the variants take turns, so that what disturbs the machine disturbs them alike
    for (const variant of VARIANTS) {
      onProgress(`${variant.name}, round ${seed + 1} of ${size.rounds}`);
      const { adapters, round, device } = await runVariant(size, variant, events, someUsers);
      expected ??= adapters;
      if (variant.exact) deepStrictEqual(adapters, expected, `${variant.name}: other adapters than with direct calls`);
      rounds.get(variant)?.push(round);
      backend = device;
    }
  }
  const rows = VARIANTS.map((variant) => rowOf(variant, rounds.get(variant) as Round[], size));
  return {
    rows: rows.map((row) => ({ ...row, directRatio: rows[0].cpuMicrosPerUpdate / row.cpuMicrosPerUpdate })),
    backend,
  };
}

async function runVariant(size: ServiceFormSize, variant: Variant, events: PoolFeedback[], someUsers: string[]) {
  const capacity = Math.ceil(size.users * variant.memory);
  const { dim: embeddingDim, rank } = size;
  const pool = createAdapterPool({ embeddingDim, rank, capacity, threads: 1, logger: silentLogger });
  const device = `${pool.backend.name} ${pool.backend.device}`;
  if (!variant.service) {
    for (const some of everybody(size)) await pool.learn(some);
    const round = await runClients(events, size.clients, (event) => pool.learn([event]));
    const adapters = someUsers.map((userId) => numbersOf(pool.getAdapter(userId)));
    await pool.close();
    return { round, adapters, device };
  }
  const { store, dispose } = openStore(variant);
  const service = createPersonalizationService({ pool, store, ...variant.service });
  for (const some of everybody(size)) await service.learn(some);
  const before = service.stats();
  const round: Round = await runClients(events, size.clients, (event) => service.learn([event]));
  const { rows, batches, evictions, reloads } = service.stats();
  round.counted = {
    batchRows: (rows - before.rows) / (batches - before.batches),
    evictions: evictions - before.evictions,
    reloads: reloads - before.reloads,
  };
  const adapters = await Promise.all(someUsers.map(async (userId) => numbersOf(await service.getAdapter(userId))));
  await service.close();
  dispose();
  return { round, adapters, device };
}

/** One row of every user, so that making their adapters is not part of what is timed. */
function everybody({ dim, users }: ServiceFormSize): PoolFeedback[][] {
  const x = new Float32Array(dim).fill(0.1);
  const rows = Array.from({ length: users }, (_, i) => ({ userId: `user-${i}`, contentEmbedding: x, reward: 1 }));
  return Array.from({ length: Math.ceil(users / 1000) }, (_, i) => rows.slice(1000 * i, 1000 * (i + 1)));
}

function openStore({ store }: Variant): { store: AdapterStore; dispose: () => void } {
  if (store === 'memory') return { store: new MemoryAdapterStore(), dispose: () => {} };
  const folder = mkdtempSync(join(tmpdir(), 'lorakeet-bench-'));
  const sqlite = new SqliteAdapterStore(join(folder, 'adapters.db'));
  return {
    store: sqlite,
    dispose: () => {
      sqlite.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** All of an adapter but its dates. */
function numbersOf(adapter: UserLoRAAdapter | undefined) {
  const { createdAt, updatedAt, metadata, ...numbers } = adapter as UserLoRAAdapter;
  return { ...numbers, totalSamples: metadata.totalSamples, avgLoss: metadata.avgLoss };
}

function rowOf(variant: Variant, rounds: readonly Round[], { events }: ServiceFormSize): ServiceFormRow {
  const counted = rounds[0].counted ?? { batchRows: null, evictions: 0, reloads: 0 };
  const over = (figure: (round: Round) => number) => median(rounds.map(figure));
  return {
    what: variant.name,
    updatesPerSecond: over(({ wallMs }) => (1000 * events) / wallMs),
    cpuMicrosPerUpdate: over(({ cpuMs }) => (1000 * cpuMs) / events),
    p50Ms: over(({ latencies }) => quantile(latencies, 0.5)),
    p99Ms: over(({ latencies }) => quantile(latencies, 0.99)),
    directRatio: 1,
    ...counted,
  };
}

function tableOf(rows: readonly ServiceFormRow[]): string {
  return formatTable(
    ['<what', 'events/s', 'CPU µs', '× direct', 'p50 ms', 'p99 ms', 'rows/batch', 'evictions', 'reloads'],
    rows.map((row) => [
      row.what,
      row.updatesPerSecond.toFixed(0),
      row.cpuMicrosPerUpdate.toFixed(1),
      row.directRatio.toFixed(2),
      row.p50Ms.toFixed(2),
      row.p99Ms.toFixed(2),
      row.batchRows?.toFixed(0) ?? '',
      String(row.evictions),
      String(row.reloads),
    ]),
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
}

function parseSize(args: readonly string[]): ServiceFormSize {
  const text = (value: string) => ({ type: 'string', default: value }) as const;
  const options = {
    users: text('10000'),
    events: text('30000'),
    clients: text('256'),
    rounds: text('5'),
    shape: text('64/4'),
  };
  let values: Record<keyof typeof options, string>;
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const count = (name: 'users' | 'events' | 'clients' | 'rounds') => {
    const value = Number(values[name]);
    if (!Number.isInteger(value) || value < 1)
      throw new UsageError(`--${name}: got ${values[name]}, expected a number`);
    return value;
  };
  const [dim, rank] = values.shape.split('/').map(Number);
  if (!Number.isInteger(dim) || !Number.isInteger(rank)) {
    throw new UsageError(`--shape: got ${values.shape}, expected D/R`);
  }
  return {
    dim,
    rank,
    users: count('users'),
    events: count('events'),
    clients: count('clients'),
    rounds: count('rounds'),
  };
}
