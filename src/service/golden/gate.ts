/**
 * The golden gate: does an adapter answer the cases of a suite well enough, compared with what is served today? One
 * implementation for training, deployment, service and command line.
 */
import { describe, requireInteger } from '../../checks.js';
import { LorakeetError } from '../../errors.js';
import type { LanguageAdapter, LanguageModel } from '../../llm/index.js';
import { LIBRARY_VERSION } from '../../versions/publication.js';
import { type CaseResult, judgeCases } from './case-result.js';
import {
  compareResults,
  findObjections,
  type GoldenComparison,
  type GoldenSummary,
  type GoldenThresholds,
  mergeThresholds,
  summarize,
} from './comparison.js';
import { encodeGoldenOutputs, type GoldenOutputs } from './outputs.js';
import { type GoldenPrompt, type GoldenSource, type GoldenSuite, sha256Of } from './suite.js';

/** Answers a prompt, the same each time. */
export type AnswerPrompt = (prompt: GoldenPrompt, signal?: AbortSignal) => Promise<string>;

export interface AnswerGenerator {
  generate: AnswerPrompt;
}

/** Who answers the cases: a model, now; or somebody earlier, in a file. */
export type AnswerSource = AnswerGenerator | GoldenOutputs;

export interface JudgeOptions {
  suite: GoldenSuite;
  candidate: AnswerSource;
  /** The active adapter, or the base model where none is; or a file of its answers, to every case. */
  baseline: AnswerSource;
  /** Of those that are left out: DEFAULT_THRESHOLDS. */
  thresholds?: { readonly [name in keyof GoldenThresholds]?: number | null };
  /** Prompts that are answered at the same time. Default 4. */
  concurrency?: number;
  /** For each search of a pattern in an answer; what takes longer counts as failed. Default 1000. */
  patternDeadlineMs?: number;
  signal?: AbortSignal;
  /** After each answer. */
  onProgress?: (answered: number, total: number) => void;
}

export interface AnsweredBy extends GoldenSource {
  source: 'generated' | 'file';
}

/** JSON throughout, so that it can be the evidence of an approval. */
export interface GoldenReport {
  approved: boolean;
  /** Why not; empty if approved. */
  objections: string[];
  thresholds: GoldenThresholds;
  comparison: GoldenComparison;
  baselineSummary: GoldenSummary;
  candidateSummary: GoldenSummary;
  candidateFailures: CaseResult[];
  provenance: {
    validator: string;
    /** ISO 8601, UTC. */
    validatedAt: string;
    suite: GoldenSource;
    /** A generated one has the hash of encodeGoldenOutputs. */
    baselineOutput: AnsweredBy;
    candidateOutput: AnsweredBy;
  };
}

export interface Judgement {
  report: GoldenReport;
  baseline: ReadonlyMap<string, string>;
  candidate: ReadonlyMap<string, string>;
}

/**
 * Judges a candidate. Rejects with ERR_INVALID_CONFIG, with ERR_INVALID_ARGUMENT where a baseline from a file has no answer
 * to a case, with ERR_ABORTED, and with what `generate` rejects with: then nothing is approved.
 */
