/** Trains an adapter of a language model on examples. */
import { createHash } from 'node:crypto';
import { availableMemory } from 'node:process';
import { describe } from '../checks.js';
import { LorakeetError } from '../errors.js';
import { writeAtomically } from '../files/atomic-write.js';
import { readSmallFile } from '../files/random-access.js';
import { decodeLanguageAdapter, encodeLanguageAdapterWithPauses } from './adapter-file.js';
import { planEpoch, targetCountOf, tokensOf } from './batches.js';
import type { DecoderModel } from './decoder/contract.js';
import { Gradients, shared } from './gradients.js';
import type { LanguageAdapter, LanguageAdapterState } from './language-adapter.js';
import { sequencesOf, type TokenExample } from './objectives.js';
import { Pauses } from './pauses.js';
import { learningRateAt } from './schedule.js';
import {
  type CheckpointFile,
  type CheckpointTarget,
  requireExamples,
  requirePlan,
  type TrainingOptions,
  type TrainingPlan,
} from './training-options.js';

export interface TrainingReport {
  /** Optimiser steps, those before a resumed checkpoint included. */
  steps: number;
  /** Tokens that went through the decoder in this call. */
  tokens: number;
  /** Before each step of this call. */
  losses: number[];
  /** Of the validation examples, where there are any. */
  validationLoss?: { before: number; after: number };
  /** Bytes that the training took beside the model at most, as computed beforehand. */
  memoryBytes: number;
  recompute: boolean;
}

const MAX_CHECKPOINT_BYTES = 2 ** 31 - 1;
const DEFAULT_PASS_TOKENS = 1024;
/** Parameters, gradient, and two moments; what else the adapter has, it has before. And a copy that goes from here to there. */
const TRAINED_VECTORS = 4 + 1;

/**
 * One optimiser step per batch, AdamW with linear warm-up; see TrainingOptions. Whatever makes it reject, the adapter is then
 * as it was before: ERR_INVALID_CONFIG, ERR_INVALID_ARGUMENT, ERR_CONTEXT_FULL, ERR_OUT_OF_MEMORY before anything is
 * computed, ERR_ABORTED, ERR_NOT_FINITE. The same examples, options and seed give the same adapter on the same backend.
 */
export async function trainLanguageAdapter(
  model: DecoderModel,
  adapter: LanguageAdapter,
  examples: readonly TokenExample[],
  options: TrainingOptions & { contextLength: number },
): Promise<TrainingReport> {
  const { contextLength, ...rest } = options;
  const plan = requirePlan(rest);
  const { replay = [], validation = [], signal } = rest;
  const pauses = new Pauses();
  requireExamples('examples', examples, contextLength);
  await pauses.whenDue();
  requireExamples('options.replay', replay, contextLength);
  requireExamples('options.validation', validation, contextLength);
  if (examples.length === 0) {
    throw new LorakeetError('ERR_INVALID_ARGUMENT', 'examples: got none, expected at least one');
  }
  await pauses.whenDue();
  const before = await adapter.state();
  const memory = planMemory(model, adapter, before, [...examples, ...replay, ...validation], plan, rest);
  await pauses.whenDue();
  const gradients = new Gradients(model, adapter, { ...memory, ...plan, signal });
  try {
    return await new Training(adapter, examples, plan, rest, gradients, memory).run();
  } catch (error) {
    await adapter.restore(before);
    throw signal?.aborted ? abortion(signal) : error;
  } finally {
    gradients.close();
  }
}

class Training {
  readonly #adapter: LanguageAdapter;
  readonly #examples: readonly TokenExample[];
  readonly #plan: TrainingPlan;
  readonly #options: TrainingOptions;
  readonly #gradients: Gradients;
  readonly #memory: PlannedMemory;
  readonly #checkpoint: CheckpointTarget | undefined;

  constructor(
    adapter: LanguageAdapter,
    examples: readonly TokenExample[],
    plan: TrainingPlan,
    options: TrainingOptions,
    gradients: Gradients,
    memory: PlannedMemory,
  ) {
    this.#adapter = adapter;
    this.#examples = examples;
    this.#plan = plan;
    this.#options = options;
    this.#gradients = gradients;
    this.#memory = memory;
    this.#checkpoint = options.checkpoint && targetOf(options.checkpoint);
  }

