/**
 * What the embedded bank costs, and what it is good for: how many updates new users spare in reaching the loss that they reach without it, once
 * the bank has watched others. Both sides learn the same batches in the same order; the bank goes on trying settings.
 */
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { LoRAConfig } from '#lorakeet/personalization/types.js';
import { ReasoningBank } from '#lorakeet/reasoning/embedded/bank.js';
import { formatTable } from '../table.js';
import { UsageError } from '../usage-error.js';
import { learnAll, meanCurve, type Population, sparedShare, updatesTo } from './learners.js';
import { loadExample, movieLensPopulation } from './movielens.js';
import { measureRetrieval, type RetrievalRow } from './retrieval.js';
import { syntheticPopulation } from './synthetic.js';

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const SYNTHETIC = { earlier: 200, fresh: 60 };
/** Learning rates among which the best single one for the synthetic population is looked for. */
const RATES = [0.1, 0.3, 1, 3, 10];
const SGD: LoRAConfig = { optimizer: 'sgd', useEWC: false };

interface Scenario {
  name: string;
  population(seed: number): Population;
  /** Settings without advice. */
  config(population: Population): LoRAConfig | Promise<LoRAConfig>;
}

export interface ScenarioResult {
  name: string;
  /** Share of the updates spared, one per seed. */
  spared: number[];
  mean: number;
  /** Half the width of the 95 % confidence interval of the mean. */
  margin: number;
  /** Mean updates to the loss that both reach. */
  updatesWithout: number;
  updatesWith: number;
}

export async function run(args: readonly string[], onProgress: (what: string) => void): Promise<object> {
  const seeds = parseSeeds(args);
  const example = await loadExample(ROOT);
  const movieLens = (seed: number) => movieLensPopulation(example, ROOT, seed);
  const synthetic = (seed: number) => syntheticPopulation(seed, SYNTHETIC);
  const scenarios: Scenario[] = [
    { name: 'MovieLens, defaults', population: movieLens, config: () => ({}) },
    {
      name: 'MovieLens, settings chosen for it by hand',
      population: movieLens,
      config: () => example.ADAPTER_SETTINGS,
    },
    { name: 'synthetic, defaults', population: synthetic, config: () => ({}) },
    { name: 'synthetic, SGD at the best single rate', population: synthetic, config: bestSingleRate },
  ];
  onProgress('retrieval');
  const retrieval = await measureRetrieval();
  console.log(`\n${retrievalTable(retrieval)}`);
  const results: ScenarioResult[] = [];
  for (const scenario of scenarios) results.push(await runScenario(scenario, seeds, onProgress));
  console.log(`\n${seeds} seeds; ± is the 95 % confidence interval of the mean\n\n${tableOf(results)}`);
  return { seeds, retrieval, results };
}

async function runScenario(
  scenario: Scenario,
  seeds: number,
  onProgress: (what: string) => void,
): Promise<ScenarioResult> {
  const spared: number[] = [];
  let [updatesWithout, updatesWith] = [0, 0];
  for (let seed = 0; seed < seeds; seed++) {
    const population = scenario.population(seed);
    const config: LoRAConfig = { ...(await scenario.config(population)), embeddingDim: population.features };
    const bank = new ReasoningBank(':memory:', { seed });
    await learnAll(config, population.earlier, bank);
    const without = await meanCurve(config, population.fresh);
    const withBank = await meanCurve(config, population.fresh, bank);
    await bank.close();
    const level = Math.max(Math.min(...without), Math.min(...withBank));
    updatesWithout += updatesTo(without, level) / seeds;
    updatesWith += updatesTo(withBank, level) / seeds;
    spared.push(sparedShare(without, withBank));
    onProgress(`${scenario.name}, seed ${seed}: ${percent(spared[seed])} fewer updates`);
  }
  return { name: scenario.name, spared, ...interval(spared), updatesWithout, updatesWith };
}

/** The rate with the least loss on the way, summed over all updates of the new users, were all given the same. */
async function bestSingleRate(population: Population): Promise<LoRAConfig> {
  const { features: embeddingDim, earlier } = population;
  const few = earlier.slice(0, 60);
  let best = { learningRate: RATES[0], loss: Infinity };
  for (const learningRate of RATES) {
    const curve = await meanCurve({ ...SGD, embeddingDim, learningRate }, few);
    const loss = curve.reduce((sum, one) => sum + one, 0);
    if (loss < best.loss) best = { learningRate, loss };
  }
  return { ...SGD, learningRate: best.learningRate };
}

/** Student's t for 95 %, two-sided, by degrees of freedom from 1 on. */
const STUDENT = [12.71, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

export function interval(values: readonly number[]): { mean: number; margin: number } {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { mean, margin: Infinity };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, margin: (STUDENT[count - 2] ?? 2.2) * Math.sqrt(variance / count) };
}

function tableOf(results: readonly ScenarioResult[]): string {
  return formatTable(
    ['<new users', 'updates without', 'with the bank', 'spared', '±', 'least', 'most'],
    results.map(({ name, spared, mean, margin, updatesWithout, updatesWith }) => [
      name,
      updatesWithout.toFixed(1),
      updatesWith.toFixed(1),
      percent(mean),
      percent(margin),
      percent(Math.min(...spared)),
      percent(Math.max(...spared)),
    ]),
  );
}

function retrievalTable(rows: readonly RetrievalRow[]): string {
  return formatTable(
    ['patterns', 'store µs', 'retrieve ms', 'learnStrategy ms'],
    rows.map(({ patterns, storeMicros, retrieveMs, learnStrategyMs }) => [
      String(patterns),
      storeMicros.toFixed(1),
      retrieveMs.toFixed(2),
      learnStrategyMs.toFixed(2),
    ]),
  );
}

const percent = (share: number) => `${(100 * share).toFixed(0)} %`;

function parseSeeds(args: readonly string[]): number {
  let values: { seeds?: string };
  try {
    ({ values } = parseArgs({ args: [...args], options: { seeds: { type: 'string' } } }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const seeds = Number(values.seeds ?? 10);
  if (!Number.isInteger(seeds) || seeds < 1) throw new UsageError(`--seeds: got ${values.seeds}, expected 1 or more`);
  return seeds;
}
