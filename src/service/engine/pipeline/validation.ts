/** POST /validation/golden-set: the gate by request, without a training. */
import { fail } from '../../../checks.js';
import { mergeThresholds } from '../../golden/comparison.js';
import { answersByModel, type GoldenReport } from '../../golden/gate.js';
import { validate } from '../../golden/validate.js';
import type { GoldenRequest } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { concurrencyOf, thresholdsOf, withBaseline } from './gate.js';
import { requireRequest } from './payload.js';
import { openVersion } from './start.js';

/** As LearningService.validate. */
export async function validateGolden(
  parts: ServiceParts,
  given: GoldenRequest,
  { signal }: { signal?: AbortSignal } = {},
): Promise<GoldenReport> {
  const { config, versions, events } = parts;
  const { golden } = config;
  const request = await requireRequest('validate', given, config.service.allowedFolders);
  const { suitePath: suite = golden.suite, adapterVersion, candidateOutputPath } = request;
  if (suite === undefined) fail('ERR_INVALID_ARGUMENT', 'suitePath', suite, 'a path, as golden.suite is not set');
  if ((adapterVersion === undefined) === (candidateOutputPath === undefined)) {
    fail('ERR_INVALID_ARGUMENT', 'adapterVersion', adapterVersion, 'a version, or else candidateOutputPath');
  }
  const thresholds = mergeThresholds(request.thresholds, thresholdsOf(golden));
  const model = await parts.model.load();
  const opened = adapterVersion === undefined ? undefined : await openVersion(model, versions, adapterVersion, false);
  try {
    const answers = opened && answersByModel(model, { adapter: opened.adapter, maxNewTokens: golden.maxNewTokens });
    const report = await withBaseline(parts, model, request.baselineOutputPath ?? golden.baseline, (baseline) =>
      validate({
        suite,
        candidate: answers ?? (candidateOutputPath as string),
        baseline,
        thresholds,
        concurrency: concurrencyOf(config),
        signal,
      }),
    );
    events.validationFinished(report, opened?.version);
    return report;
  } finally {
    opened?.adapter.close();
  }
}
