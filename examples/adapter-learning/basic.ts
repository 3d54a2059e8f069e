/** Creates an adapter, trains it on examples, and asks the model with and without it. */
import { AdapterConfig, type AdapterLearningEngine, TrainingConfig, TrainingExample } from 'lorakeet/learning';

const COLOURS = ['red', 'white', 'green', 'black'];
const THINGS = ['rose', 'sea', 'moon', 'night', 'crown', 'sword', 'field', 'hand', 'horse', 'wine', 'sky', 'gold'];

export async function runBasic(engine: AdapterLearningEngine, say: (line: string) => void): Promise<void> {
  const created = await engine.createAdapter('colours', AdapterConfig.highRank().with({ learningRate: 0.01 }));
  if (created.isFailure) return say(`Failed: ${created.error}`);
  const id = created.value;

  const examples = THINGS.map((thing, i) => new TrainingExample(`The ${thing}:\n`, `It is ${COLOURS[i % 4]}.`));
  const before = (await engine.evaluate(examples)).value;
  const trained = await engine.trainAdapter(id, examples, TrainingConfig.thorough().with({ epochs: 10 }));
  trained.match(
    ({ version, steps, initialLoss, finalLoss }) =>
      say(`version ${version} after ${steps} steps, loss from ${initialLoss.toFixed(2)} to ${finalLoss.toFixed(2)}`),
    (error) => say(`Failed: ${error}`),
  );
  const after = (await engine.evaluate(examples, id)).value;
  say(`loss of all examples ${before.loss.toFixed(2)}, with the adapter ${after.loss.toFixed(2)}`);

  const options = { maxNewTokens: 16, temperature: 0 };
  const base = await engine.generateWithAdapter('The rose:\n', undefined, options);
  say(`without: ${JSON.stringify(base.value)}`);
  let answer = '';
  for await (const piece of engine.streamWithAdapter('The rose:\n', id, options)) answer += piece.value;
  say(`with: ${JSON.stringify(answer)}`);
}
