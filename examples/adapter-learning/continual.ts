/** Learns one task after another, once as if there had been no first one, once holding on to it. */
import { AdapterConfig, type AdapterLearningEngine, TrainingConfig, TrainingExample } from 'lorakeet/learning';

const NAMES = ['ROMEO', 'JULIET', 'HAMLET', 'LEAR', 'PARIS', 'TYBALT', 'DUKE', 'KING', 'QUEEN', 'CLOWN'];
const PLACES = ['in Rome', 'at home', 'in prison', 'in the garden', 'at court'];
const MOODS = ['merry', 'weary', 'afraid', 'proud', 'gentle'];

export async function runContinual(engine: AdapterLearningEngine, say: (line: string) => void): Promise<void> {
  const first = NAMES.map((name, i) => new TrainingExample(`Where is ${name}?\n`, `He is ${PLACES[i % 5]}, sir.`));
  const second = NAMES.map((name, i) => new TrainingExample(`How does ${name}?\n`, `Alas, ${MOODS[(3 * i) % 5]}.`));
  const config = AdapterConfig.default().with({ learningRate: 0.01 });
  for (const incrementalUpdate of [false, true]) {
    const id = (await engine.createAdapter('answers', config)).value;
    const lossOf = async (examples: TrainingExample[]) => (await engine.evaluate(examples, id)).value.loss;
    const thorough = TrainingConfig.thorough().with({ epochs: 8 });
    await engine.trainAdapter(id, first, thorough);
    const learnt = await lossOf(first);
    await engine.trainAdapter(id, second, thorough.with({ incrementalUpdate }));
    const way = incrementalUpdate ? 'incremental' : 'plain';
    const figures = [learnt, await lossOf(first), await lossOf(second)].map((loss) => loss.toFixed(2));
    say(`${way}: first task ${figures[0]}, after the second ${figures[1]}; second task ${figures[2]}`);
  }
}
