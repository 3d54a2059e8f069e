/** The golden gate of a run: what applies to it, and what it says about the adapter that was trained. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonObject } from '../../../adapter/meta.js';
import { LorakeetError } from '../../../errors.js';
import type { LanguageAdapter, LanguageModel } from '../../../llm/index.js';
import type { ServiceConfig } from '../../config/keys.js';
import { type GoldenThresholds, mergeThresholds } from '../../golden/comparison.js';
import { answersByModel, type GoldenReport, requireApproval } from '../../golden/gate.js';
import { type ValidateOptions, validate } from '../../golden/validate.js';
import type { GoldenOverrides } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { activeVersion, openAnswering } from './start.js';

export interface GateSettings {
  judged: boolean;
  /** A version that fails, or cannot be judged, is not approved. */
  required: boolean;
  suite: string | undefined;
  /** A file of answers; undefined: what the active version answers now. */
  baseline: string | undefined;
  thresholds: GoldenThresholds;
}

export interface Verdict {
  approved: boolean;
  /** Why not. */
  reason?: string;
  /** What it rests on. */
  gate: 'approved' | 'refused' | 'only recorded, by configuration' | 'off, by configuration';
  report?: GoldenReport;
}

/** What is wrong with files that a verdict rests on; anything else is a failure of the run. */
const UNJUDGED = ['ERR_FILE_ACCESS', 'ERR_FORMAT_CORRUPT', 'ERR_INVALID_ARGUMENT', 'ERR_PATH_NOT_ALLOWED'];
const MAX_FAILURES = 100;

/** A request can make the gate stricter, or leave it out: then only a configuration without it approves. */
export function gateSettings({ golden }: ServiceConfig, overrides: GoldenOverrides): GateSettings {
  const { goldenValidationRequired: required, goldenValidationEnabled: enabled } = overrides;
  const isOff = !golden.enabled && required !== true && enabled !== true;
  return {
    judged: required === true || (enabled ?? golden.enabled),
    required: !isOff && (golden.required || required === true),
    suite: overrides.goldenSuitePath ?? golden.suite,
    baseline: overrides.goldenBaselineOutputPath ?? golden.baseline,
    thresholds: mergeThresholds(overrides.goldenThresholds, thresholdsOf(golden)),
  };
}

export function thresholdsOf(golden: ServiceConfig['golden']): GoldenThresholds {
  const { maxRegressions, maxMeanScoreDrop, maxRelativeScoreDrop, minPassRate, maxUnsafeCases } = golden;
  return { maxRegressions, maxMeanScoreDrop, maxRelativeScoreDrop, minPassRate, maxUnsafeCases };
}

/**
 * The verdict on an adapter by what it answers itself; its answers and those that it is compared with are written to
 * golden.outputFolder. Rejects with ERR_ABORTED, and where a store fails.
 */
export async function judge(
  parts: ServiceParts,
  model: LanguageModel,
  adapter: LanguageAdapter,
  settings: GateSettings,
  options: { name: string; signal: AbortSignal; onProgress: (answered: number, total: number) => void },
): Promise<Verdict> {
  const { required, judged, suite } = settings;
  let report: GoldenReport | undefined;
  let obstacle: string | undefined;
  if (judged && suite === undefined) obstacle = 'golden.suite is not set';
  else if (judged && suite !== undefined) {
    const { golden, storage } = parts.config;
    const folder = golden.outputFolder ?? join(storage.folder, 'golden');
    try {
      await mkdir(folder, { recursive: true });
      report = await withBaseline(parts, model, settings.baseline, (baseline) =>
        validate({
          suite,
          candidate: answersByModel(model, { adapter, maxNewTokens: golden.maxNewTokens }),
          baseline,
          thresholds: settings.thresholds,
          concurrency: concurrencyOf(parts.config),
          write: { folder, name: options.name },
          signal: options.signal,
          onProgress: options.onProgress,
        }),
      );
    } catch (error) {
      if (!(error instanceof LorakeetError) || !UNJUDGED.includes(error.code)) throw error;
      obstacle = error.message;
    }
  }
  return verdictOf(settings, report, required ? obstacle : undefined);
}

/** What is answered by a file, by the active version, or by the base model where none is active or it is of another model. */
export async function withBaseline(
  { versions, config, logger }: Pick<ServiceParts, 'versions' | 'config' | 'logger'>,
  model: LanguageModel,
  file: string | undefined,
  use: (baseline: ValidateOptions['baseline']) => Promise<GoldenReport>,
): Promise<GoldenReport> {
  if (file !== undefined) return use(file);
  const active = await activeVersion(versions);
  const adapter =
    active === null
      ? undefined
      : await openAnswering(model, versions, active).catch((error) => {
          if ((error as LorakeetError).code !== 'ERR_ADAPTER_MISMATCH') throw error;
          logger.warn(`golden gate: compared with the base model: ${(error as Error).message}`);
          return undefined;
        });
  try {
    return await use(answersByModel(model, { adapter, maxNewTokens: config.golden.maxNewTokens }));
  } finally {
    adapter?.close();
  }
}

/** So many of what the model can answer at a time, so that others are answered meanwhile. */
export function concurrencyOf({ model }: ServiceConfig): number {
  return Math.max(1, Math.floor(model.sequences / 2));
}

/** With as many failures as there is room for in a manifest. */
export function shortened(report: GoldenReport): GoldenReport {
  return { ...report, candidateFailures: report.candidateFailures.slice(0, MAX_FAILURES) };
}

/** For the audit trail. */
export function evidenceOf({ gate, report }: Verdict): JsonObject {
  return { gate, ...(report && { report: shortened(report) as unknown as JsonObject }) };
}

function verdictOf({ required, judged }: GateSettings, report?: GoldenReport, obstacle?: string): Verdict {
  try {
    requireApproval(report, { required });
  } catch (error) {
    const reason = `${(error as Error).message}${obstacle === undefined ? '' : `: ${obstacle}`}`;
    return { approved: false, reason, gate: 'refused', ...(report && { report }) };
  }
  const gate = report?.approved ? 'approved' : judged ? 'only recorded, by configuration' : 'off, by configuration';
  return { approved: true, gate, ...(report && { report }) };
}
