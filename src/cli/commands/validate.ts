/** validate: the golden gate, by the service or of files here; the verdict is the exit code. */
import type { Command } from 'commander';
import { LorakeetError } from '../../errors.js';
import type { GoldenThresholds } from '../../service/golden/comparison.js';
import type { GoldenReport } from '../../service/golden/gate.js';
import { toWire } from '../../service/wire.js';
import type { Context } from '../context.js';
import { exitCode } from '../exit-codes.js';
import type { Act } from '../program.js';
import { decimal, fields, table } from '../text.js';
import { integer, number } from '../values.js';

interface ValidateOptions {
  adapter?: string;
  suite?: string;
  candidateOutput?: string;
  baselineOutput?: string;
  remote?: boolean;
  maxRegressions?: number;
  maxMeanScoreDrop?: number;
  maxMeanScoreDropPct?: number;
  minPassRate?: number;
  maxUnsafeCases?: number;
}

const SHARE = number({ max: 1 });
const COUNT = integer(0, 1_000_000);

export function addValidateCommand(program: Command, act: Act): void {
  program
    .command('validate')
    .description(
      'judge a version by the golden set; with --candidate-output files on this machine, without the service',
    )
    .option('--adapter <version>', 'a version or an alias, which answers the cases now (default: active)')
    .option('--suite <file>', 'the cases (default: those of the service)')
    .option('--candidate-output <file>', 'answers to judge')
    .option('--baseline-output <file>', 'answers to compare with (default: those of the active version)')
    .option('--remote', 'files are those of the service, below its service.allowedFolders')
    .option('--max-regressions <number>', 'cases that may pass before and fail now (default 1)', COUNT)
    .option('--max-mean-score-drop <number>', 'how far the mean score may drop (default 0.15)', SHARE)
    .option('--max-mean-score-drop-pct <number>', 'the same, as a share of the mean score before (default 0.05)', SHARE)
    .option('--min-pass-rate <number>', 'share of the cases that must pass (default 0.85)', SHARE)
    .option('--max-unsafe-cases <number>', 'answers that may be unsafe (default 0)', COUNT)
    .action(
      act<ValidateOptions>(async (context, options) => {
        const isLocal = options.candidateOutput !== undefined && !options.remote;
        const report = await (isLocal ? validateFiles(context, options) : validateByService(context, options));
        context.print(toWire(report), () => reportLines(report));
        return report.approved ? exitCode('ok') : exitCode('failed');
      }),
    );
}

async function validateFiles({ signal }: Context, options: ValidateOptions): Promise<GoldenReport> {
  const { suite, candidateOutput, baselineOutput, adapter } = options;
  if (suite === undefined || candidateOutput === undefined || baselineOutput === undefined || adapter !== undefined) {
    const expected = '--candidate-output with --suite and --baseline-output, without --adapter; or --remote';
    throw new LorakeetError('ERR_INVALID_ARGUMENT', `files on this machine: expected ${expected}`);
  }
  const { validate } = await import('../../service/golden/validate.js');
  const files = { suite, candidate: candidateOutput, baseline: baselineOutput };
  return validate({ ...files, thresholds: thresholdsOf(options), signal });
}

async function validateByService(context: Context, options: ValidateOptions): Promise<GoldenReport> {
  const { suite, candidateOutput, baselineOutput, adapter, remote } = options;
  if (!remote && (suite ?? baselineOutput) !== undefined) {
    const expected = '--remote for files that the service reads, or --candidate-output for files on this machine';
    throw new LorakeetError('ERR_INVALID_ARGUMENT', `--suite and --baseline-output: expected ${expected}`);
  }
  const candidate =
    candidateOutput === undefined ? { adapterVersion: adapter ?? 'active' } : { candidateOutputPath: candidateOutput };
  const files = { suitePath: suite, baselineOutputPath: baselineOutput };
  return context.client().validate({ ...files, ...candidate, thresholds: thresholdsOf(options) }, context);
}

function thresholdsOf(options: ValidateOptions): Partial<GoldenThresholds> {
  const { maxRegressions, maxMeanScoreDrop, maxMeanScoreDropPct, minPassRate, maxUnsafeCases } = options;
  return { maxRegressions, maxMeanScoreDrop, maxRelativeScoreDrop: maxMeanScoreDropPct, minPassRate, maxUnsafeCases };
}

function reportLines({ approved, objections, comparison, candidateFailures }: GoldenReport): string[] {
  const { baselinePassRate, candidatePassRate, baselineMeanScore, candidateMeanScore } = comparison;
  const failures = candidateFailures.map(({ caseId, severity, score, safety, details }) => [
    caseId,
    severity,
    score,
    safety,
    details.join('; '),
  ]);
  return [
    approved ? 'approved' : 'not approved',
    ...objections.map((objection) => `- ${objection}`),
    '',
    ...table(
      ['', 'baseline', 'candidate'],
      [
        ['pass rate', decimal(baselinePassRate), decimal(candidatePassRate)],
        ['mean score', decimal(baselineMeanScore), decimal(candidateMeanScore)],
      ],
      '',
    ),
    ...fields([
      ['regressed', comparison.regressedCases],
      ['unsafe', comparison.unsafeCases],
    ]),
    '',
    ...table(['failed case', 'severity', 'score', 'safety', 'details'], failures, 'no case failed'),
  ];
}
