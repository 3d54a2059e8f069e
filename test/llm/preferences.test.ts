/** What rejected and preferred texts do to the model in the repository, and to what has nothing to do with them. */
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selectDecoder } from '../../src/llm/decoder/select.js';
import { type LanguageModel, loadBaseModel } from '../../src/llm/language-model.js';
import type { TextExample } from '../../src/llm/text-examples.js';
import { root } from '../support/imports.js';

const UNRELATED = [
  ['First Citizen', 'O heavy day!'],
  ['First Servant', 'Where is my page?'],
  ['First Lord', 'The rest is silence.'],
  ['First Murderer', 'Come, let us go.'],
  ['First Keeper', 'I know thee not.'],
  ['MENENIUS', 'Bid him farewell.'],
  ['PETRUCHIO', 'What, ho!'],
  ['GLOUCESTER', 'She is my queen.'],
  ['TRANIO', 'Draw, if you be men.'],
  ['Messenger', 'God save your grace.'],
].map(([name, completion]) => ({ prompt: `${name}:\n`, completion }));
const CHOSEN = 'I will not speak of love to-night.';
const backend = selectDecoder().backend.name;
const skipped = backend === 'js' ? ' (skipped: the JavaScript decoder is slow at it)' : '';

describe.skipIf(backend === 'js')(`feedback on a text${skipped}`, () => {
  let model: LanguageModel;
  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
  });
  afterAll(() => model.close());

  /** Log-probabilities after ten steps of `examples` minus those before: of two texts after a prompt, and of what is unrelated. */
  async function changes(examples: TextExample[], prompt: string, rejected: string) {
    const adapter = await model.createAdapter();
    await model.train(adapter, examples, { epochs: 10, learningRate: 3e-3 });
    const pairs = [{ prompt, completion: rejected }, { prompt, completion: CHOSEN }, ...UNRELATED];
    const changed: number[] = [];
    for (const { prompt, completion } of pairs) {
      const after = await model.score(prompt, completion, { adapter });
      changed.push(after.logProbability - (await model.score(prompt, completion)).logProbability);
    }
    adapter.close();
    const [own, chosen, ...unrelated] = changed;
    const moved = unrelated.reduce((sum, change) => sum + Math.abs(change), 0) / unrelated.length;
    return { rejected: own, chosen, moved };
  }

  it.each(['ROMEO:\n', 'JULIET:\n', 'KING HENRY:\n'])('says little about other texts, after %j', async (prompt) => {
    const rejected = (await model.generate(prompt, { maxNewTokens: 12 })).text;
    const unlikely = await changes([{ prompt, rejected }], prompt, rejected);
    expect(unlikely.rejected).toBeLessThan(-1);
    expect(unlikely.moved).toBeLessThan(-0.1 * unlikely.rejected);

    const preferred = await changes([{ prompt, chosen: CHOSEN, rejected }], prompt, rejected);
    expect(preferred.rejected).toBeLessThan(-1);
    expect(preferred.chosen).toBeGreaterThan(1);
    expect(preferred.moved).toBeLessThan(-0.1 * preferred.rejected);
  });
});