  async run(): Promise<TrainingReport> {
    const { validation = [], resume, signal, onProgress } = this.#options;
    const plan = this.#plan;
    const perEpoch = Math.ceil(this.#epochExamples(0).length / plan.batchSize);
    const steps = Math.min(plan.epochs * perEpoch, plan.maxSteps);
    const warmup = Math.min(plan.warmupSteps ?? Math.ceil(0.03 * steps), steps);
    const fingerprint = await this.#fingerprint();
    const references = await this.#references();
    const validating = shared(validation, references);
    const validationBefore = validation.length ? await this.#gradients.loss(validating) : undefined;
    const done = resume === undefined ? 0 : await this.#resume(resume, fingerprint);

    const losses: number[] = [];
    let tokens = 0;
    let last = done;
    const keep = async () => {
      if (this.#checkpoint?.isDue(last)) await this.#save(this.#checkpoint, last, fingerprint);
    };
    if (done === 0) await keep();
    for (let epoch = Math.floor(done / perEpoch); epoch * perEpoch < steps; epoch++) {
      const examples = this.#epochExamples(epoch);
      const batches = planEpoch(examples.map(tokensOf), plan.batchSize, plan.seed, epoch);
      for (const [i, batch] of batches.entries()) {
        const step = epoch * perEpoch + i + 1;
        if (step <= done || step > steps) continue;
        const chosen = batch.map((index) => examples[index]);
        const loss = await this.#gradients
          .add(shared(chosen, references), plan.seed * 2 ** 20 + step * 2 ** 8)
          .catch(async (error) => {
            if (signal?.aborted) await keep();
            throw error;
          });
        const learningRate = learningRateAt(step, steps, warmup, plan.learningRate, plan.schedule);
        const gradNorm = await this.#adapter.decoder.step({
          learningRate,
          step: this.#adapter.steps + 1,
          weightDecay: plan.weightDecay,
          maxGradNorm: plan.maxGradNorm,
          ewcLambda: plan.ewcLambda,
        });
        this.#adapter.advance(1);
        last = step;
        losses.push(loss);
        const stepTokens = chosen.reduce((sum, example) => sum + tokensOf(example), 0);
        tokens += stepTokens;
        await onProgress?.({ step, steps, epoch: epoch + 1, loss, gradNorm, learningRate, tokens: stepTokens });
        await keep();
        signal?.throwIfAborted();
      }
    }
    const validationAfter = validation.length ? await this.#gradients.loss(validating) : undefined;
    return {
      steps,
      tokens,
      losses,
      ...(validationBefore !== undefined &&
        validationAfter !== undefined && { validationLoss: { before: validationBefore, after: validationAfter } }),
      memoryBytes: this.#memory.bytes,
      recompute: this.#memory.recompute,
    };
  }

