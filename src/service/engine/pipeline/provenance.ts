/** What the manifest of a trained version says about it, and what a job's result says again when it is asked twice. */
import type { JsonObject } from '../../../adapter/meta.js';
import type { VersionManifest } from '../../../versions/manifest.js';
import { LIBRARY_VERSION } from '../../../versions/publication.js';
import type { Diagnostics } from '../../feedback/training-examples.js';
import type { GoldenReport } from '../../golden/gate.js';
import type { Job } from '../../jobs/job.js';
import type { TrainingResult } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { type GateSettings, shortened, type Verdict } from './gate.js';
import type { Importance } from './importance.js';
import { AUTHOR, type TrainingJob, type TrainingPlan } from './plan.js';

export interface Trained {
  job: Job;
  plan: TrainingPlan;
  payload: TrainingJob;
  /** The run so far, without the version. */
  result: TrainingResult;
  diagnostics: Diagnostics;
  dataSha256: string;
  replayed: number;
  importance: Importance;
  gate: GateSettings;
  verdict: Verdict;
  backend: { name: string; device: string; reason: string };
  baseModel: { name: string; sha256: string };
  startNote: string | undefined;
  /** What was active when the job began. */
  activeBefore: string | null;
}

/** What is still to be approved and deployed. */
export interface FinishedRun {
  result: TrainingResult;
  verdict: Verdict;
  /** As in Trained. */
  activeBefore: string | null;
}

export function provenanceOf(parts: ServiceParts, trained: Trained): JsonObject {
  const { job, plan, payload, result, verdict, gate } = trained;
  const { lora, training } = parts.config;
  const { request, kind, caller } = payload;
  const feedback = { type: 'feedback', windowDays: plan.days, since: plan.window?.since, until: plan.window?.until };
  const source = kind === 'train' ? feedback : { type: 'jsonl', path: payload.request.datasetPath };
  const trigger = kind === 'train' ? payload.request : {};
  return json({
    jobId: job.id,
    datasetId: result.datasetId,
    recordedAt: new Date(parts.clock.now()).toISOString(),
    author: plan.author,
    trigger: {
      source: trigger.triggerSource ?? 'manual',
      caller: caller.name,
      auditContext: trigger.auditContext ?? {},
    },
    dataSource: {
      ...source,
      sampleCount: result.datasetSize,
      sha256: trained.dataSha256,
      diagnostics: trained.diagnostics,
      replayed: trained.replayed,
    },
    model: {
      ...trained.baseModel,
      rank: lora.rank,
      alpha: lora.alpha,
      rsLora: lora.rsLora,
      dropout: lora.dropout,
      targetModules: [...lora.targetModules],
    },
    start: { version: result.startVersion ?? null, active: trained.activeBefore, note: trained.startNote ?? null },
    hyperparameters: {
      learningRate: plan.learningRate,
      epochs: plan.epochs,
      batchSize: plan.batchSize,
      accumulation: training.accumulation,
      warmupSteps: training.warmupSteps,
      schedule: 'linear',
      maxLength: training.maxLength,
      replayShare: training.replayShare,
      likedWeight: training.likedWeight,
      dislikedWeight: training.dislikedWeight,
      dislikes: training.dislikes,
      corrections: training.corrections,
      prompts: training.prompts,
      seed: training.seed,
      ewcLambda: plan.ewcLambda,
    },
    ewc: { ...trained.importance, decay: parts.config.ewc.decay },
    validation: {
      enabled: gate.judged,
      required: gate.required,
      thresholds: gate.thresholds,
      approved: verdict.approved,
      reason: verdict.reason ?? null,
      gate: verdict.gate,
      report: verdict.report ? shortened(verdict.report) : null,
      metrics: request && 'validationMetrics' in request ? (request.validationMetrics ?? {}) : {},
    },
    environment: {
      service: AUTHOR,
      gitCommit: training.commit ?? null,
      libraryVersion: LIBRARY_VERSION,
      node: process.version,
      backend: trained.backend,
    },
    result: { ...result, golden: undefined },
  });
}

/** Numbers of a manifest; what the caller brought cannot take the place of what was measured. */
export function metricsOf(
  result: TrainingResult,
  given: Readonly<Record<string, number>> = {},
): Record<string, number> {
  const { golden } = result;
  const measured = {
    initialLoss: result.initialLoss,
    trainingLoss: result.finalLoss,
    ewcLoss: result.ewcLoss,
    steps: result.steps,
    samples: result.datasetSize,
    ...(golden && {
      goldenPassRate: golden.candidateSummary.passRate,
      goldenMeanScore: golden.candidateSummary.meanScore,
    }),
  };
  const known = Object.entries(measured).filter((entry): entry is [string, number] => entry[1] !== undefined);
  return { ...given, ...Object.fromEntries(known) };
}

/** The run behind a version that an earlier attempt of the job has published. */
export function publishedRun({ training }: VersionManifest): FinishedRun {
  const { approved, reason, gate, report } = training.validation as unknown as Verdict & {
    report: GoldenReport | null;
  };
  const result = training.result as unknown as TrainingResult;
  return {
    result: { ...result, ...(report && { golden: report }) },
    verdict: { approved, reason, gate, ...(report && { report }) },
    activeBefore: (training.start as { active: string | null }).active,
  };
}

function json(value: object): JsonObject {
  return JSON.parse(JSON.stringify(value)) as JsonObject;
}
