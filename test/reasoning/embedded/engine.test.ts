/** The whole loop: an engine that learns, a bank that watches, and an engine that learns faster for it. */
import { describe, expect, it } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import { LoRAPersonalizationEngine } from '../../../src/personalization/engine.js';
import type { AdapterFeedback } from '../../../src/personalization/types.js';
import { adaptationTask } from '../../../src/reasoning/contract.js';
import { ReasoningBank } from '../../../src/reasoning/embedded/bank.js';
import { parseHints } from '../../../src/reasoning/hints.js';
import { exampleSituation } from '../../../src/testing/bank-conformance.js';
import { SeededRandom } from '../../../src/testing/random.js';

const DIM = 16;

/** A user who wants feature 0 and 1 of everything turned about each other, by an angle of his own. */
function feedbackOf(random: SeededRandom, angle: number): AdapterFeedback[] {
  return Array.from({ length: 4 }, () => {
    const contentEmbedding = random.normals(DIM, 0.25);
    const targetEmbedding = contentEmbedding.slice();
    targetEmbedding[0] += angle * contentEmbedding[1];
    targetEmbedding[1] -= angle * contentEmbedding[0];
    return { contentEmbedding, targetEmbedding, reward: 1, timestamp: new Date(0) };
  });
}

/** Mean over new users and their updates of the loss before the step. */
async function meanLoss(engine: LoRAPersonalizationEngine, name: string, users: number): Promise<number> {
  let sum = 0;
  for (let user = 0; user < users; user++) {
    const random = new SeededRandom(user + 1);
    const angle = random.uniform(0.5, 1);
    let adapter = engine.createAdapter(`${name}-${user}`);
    for (let update = 0; update < 15; update++) {
      adapter = await engine.updateAdapter(adapter, feedbackOf(random, angle));
      sum += adapter.metadata.lastBatch?.lossBefore ?? Number.NaN;
    }
    await engine.flushReasoningBank();
  }
  return sum / (15 * users);
}

describe('an engine with the embedded bank', () => {
  it('teaches new users faster once the bank has seen others', async () => {
    const bank = new ReasoningBank(':memory:', { exploration: 0 });
    const settings = { embeddingDim: DIM, logger: silentLogger };
    const alone = new LoRAPersonalizationEngine(settings);
    const advised = new LoRAPersonalizationEngine({ ...settings, reasoningBank: bank });
    await meanLoss(advised, 'early', 10);
    const [without, withBank] = [await meanLoss(alone, 'new', 10), await meanLoss(advised, 'new', 10)];
    expect(withBank).toBeLessThan(0.95 * without);
    await Promise.all([alone.close(), advised.close()]);
    await bank.close();
  });

  it('understands the recommendation by its words as well as by its numbers', async () => {
    const bank = new ReasoningBank(':memory:', { exploration: 1, seed: 1 });
    const understood = new Set<string>();
    for (let user = 0; user < 60; user++) {
      const situation = exampleSituation({ userId: `user-${user}`, previousVersion: 1 });
      const { recommendation, hints = {} } = await bank.learnStrategy(adaptationTask(situation), situation);
      expect(parseHints(recommendation, situation)).toEqual(hints);
      for (const name of Object.keys(hints)) understood.add(name);
    }
    expect([...understood].sort()).toEqual(['suggestedClipThreshold', 'suggestedEwcLambda', 'suggestedLearningRate']);
    await bank.close();
  });
});