  /** The new examples, and the share of the replayed ones whose turn it is in this epoch. */
  #epochExamples(epoch: number): readonly TokenExample[] {
    const { replay = [] } = this.#options;
    const count = Math.min(Math.ceil(this.#plan.replayShare * this.#examples.length), replay.length);
    const first = (epoch * count) % Math.max(replay.length, 1);
    return [...this.#examples, ...[...replay.slice(first), ...replay.slice(0, first)].slice(0, count)];
  }

  async #references(): Promise<Map<TokenExample, readonly number[]>> {
    const references = new Map<TokenExample, readonly number[]>();
    for (const example of [...this.#examples, ...(this.#options.replay ?? []), ...(this.#options.validation ?? [])]) {
      const reference = await this.#gradients.reference(example);
      if (reference) references.set(example, reference);
    }
    return references;
  }

  /** Of everything that the weights after a given step depend on. */
  async #fingerprint(): Promise<string> {
    const hash = createHash('sha256').update(JSON.stringify([this.#plan, this.#adapter.targets]));
    const pause = new Pauses();
    for (const example of [...this.#examples, ...(this.#options.replay ?? [])]) {
      await pause.whenDue();
      hash.update(`${example.kind} ${example.weight}`);
      for (const { tokens, targets } of sequencesOf(example)) {
        hash.update(`${targets.length} ${tokens.length} `).update(targets).update(tokens);
      }
    }
    return hash.digest('hex');
  }

  async #save({ save }: CheckpointTarget, step: number, fingerprint: string): Promise<void> {
    await save(
      await encodeLanguageAdapterWithPauses(await this.#adapter.state(), { meta: { step, fingerprint } }),
      step,
    );
  }

  /** The steps that are done. */
  async #resume(from: string | Uint8Array, fingerprint: string): Promise<number> {
    const bytes = typeof from === 'string' ? await readSmallFile(from, MAX_CHECKPOINT_BYTES) : from;
    const { state, meta } = await decodeLanguageAdapter(bytes);
    if (meta.fingerprint !== fingerprint || typeof meta.step !== 'number') {
      throw new LorakeetError(
        'ERR_ADAPTER_MISMATCH',
        `options.resume: ${describe(from)} is a checkpoint of a training with other examples or options`,
      );
    }
    await this.#adapter.restore(state);
    return meta.step;
  }
}

function targetOf(checkpoint: CheckpointFile | CheckpointTarget): CheckpointTarget {
  if ('isDue' in checkpoint) return checkpoint;
  const { path, everySteps } = checkpoint;
  return {
    isDue: (step) => step > 0 && step % everySteps === 0,
    save: (bytes) => writeAtomically(path, (append) => append(bytes)),
  };
}

interface PlannedMemory {
  maxPassTokens: number;
  recompute: boolean;
  bytes: number;
}

/** Chooses how to stay below the memory limit. Throws ERR_OUT_OF_MEMORY where that is not possible. */
function planMemory(
  model: DecoderModel,
  adapter: LanguageAdapter,
  before: LanguageAdapterState,
  examples: readonly TokenExample[],
  { batchSize }: TrainingPlan,
  options: TrainingOptions,
): PlannedMemory {
  const limit = options.memoryLimitBytes ?? 0.75 * availableMemory();
  const longest = examples.reduce((most, example) => Math.max(most, tokensOf(example)), 0);
  const wanted = Math.max(longest, Math.min(options.maxPassTokens ?? DEFAULT_PASS_TOKENS, batchSize * longest));
  const targetsPerToken = examples.reduce(
    (most, example) => Math.max(most, targetCountOf(example) / tokensOf(example)),
    0,
  );
  const kept = Object.values(before).filter((value) => value instanceof Float32Array).length;
  const own = (TRAINED_VECTORS + kept) * Float32Array.BYTES_PER_ELEMENT * adapter.parameterCount;
  const bytesOf = (tokens: number, recompute: boolean) =>
    own +
    model.passBytes(
      adapter.targets,
      { tokens, sequences: Math.min(tokens, batchSize * 2), targets: Math.ceil(tokens * targetsPerToken) },
      { keep: true, recompute },
    );
  const ways = options.recompute === undefined ? [false, true] : [options.recompute];
  for (const recompute of ways) {
    if (bytesOf(wanted, recompute) <= limit)
      return { maxPassTokens: wanted, recompute, bytes: bytesOf(wanted, recompute) };
  }
  const recompute = ways[ways.length - 1];
  for (
    let maxPassTokens = Math.floor(wanted / 2);
    maxPassTokens > longest;
    maxPassTokens = Math.floor(maxPassTokens / 2)
  ) {
    const bytes = bytesOf(maxPassTokens, recompute);
    if (bytes <= limit) return { maxPassTokens, recompute, bytes };
  }
  const bytes = bytesOf(longest, recompute);
  if (bytes <= limit) return { maxPassTokens: longest, recompute, bytes };
  throw new LorakeetError(
    'ERR_OUT_OF_MEMORY',
    `options.memoryLimitBytes: got ${Math.floor(limit)}, expected at least ${bytes} for the longest example (${longest} tokens)`,
  );
}

function abortion(signal: AbortSignal): LorakeetError {
  return new LorakeetError('ERR_ABORTED', 'the training was aborted; the adapter is as it was before', {
    cause: signal.reason,
  });
}