export async function judgeAdapter(options: JudgeOptions): Promise<Judgement> {
  const { suite, candidate, baseline, concurrency = 4, patternDeadlineMs, onProgress } = options;
  const thresholds = mergeThresholds(options.thresholds);
  requireInteger('concurrency', concurrency, 1, 4096);
  requireBaseline(suite, baseline);
  const generating = [baseline, candidate].filter((source) => 'generate' in source).length;
  let answered = 0;
  const progress = () => onProgress?.(++answered, generating * suite.cases.length);
  const pattern = { deadlineMs: patternDeadlineMs, signal: options.signal };
  const answer = (source: AnswerSource) => answersOf(suite, source, concurrency, progress, options.signal);
  const before = await answer(baseline);
  const after = await answer(candidate);
  const judge = (outputs: GoldenOutputs) =>
    judgeCases(
      suite.cases,
      suite.cases.map(({ id }) => outputs.texts.get(id)),
      pattern,
    );
  const baselineResults = await judge(before);
  const candidateResults = await judge(after);
  const objections = findObjections(baselineResults, candidateResults, thresholds);
  const report: GoldenReport = {
    approved: objections.length === 0,
    objections,
    thresholds,
    comparison: compareResults(baselineResults, candidateResults),
    baselineSummary: summarize(baselineResults),
    candidateSummary: summarize(candidateResults),
    candidateFailures: candidateResults.filter(({ passed }) => !passed),
    provenance: {
      validator: `lorakeet ${LIBRARY_VERSION}`,
      validatedAt: new Date().toISOString(),
      suite: { path: suite.path, sha256: suite.sha256 },
      baselineOutput: answeredBy(baseline, before),
      candidateOutput: answeredBy(candidate, after),
    },
  };
  return { report, baseline: before.texts, candidate: after.texts };
}

/** What the model answers with the adapter, or without one: the likeliest token each time, 192 of them by default. */
export function answersByModel(
  model: LanguageModel,
  { adapter, maxNewTokens = 192 }: { adapter?: LanguageAdapter; maxNewTokens?: number } = {},
): AnswerGenerator {
  const generate: AnswerPrompt = async (prompt, signal) => {
    const { text } = await model.generate(prompt as Parameters<LanguageModel['generate']>[0], {
      adapter,
      maxNewTokens,
      temperature: 0,
      signal,
    });
    return text;
  };
  return { generate };
}

/** Throws ERR_VERSION_UNAPPROVED where the gate is required and did not approve, or was not asked. */
export function requireApproval(report: GoldenReport | undefined, { required }: { required: boolean }): void {
  if (!required || report?.approved) return;
  const why = report
    ? `Golden-set validation failed; adapter promotion blocked: ${report.objections.join('; ')}`
    : 'Golden-set validation required but no report was produced';
  throw new LorakeetError('ERR_VERSION_UNAPPROVED', why);
}

/** A case without a baseline could never regress. */
function requireBaseline({ cases }: GoldenSuite, baseline: AnswerSource): void {
  if ('generate' in baseline) return;
  const missing = cases.find(({ id }) => !baseline.texts.has(id));
  if (missing === undefined) return;
  const name = `baseline${baseline.path === null ? '' : ` (${baseline.path})`}`;
  throw new LorakeetError('ERR_INVALID_ARGUMENT', `${name}: has no answer to ${describe(missing.id)}, expected one`);
}

/** The first failure stops those that are still being written. */
async function answersOf(
  { cases }: GoldenSuite,
  source: AnswerSource,
  concurrency: number,
  progress: () => void,
  signal?: AbortSignal,
): Promise<GoldenOutputs> {
  if (!('generate' in source)) return source;
  const stopped = new AbortController();
  const either = signal ? AbortSignal.any([signal, stopped.signal]) : stopped.signal;
  const texts: string[] = [];
  let next = 0;
  let failure: { error: unknown } | undefined;
  const work = async () => {
    while (next < cases.length && !failure) {
      const i = next++;
      try {
        if (signal?.aborted)
          throw new LorakeetError('ERR_ABORTED', 'the validation was aborted', { cause: signal.reason });
        texts[i] = await source.generate(cases[i].prompt, either);
        progress();
      } catch (error) {
        failure ??= { error };
        stopped.abort(error);
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(concurrency, cases.length) }, work));
  if (failure) throw failure.error;
  const outputs = new Map(cases.map(({ id }, i) => [id, texts[i]]));
  return { texts: outputs, path: null, sha256: sha256Of(encodeGoldenOutputs(outputs)) };
}

function answeredBy(source: AnswerSource, { path, sha256 }: GoldenOutputs): AnsweredBy {
  return { source: 'generate' in source ? 'generated' : 'file', path, sha256 };
}
