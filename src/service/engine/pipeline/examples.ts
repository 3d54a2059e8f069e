/** From feedback, or a file, to the tokens that are learnt from. */
import { createHash } from 'node:crypto';
import { hashSeed, Random } from '../../../adapter/random.js';
import { LorakeetError } from '../../../errors.js';
import { shuffled } from '../../../llm/batches.js';
import type { LanguageModel, TextExample, TokenExample, TokenSequence } from '../../../llm/index.js';
import { sequencesOf } from '../../../llm/objectives.js';
import { Pauses } from '../../../llm/pauses.js';
import type { ServiceConfig } from '../../config/keys.js';
import type { Feedback } from '../../feedback/feedback.js';
import { type FeedbackStore, type FeedbackWindow, readFeedback } from '../../feedback/feedback-store.js';
import { type Diagnostics, prepareExamples } from '../../feedback/training-examples.js';

/** Examples that can be learnt from, and what became of the others. */
export interface TrainingData {
  examples: TokenExample[];
  diagnostics: Diagnostics;
  /** SHA-256 of the examples as texts, a line of JSON each. */
  sha256: string;
}

export interface EncodingOptions {
  model: LanguageModel;
  /** Tokens of a sequence at most. */
  maxLength: number;
  signal: AbortSignal;
  onProgress?: (done: number, total: number) => void;
}

/** By the configuration's rules of cleaning and weighting; the rows of the window as they are now. */
export async function readTexts(
  store: FeedbackStore,
  window: FeedbackWindow,
  { training }: ServiceConfig,
  signal: AbortSignal,
): Promise<{ texts: TextExample[]; diagnostics: Diagnostics }> {
  const { likedWeight, dislikedWeight, dislikes, corrections, prompts } = training;
  const rows = withPauses(readFeedback(store, window), signal);
  const prepared = await prepareExamples(rows, { likedWeight, dislikedWeight, dislikes, corrections, prompts });
  return { texts: prepared.examples, diagnostics: prepared.diagnostics };
}

/** What texts from a file count as. */
export function diagnosticsOfFile(texts: readonly TextExample[]): Diagnostics {
  const none = { dropReasons: {}, feedbackDistribution: {}, intentDistribution: {}, projectDistribution: {} };
  return { rawExamples: texts.length, keptExamples: texts.length, droppedExamples: 0, ...none };
}

/**
 * Those that are too long are left out, and counted as too_long. Distributions of intents and projects still count them.
 * Rejects as LanguageModel.encode.
 */
export async function encodeTexts(
  texts: readonly TextExample[],
  diagnostics: Diagnostics,
  options: EncodingOptions,
): Promise<TrainingData> {
  const hash = createHash('sha256');
  const examples: TokenExample[] = [];
  const pauses = new Pauses();
  for (const [i, text] of texts.entries()) {
    options.signal.throwIfAborted();
    await pauses.whenDue();
    const example = encodeText(text, options);
    options.onProgress?.(i + 1, texts.length);
    if (!example) continue;
    examples.push(example);
    hash.update(`${JSON.stringify(text)}\n`);
  }
  const tooLong = texts.length - examples.length;
  return {
    examples,
    diagnostics: {
      ...diagnostics,
      keptExamples: examples.length,
      droppedExamples: diagnostics.droppedExamples + tooLong,
      dropReasons: { ...diagnostics.dropReasons, ...(tooLong > 0 && { too_long: tooLong }) },
    },
    sha256: hash.digest('hex'),
  };
}

/** `count` of the texts that are not too long, drawn by a seed, or all if there are fewer. */
export async function drawExamples(
  texts: readonly TextExample[],
  count: number,
  seed: { seed: number; purpose: string },
  options: EncodingOptions,
): Promise<TokenExample[]> {
  const drawn: TokenExample[] = [];
  const pauses = new Pauses();
  for (const text of shuffled(texts, new Random(hashSeed(seed.seed, seed.purpose)))) {
    if (drawn.length >= count) break;
    options.signal.throwIfAborted();
    await pauses.whenDue();
    const example = encodeText(text, options);
    if (example) drawn.push(example);
  }
  return drawn;
}

/** What of an example is worth holding on to: not the answers that were disliked. */
export function keptSequences(examples: readonly TokenExample[]): TokenSequence[] {
  return examples.flatMap((example) => {
    if (example.kind === 'preference') return [example.chosen];
    return example.kind === 'supervised' ? [example.sequence] : [];
  });
}

/** Whether a text is one of those that keptSequences has something of. */
export function isKept(text: TextExample): boolean {
  return 'completion' in text || 'messages' in text || 'chosen' in text;
}

/** undefined: too long. */
function encodeText(text: TextExample, { model, maxLength }: EncodingOptions): TokenExample | undefined {
  try {
    const [example] = model.encode('examples', [text]);
    return sequencesOf(example).every(({ tokens }) => tokens.length <= maxLength) ? example : undefined;
  } catch (error) {
    if (error instanceof LorakeetError && error.code === 'ERR_CONTEXT_FULL') return undefined;
    throw error;
  }
}

async function* withPauses(rows: AsyncIterable<Feedback>, signal: AbortSignal): AsyncGenerator<Feedback> {
  const pauses = new Pauses();
  for await (const row of rows) {
    signal.throwIfAborted();
    await pauses.whenDue();
    yield row;
  }
}
