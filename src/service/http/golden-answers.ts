/** Wire forms of what the golden gate says. */
import { z } from 'zod';
import type { CaseResult } from '../golden/case-result.js';
import type { GoldenComparison, GoldenSummary, GoldenThresholds } from '../golden/comparison.js';
import type { AnsweredBy, GoldenReport } from '../golden/gate.js';
import { count, instant, named } from './forms.js';
import type { WireShape } from './wire-shape.js';

const names = z.array(z.string());
const source = { path: z.string().nullable(), sha256: z.string() };

const thresholds = z.object({
  max_regressions: count,
  max_mean_score_drop: z.number(),
  max_relative_score_drop: z.number(),
  min_pass_rate: z.number(),
  max_unsafe_cases: count,
} satisfies WireShape<GoldenThresholds>);

const comparison = z.object({
  regressed_cases: names,
  baseline_pass_rate: z.number(),
  candidate_pass_rate: z.number(),
  baseline_mean_score: z.number(),
  candidate_mean_score: z.number(),
  mean_score_drop: z.number(),
  relative_score_drop: z.number(),
  unsafe_cases: names,
} satisfies WireShape<GoldenComparison>);

const summary = z.object({
  total: count,
  passed: count,
  failed: count,
  pass_rate: z.number(),
  mean_score: z.number(),
} satisfies WireShape<GoldenSummary>);

const caseResult = z.object({
  case_id: z.string(),
  category: z.string(),
  severity: z.enum(['low', 'medium', 'high', 'critical']),
  passed: z.boolean(),
  score: z.number(),
  safety: z.enum(['safe', 'borderline', 'unsafe']),
  details: names,
} satisfies WireShape<CaseResult>);

const answeredBy = z.object({ source: z.enum(['generated', 'file']), ...source } satisfies WireShape<AnsweredBy>);

const provenance = z.object({
  validator: z.string(),
  validated_at: instant,
  suite: z.object(source),
  baseline_output: answeredBy,
  candidate_output: answeredBy,
} satisfies WireShape<GoldenReport['provenance']>);

export const goldenReport = named(
  'GoldenReport',
  z.object({
    approved: z.boolean(),
    objections: names,
    thresholds,
    comparison,
    baseline_summary: summary,
    candidate_summary: summary,
    candidate_failures: z.array(caseResult),
    provenance,
  } satisfies WireShape<GoldenReport>),
);
