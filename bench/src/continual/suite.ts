/** `npm run bench -- continual`: what is kept of earlier tasks, as tables and as a line in bench/results. */
import { join } from 'node:path';
import { selectBackend } from '#lorakeet/kernels/select.js';
import { describeMachine, readCommit } from '../machine.js';
import { appendRecord } from '../results.js';
import { formatTable } from '../table.js';
import { type Method, PermutedTasks } from './permuted-tasks.js';
import { keptRise, learnTwoTasks } from './two-tasks.js';

const SIZE = { tasks: 6, trainImages: 4000, testImages: 1000 };
const PROTOCOL_SEEDS = [0, 1, 2];
const RUNS: readonly [Method, number][] = [
  ['naive', 0],
  ['ewc', 30],
  ['ewc', 100],
  ['ewc', 300],
  ['online', 300],
  ['online', 1000],
  ['online', 2000],
  ['joint', 0],
];

const TWO_TASK_SEEDS = [0, 1, 2, 3, 4];
const LAMBDAS = [0.01, 0.1, 0.5, 1, 3, 10, 16, 30, 100, 300, 1000];
const LEARNING_RATES = [0.001, 0.003];

export interface ProtocolRow {
  method: Method;
  lambda: number;
  /** One per seed. */
  acc: number[];
  bwt: (number | null)[];
}

export interface TwoTaskRow {
  learningRate: number;
  lambda: number;
  /** Rise of task 1's loss as a share of that without EWC, one per seed. */
  rise: number[];
  /** Loss of task 2 as a share of its start, one per seed. */
  second: number[];
}

export async function runContinualSuite(root: string, args: readonly string[]): Promise<void> {
  const { backend, reason } = selectBackend();
  const date = new Date().toISOString();
  const machine = describeMachine();
  const commit = readCommit(root);
  console.log(`${backend.name} (${backend.device}): ${reason}; ${date}, commit ${commit}`);
  const protocol = runProtocol();
  console.log(`\n${protocolTable(protocol)}`);
  const twoTasks = await runTwoTasks();
  console.log(`\n${twoTaskTable(twoTasks)}`);
  const command = ['npm run bench --', ...args].join(' ');
  const file = join(root, 'bench', 'results', 'continual.jsonl');
  appendRecord(file, { date, commit, command, machine, backend: backend.device, protocol, twoTasks });
}

function runProtocol(): ProtocolRow[] {
  const rows = RUNS.map(([method, lambda]): ProtocolRow => ({ method, lambda, acc: [], bwt: [] }));
  for (const seed of PROTOCOL_SEEDS) {
    const protocol = new PermutedTasks(selectBackend().backend, SIZE, seed);
    for (const row of rows) {
      const { acc, bwt } = protocol.run(row.method, row.lambda);
      row.acc.push(acc);
      row.bwt.push(bwt);
    }
  }
  return rows;
}

async function runTwoTasks(): Promise<TwoTaskRow[]> {
  const rows: TwoTaskRow[] = [];
  for (const learningRate of LEARNING_RATES) {
    const without = await Promise.all(TWO_TASK_SEEDS.map((seed) => learnTwoTasks(seed, { learningRate }, false)));
    for (const lambda of LAMBDAS) {
      const settings = { learningRate, ewcLambda: lambda };
      const results = await Promise.all(TWO_TASK_SEEDS.map((seed) => learnTwoTasks(seed, settings)));
      rows.push({
        learningRate,
        lambda,
        rise: results.map((result, i) => keptRise(result, without[i])),
        second: results.map(({ second }) => second.learned / second.start),
      });
    }
  }
  return rows;
}

const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

function protocolTable(rows: readonly ProtocolRow[]): string {
  return formatTable(
    ['<permuted tasks', 'λ', 'ACC', 'BWT'],
    rows.map(({ method, lambda, acc, bwt }) => [
      method,
      lambda > 0 ? String(lambda) : '',
      average(acc).toFixed(3),
      bwt.includes(null) ? '' : average(bwt as number[]).toFixed(3),
    ]),
  );
}

function twoTaskTable(rows: readonly TwoTaskRow[]): string {
  const header = TWO_TASK_SEEDS.map((seed) => `seed ${seed}`);
  return formatTable(
    ['learning rate', 'λ', ...header],
    rows.map(({ learningRate, lambda, rise, second }) => [
      String(learningRate),
      String(lambda),
      ...rise.map((each, i) => `${each.toFixed(2)} · ${second[i].toFixed(3)}`),
    ]),
  );
}
