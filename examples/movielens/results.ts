/** The figures of a run, from the squared errors of the three models. */

/** Squared errors of one user's events, in time order. */
export interface UserErrors {
  user: number;
  bias: Float64Array;
  ridge: Float64Array;
  adapter: Float64Array;
}

export interface RunResult {
  seed: number;
  users: UserErrors[];
  /** Users in each batch, and the seconds that the pool took to predict and learn them. */
  batches: { users: number; seconds: number }[];
  backend: { name: string; device: string; reason: string };
}

export const MODELS = ['bias', 'ridge', 'adapter'] as const;
export type Model = (typeof MODELS)[number];
export const MODEL_NAMES: Record<Model, string> = {
  bias: 'bias model',
  ridge: 'exact per-user ridge',
  adapter: 'lorakeet adapters',
};

/** A user's events from this one on (counting from 0) are late: the model has had 20 to learn from. */
export const LATE_FROM = 20;

export interface ModelFigures {
  rmse: number;
  /** Over late events; null where no user has any. */
  lateRmse: number | null;
}

export interface Summary extends Record<Model, ModelFigures> {
  seed: number;
  users: number;
  events: number;
  /** (bias − adapter) / (bias − ridge), of the RMSE over all events; null where ridge gains nothing. */
  ridgeGainShare: number | null;
  /** The same over late events. */
  lateRidgeGainShare: number | null;
  /** Seconds in the pool, predicting and learning. */
  seconds: number;
  updatesPerSecond: number;
  backend: string;
}

export function summarize(result: RunResult): Summary {
  const bias = figures(result, 'bias');
  const ridge = figures(result, 'ridge');
  const adapter = figures(result, 'adapter');
  const events = result.users.reduce((sum, { bias }) => sum + bias.length, 0);
  const seconds = result.batches.reduce((sum, batch) => sum + batch.seconds, 0);
  return {
    seed: result.seed,
    users: result.users.length,
    events,
    bias,
    ridge,
    adapter,
    ridgeGainShare: gainShare(bias.rmse, ridge.rmse, adapter.rmse),
    lateRidgeGainShare: gainShare(bias.lateRmse, ridge.lateRmse, adapter.lateRmse),
    seconds,
    updatesPerSecond: events / seconds,
    backend: result.backend.name,
  };
}

function figures({ users }: RunResult, model: Model): ModelFigures {
  const all = users.map((user) => user[model]);
  return {
    rmse: rootMean(all)!,
    lateRmse: rootMean(all.map((errors) => errors.subarray(LATE_FROM))),
  };
}

/** The root of the mean of squared errors, or null where there are none. */
export function rootMean(squaredErrors: readonly Float64Array[]): number | null {
  let sum = 0;
  let count = 0;
  for (const errors of squaredErrors) {
    for (const error of errors) sum += error;
    count += errors.length;
  }
  return count > 0 ? Math.sqrt(sum / count) : null;
}

/** Of the users' mean squared errors, after − before, and the standard error of that mean. */
export function meanDifference(
  after: readonly Float64Array[],
  before: readonly Float64Array[],
): { difference: number; standardError: number } {
  const meanOf = (errors: Float64Array) => errors.reduce((sum, error) => sum + error, 0) / errors.length;
  const differences = Float64Array.from(after, (errors, user) => meanOf(errors) - meanOf(before[user]));
  const difference = meanOf(differences);
  const variance = meanOf(differences.map((each) => (each - difference) ** 2));
  return { difference, standardError: Math.sqrt(variance / differences.length) };
}

function gainShare(bias: number | null, ridge: number | null, model: number | null): number | null {
  if (bias === null || ridge === null || model === null || bias <= ridge) return null;
  return (bias - model) / (bias - ridge);
}

const count = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });
export const formatCount = (value: number) => count.format(value);
export const formatRmse = (value: number | null) => (value === null ? '–' : value.toFixed(4));
export const formatShare = (value: number | null) => (value === null ? '–' : `${Math.round(100 * value)} %`);

/** The closing table and throughput, as text. */
export function formatSummary(summary: Summary, result: RunResult): string {
  const shares: Record<Model, [number | null, number | null]> = {
    bias: [0, 0],
    ridge: [1, 1],
    adapter: [summary.ridgeGainShare, summary.lateRidgeGainShare],
  };
  const rows = MODELS.map((model) => [
    MODEL_NAMES[model],
    formatRmse(summary[model].rmse),
    formatShare(shares[model][0]),
    formatRmse(summary[model].lateRmse),
    formatShare(shares[model][1]),
  ]);
  const line = (cells: string[]) =>
    cells[0].padEnd(22) + cells[1].padStart(8) + cells[2].padStart(12) + cells[3].padStart(13) + cells[4].padStart(12);
  const { name, device, reason } = result.backend;
  return [
    `${' '.repeat(22)}${'all events'.padStart(20)}${'from the 21st event on'.padStart(25)}`,
    line(['', 'RMSE', 'ridge gain', 'RMSE', 'ridge gain']),
    ...rows.map(line),
    '',
    `${formatCount(summary.events)} updates of ${summary.users} adapters in ${summary.seconds.toFixed(2)} s: ` +
      `${formatCount(summary.updatesPerSecond)} updates per second, predicting included`,
    `backend ${name}${device === name ? '' : ` (${device})`}: ${reason}`,
  ].join('\n');
}
