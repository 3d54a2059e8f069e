/** Versions, and what is served, as lines. */
import type { AdapterDetails, AdapterSummary, LoraResult, LoraStatus } from '../../service/engine/operations.js';
import { bytes, decimal, type Field, fields, table } from '../text.js';

export function adapterTable(adapters: readonly AdapterSummary[]): string[] {
  const columns = ['version', 'created', 'approved', 'aliases', 'samples', 'loss', 'size', 'author'];
  const rows = adapters.map(({ version, createdAt, approved, quarantined, aliases, metrics, sizeBytes, author }) => {
    const state = quarantined ? 'quarantined' : approved ? 'yes' : 'no';
    return [
      version,
      createdAt,
      state,
      aliases,
      metrics.samples,
      decimal(metrics.trainingLoss),
      bytes(sizeBytes),
      author,
    ];
  });
  return table(columns, rows, 'no versions');
}

export function adapterLines(adapter: AdapterDetails): string[] {
  const { baseModel, parents, files, metrics, training } = adapter;
  const provenance = Object.entries(training).map(([name, value]): Field => [`  ${name}`, inShort(value)]);
  return [
    ...fields([
      ['version', adapter.version],
      ['created', adapter.createdAt],
      ['author', adapter.author],
      ['approved', adapter.approved],
      ['quarantined', adapter.quarantined],
      ['aliases', adapter.aliases],
      ['base model', baseModel ? `${baseModel.name} ${baseModel.sha256.slice(0, 12)}` : null],
      ['parents', parents.map((parent) => `${parent.adapter} ${parent.version}`)],
      ['size', bytes(adapter.sizeBytes)],
      ['library', adapter.libraryVersion],
    ]),
    ...section(
      'files',
      files.map(({ name, sizeBytes, sha256 }): Field => [`  ${name}`, `${bytes(sizeBytes)} ${sha256.slice(0, 12)}`]),
    ),
    ...section(
      'metrics',
      Object.entries(metrics).map(([name, value]): Field => [`  ${name}`, value]),
    ),
    ...section('provenance', provenance),
  ];
}

const section = (title: string, list: readonly Field[]) => (list.length === 0 ? [] : [title, ...fields(list)]);
const SHORT_CHARACTERS = 80;

/** All of it is in --json. */
function inShort(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const text = JSON.stringify(value);
  return text.length > SHORT_CHARACTERS ? `${text.slice(0, SHORT_CHARACTERS)}…` : text;
}

const HISTORY_LINES = 10;

export function loraLines(status: LoraStatus): string[] {
  const { serving, history } = status;
  const replicas = serving.map((one) => [one.target, one.version, one.settled ? 'settled' : 'not settled', one.error]);
  const changes = history
    .slice(0, HISTORY_LINES)
    .map(({ at, operation, fromVersion, version, actor, reason, override }) => [
      at,
      override ? `${operation} (override)` : operation,
      fromVersion,
      version,
      actor,
      reason,
    ]);
  return [
    ...fields([
      ['enabled', status.enabled],
      ['active', status.active],
      ['previous', status.previous],
      ['known-good', status.knownGood],
      ['quarantined', status.quarantined],
    ]),
    '',
    ...table(['served by', 'version', 'state', 'error'], replicas, 'served by nothing'),
    '',
    ...table(['at', 'change', 'from', 'version', 'actor', 'reason'], changes, 'no changes'),
  ];
}

export function loraResultLines({
  fromVersion,
  toVersion,
  durationMs,
  withinTarget,
  targetMs,
  status,
}: LoraResult): string[] {
  const late = withinTarget ? '' : `, longer than the ${targetMs / 1000} s aimed at`;
  const behind = status.serving.filter(({ settled }) => !settled);
  return [
    `${fromVersion ?? 'base model'} → ${toVersion ?? 'base model'} in ${(durationMs / 1000).toFixed(2)} s${late}`,
    ...behind.map(({ target, error }) => `not there yet: ${target}${error ? ` (${error})` : ''}`),
  ];
}
