/** Merges an adapter of one task with one of another, by every strategy. */
import {
  AdapterConfig,
  type AdapterId,
  type AdapterLearningEngine,
  MERGE_STRATEGIES,
  TrainingConfig,
  TrainingExample,
} from 'lorakeet/learning';

const TASKS = {
  farewells: ['ROMEO', 'JULIET', 'LEAR', 'PARIS'].map(
    (name) => new TrainingExample(`${name} goes:\n`, 'Farewell, sweet friend.'),
  ),
  greetings: ['DUKE', 'KING', 'QUEEN', 'CLOWN'].map(
    (name) => new TrainingExample(`${name} comes:\n`, 'Good morrow, my lord.'),
  ),
};

export async function runMerging(engine: AdapterLearningEngine, say: (line: string) => void): Promise<void> {
  const config = AdapterConfig.lowRank().with({ learningRate: 0.01 });
  const ids: AdapterId[] = [];
  for (const [task, examples] of Object.entries(TASKS)) {
    const id = (await engine.createAdapter(task, config)).value;
    await engine.trainAdapter(id, examples, TrainingConfig.default().with({ epochs: 12 }));
    ids.push(id);
  }
  const lossesOf = async (id?: AdapterId) => {
    const losses: string[] = [];
    for (const examples of Object.values(TASKS))
      losses.push((await engine.evaluate(examples, id)).value.loss.toFixed(2));
    return losses.join(' and ');
  };
  say(`losses of farewells and greetings by the base model: ${await lossesOf()}`);
  for (const [i, task] of Object.keys(TASKS).entries()) say(`by the adapter of ${task}: ${await lossesOf(ids[i])}`);
  for (const strategy of MERGE_STRATEGIES) {
    const merged = await engine.mergeAdapters(ids, strategy, { rank: 8 });
    if (merged.isFailure) return say(`Failed: ${merged.error}`);
    const { id, residual } = merged.value;
    say(`merged by ${strategy}: ${await lossesOf(id)}, residual ${residual.toFixed(3)}`);
  }
}
