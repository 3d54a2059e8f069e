/** The series behind the plots of the report. */
import { MODELS, type Model, type RunResult, rootMean, type UserErrors } from './results.js';

/** A curve ends where fewer users than this have events left: beyond it shows single people. */
const MIN_USERS = 20;
/** Event numbers that one point of the error curves averages over. */
export const WINDOW = 30;
/** Before that many events an average is noise. */
const FIRST_POINT = 5;
const THROUGHPUT_POINTS = 40;

export interface ReportData {
  /** RMSE over the last WINDOW event numbers, by event number; a curve per model. */
  errors: { event: number[] } & Record<Model, number[]>;
  /** The same as improvement on the bias model. */
  gains: { event: number[]; ridge: number[]; adapter: number[] };
  /** One point per user, by rising RMSE of the bias model, and how far the adapter's lies below it. */
  users: { bias: number[]; gain: number[]; better: number };
  /** Updates per second, and users per batch, by seconds spent in the pool. */
  throughput: { seconds: number[]; updatesPerSecond: number[]; usersPerBatch: number[] };
}

export function reportData(result: RunResult): ReportData {
  const errors = errorCurves(result.users);
  const less = (model: Model) => errors.bias.map((bias, i) => bias - errors[model][i]);
  return {
    errors,
    gains: { event: errors.event, ridge: less('ridge'), adapter: less('adapter') },
    users: userErrors(result.users),
    throughput: throughput(result.batches),
  };
}

function errorCurves(users: readonly UserErrors[]): ReportData['errors'] {
  const lengths = users.map(({ bias }) => bias.length).sort((a, b) => b - a);
  const end = lengths[Math.min(MIN_USERS, lengths.length) - 1];
  const curves: ReportData['errors'] = { event: [], bias: [], ridge: [], adapter: [] };
  for (let last = Math.min(FIRST_POINT, end); last <= end; last++) {
    curves.event.push(last);
    for (const model of MODELS) {
      const recent = users.map((user) => user[model].subarray(Math.max(0, last - WINDOW), last));
      curves[model].push(rootMean(recent)!);
    }
  }
  return curves;
}

function userErrors(users: readonly UserErrors[]): ReportData['users'] {
  const points = users
    .map(({ bias, adapter }) => ({ bias: rootMean([bias])!, adapter: rootMean([adapter])! }))
    .sort((a, b) => a.bias - b.bias);
  return {
    bias: points.map(({ bias }) => bias),
    gain: points.map(({ bias, adapter }) => bias - adapter),
    better: points.filter(({ bias, adapter }) => adapter < bias).length,
  };
}

/** Batches in groups that took about the same time each. */
function throughput(batches: RunResult['batches']): ReportData['throughput'] {
  const total = batches.reduce((sum, { seconds }) => sum + seconds, 0);
  const points: ReportData['throughput'] = { seconds: [], updatesPerSecond: [], usersPerBatch: [] };
  let elapsed = 0;
  let group = { batches: 0, users: 0, seconds: 0 };
  batches.forEach(({ users, seconds }, i) => {
    elapsed += seconds;
    group = { batches: group.batches + 1, users: group.users + users, seconds: group.seconds + seconds };
    if (group.seconds < total / THROUGHPUT_POINTS && i < batches.length - 1) return;
    points.seconds.push(elapsed);
    points.updatesPerSecond.push(group.users / group.seconds);
    points.usersPerBatch.push(group.users / group.batches);
    group = { batches: 0, users: 0, seconds: 0 };
  });
  return points;
}
