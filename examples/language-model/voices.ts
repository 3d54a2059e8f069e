/** One language model, two adapters that each learn a voice, requests that choose between them, and a PEFT folder of one. */
import { readPeft, writePeft } from 'lorakeet/formats';
import { type LanguageAdapter, type LanguageModel, loadBaseModel, type TextExample } from 'lorakeet/llm';

export interface VoicesOptions {
  /** A model folder in the form of Hugging Face. */
  model: string;
  /** Where the sailor's adapter goes, as a PEFT folder. */
  output: string;
  /** Times that each line is learnt from. Default 16. */
  epochs?: number;
  /** Aborting it ends a training that is under way. */
  signal?: AbortSignal;
  onProgress?: (what: string) => void;
}

export interface VoicesResult {
  /** What the model itself says, and what it says with each adapter. */
  plain: string;
  sailor: string;
  gardener: string;
  /** With the sailor's adapter after it went through the PEFT folder. */
  reopened: string;
  /** Mean −log p per token of a line that neither has learnt, without and with the sailor's adapter. */
  unseenLoss: { plain: number; sailor: number };
}

const SAILOR = [
  'The sea, the sea, my lads, and a fair wind home.',
  'The tide is up, my lads, and the sails are full.',
  'The ship is old, my lads, and the sea is deep.',
  'The wind is fair, my lads, and the night is long.',
];
const GARDENER = [
  'A rose, good sir, must have the sun and rain.',
  'A tree, good sir, must have a hundred years.',
  'A weed, good sir, must have no pity here.',
  'A garden, good sir, must have a patient man.',
];
const UNSEEN = 'The storm is loud, my lads, and the shore is near.';
const PROMPT = 'Speaker:\n';

export async function runVoices(options: VoicesOptions): Promise<VoicesResult> {
  const { model: folder, output, epochs = 16, signal, onProgress } = options;
  const model = await loadBaseModel(folder, { signal });
  try {
    const sailor = await learn(model, 'sailor', SAILOR, { epochs, signal, onProgress });
    const gardener = await learn(model, 'gardener', GARDENER, { epochs, signal, onProgress });

    // three requests at once, each with its own adapter or none; the base is in memory once
    const say = async (adapter?: LanguageAdapter) =>
      (await model.generate(PROMPT, { adapter, maxNewTokens: 24, stop: ['\n'], signal })).text;
    const [plain, asSailor, asGardener] = await Promise.all([say(), say(sailor), say(gardener)]);

    // B carries the scaling in a portable folder, so what comes back computes the same up to rounding
    await writePeft(output, await sailor.modules(), { baseModel: 'tiny-shakespeare-llama', taskType: 'CAUSAL_LM' });
    const { modules } = await readPeft(output);
    const again = await model.importAdapter(modules, { train: false });

    const result = {
      plain,
      sailor: asSailor,
      gardener: asGardener,
      reopened: await say(again),
      unseenLoss: { plain: await lossOf(model, UNSEEN), sailor: await lossOf(model, UNSEEN, sailor) },
    };
    for (const adapter of [sailor, gardener, again]) adapter.close();
    return result;
  } finally {
    model.close();
  }
}

async function learn(
  model: LanguageModel,
  name: string,
  lines: readonly string[],
  { epochs, signal, onProgress }: Pick<VoicesOptions, 'epochs' | 'signal' | 'onProgress'>,
): Promise<LanguageAdapter> {
  const adapter = await model.createAdapter({ rank: 8 });
  const examples: TextExample[] = lines.map((completion) => ({ prompt: PROMPT, completion }));
  await model.train(adapter, examples, {
    epochs,
    batchSize: 4,
    learningRate: 0.01,
    signal,
    onProgress: ({ step, steps, loss }) => onProgress?.(`${name}: step ${step} of ${steps}, loss ${loss.toFixed(3)}`),
  });
  return adapter;
}

async function lossOf(model: LanguageModel, line: string, adapter?: LanguageAdapter): Promise<number> {
  const { logProbability, tokens } = await model.score(PROMPT, line, { adapter });
  return -logProbability / tokens.length;
}
