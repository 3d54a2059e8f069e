/** What a question costs the embedded bank, by CPU time: the median of many. */
import { adaptationTask } from '#lorakeet/reasoning/contract.js';
import { ReasoningBank } from '#lorakeet/reasoning/embedded/bank.js';
import { examplePattern, exampleSituation } from '#lorakeet/testing/bank-conformance.js';
import { SeededRandom } from '#lorakeet/testing/random.js';

const SIZES = [10_000, 100_000];
const QUESTIONS = 51;
const AT_ONCE = 500;

export interface RetrievalRow {
  patterns: number;
  storeMicros: number;
  retrieveMs: number;
  learnStrategyMs: number;
}

export async function measureRetrieval(): Promise<RetrievalRow[]> {
  const random = new SeededRandom(1);
  const bank = new ReasoningBank(':memory:', { maxEpisodes: SIZES[SIZES.length - 1] });
  const rows: RetrievalRow[] = [];
  let stored = 0;
  for (const patterns of SIZES) {
    const fresh = Array.from({ length: patterns - stored }, (_, i) => {
      const situation = situationOf(random, stored + i);
      return examplePattern({}, situation, { lossBefore: 0.015 * situation.feedback.inputRms ** 2 });
    });
    const begin = process.cpuUsage();
    for (let first = 0; first < fresh.length; first += AT_ONCE) {
      await Promise.all(fresh.slice(first, first + AT_ONCE).map((pattern) => bank.storePattern(pattern)));
    }
    const storeMicros = cpuMicros(begin) / fresh.length;
    stored = patterns;
    const ask = exampleSituation({ userId: 'somebody new', previousVersion: 1 });
    const query = { k: 5, minReward: 0.7, onlySuccesses: true, situation: ask };
    rows.push({
      patterns,
      storeMicros,
      retrieveMs: await medianMs(() => bank.retrievePatterns(adaptationTask(ask), query)),
      learnStrategyMs: await medianMs(() => bank.learnStrategy(adaptationTask(ask), ask)),
    });
  }
  await bank.close();
  return rows;
}

function situationOf(random: SeededRandom, episode: number) {
  const inputRms = 10 ** random.uniform(-2, 1);
  const feedback = { ...exampleSituation().feedback, inputRms, residualRms: 0.3 * inputRms };
  const userId = `user-${episode % 5000}`;
  return exampleSituation({ userId, previousVersion: 1 + Math.floor(episode / 5000), feedback });
}

async function medianMs(question: () => Promise<unknown>): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < QUESTIONS; i++) {
    const begin = process.cpuUsage();
    await question();
    times.push(cpuMicros(begin) / 1000);
  }
  return times.sort((a, b) => a - b)[QUESTIONS >> 1];
}

function cpuMicros(begin: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begin);
  return user + system;
}
