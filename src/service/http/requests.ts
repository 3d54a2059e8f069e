/** Wire forms of what is asked. Whatever they do not name is refused. */
import { z } from 'zod';
import type {
  FisherRequest,
  GenerateRequest,
  GoldenOverrides,
  GoldenRequest,
  LoraRequest,
  TrainFileRequest,
  TrainRequest,
} from '../engine/operations.js';
import type { GoldenThresholds } from '../golden/comparison.js';
import { JOB_STATES } from '../jobs/job.js';
import { about, freeForm, integerParameter, name, named, nonEmptyText, path, text } from './forms.js';
import type { WireShape } from './wire-shape.js';

const wholeFrom = (min: number, max: number) => z.int().min(min).max(max);
const share = z.number().min(0).max(1);

const idempotencyKey = about(
  'Of a request that may be repeated: as long as the job is remembered, the same key makes no second one.',
  name.optional(),
);
const ewcLambda = about(
  '100 to 1000, or 0 for none. Default ewc.lambda of the configuration.',
  z.union([z.literal(0), z.number().min(100).max(1000)], 'Invalid input: expected 0, or 100 to 1000').optional(),
);
const force = about('Also with fewer samples than training.minimumSamples. Default false.', z.boolean().optional());

const thresholds = named(
  'GoldenThresholds',
  z.strictObject({
    max_regressions: wholeFrom(0, 1e6).nullish(),
    max_mean_score_drop: share.nullish(),
    max_relative_score_drop: share.nullish(),
    min_pass_rate: share.nullish(),
    max_unsafe_cases: wholeFrom(0, 1e6).nullish(),
  } satisfies WireShape<GoldenThresholds>),
);

const goldenOverrides = {
  golden_validation_enabled: z.boolean().optional(),
  golden_validation_required: about('true also means enabled.', z.boolean().optional()),
  golden_suite_path: path.optional(),
  golden_baseline_output_path: path.optional(),
  golden_thresholds: thresholds.optional(),
} satisfies WireShape<GoldenOverrides>;

const train = {
  days: about('Feedback of so many days. Default training.days.', wholeFrom(1, 3650).optional()),
  ewc_lambda: ewcLambda,
  force,
  trigger_source: about('Kept in the provenance of the version. Default manual.', name.optional()),
  audit_context: about('Kept in the provenance of the version.', freeForm.optional()),
  dataset_id: name.optional(),
  author: name.optional(),
  validation_metrics: z.record(name, z.number()).optional(),
  idempotency_key: idempotencyKey,
  ...goldenOverrides,
} satisfies WireShape<TrainRequest>;

const trainFile = {
  dataset_path: about('Below one of service.allowedFolders.', path),
  learning_rate: z.number().gt(0).max(1).optional(),
  epochs: wholeFrom(1, 1000).optional(),
  batch_size: wholeFrom(1, 65_536).optional(),
  ewc_lambda: ewcLambda,
  force,
  idempotency_key: idempotencyKey,
  ...goldenOverrides,
} satisfies WireShape<TrainFileRequest>;

const fisher = {
  adapter_version: about('A version or an alias. Default: the active one.', name.optional()),
  num_samples: about('Default ewc.fisherSamples.', wholeFrom(1, 1e6).optional()),
  idempotency_key: idempotencyKey,
} satisfies WireShape<FisherRequest>;

export const trainRequest = named('TrainRequest', z.strictObject(train));
export const trainFileRequest = named('TrainFileRequest', z.strictObject(trainFile));
export const fisherRequest = named('FisherRequest', z.strictObject(fisher));

/** All that jobs are asked, as an answer shows it again. */
export const JOB_REQUEST_SHAPE = { ...train, ...trainFile, ...fisher };

export const goldenRequest = named(
  'GoldenRequest',
  z.strictObject({
    suite_path: about('Default golden.suite.', path.optional()),
    adapter_version: about('Answers the cases now. Either this or candidate_output_path.', name.optional()),
    candidate_output_path: about('A file of answers.', path.optional()),
    baseline_output_path: about('Default golden.baseline, else what is active answers now.', path.optional()),
    thresholds: thresholds.optional(),
  } satisfies WireShape<GoldenRequest>),
);

const { adapter_version, ...lora } = {
  adapter_version: about('A version or an alias.', name.optional()),
  reason: about('Kept in the audit trail. Default manual_operation, of a deploy manual_deploy.', name.optional()),
  override: about('Also a version that is not approved; needs a reason.', z.boolean().optional()),
  expect: about('The version that you believe to be active, null for none; else 409.', name.nullish()),
} satisfies WireShape<LoraRequest>;

export const deployRequest = named('DeployRequest', z.strictObject(lora));
export const loraRequest = named('LoraRequest', z.strictObject({ adapter_version, ...lora }));
export const loraVersionRequest = named(
  'LoraVersionRequest',
  z.strictObject({ adapter_version: about('A version or an alias.', name), ...lora }),
);

export const quarantineRequest = named(
  'QuarantineRequest',
  z.strictObject({ reason: about('For the audit trail.', name) }),
);

const message = z.strictObject({ role: name, content: text });

const generate = {
  prompt: about(
    'Text, or messages for the chat template of the model.',
    z.union([nonEmptyText, z.array(message).min(1).max(10_000)], 'Invalid input: expected text, or messages'),
  ),
  max_new_tokens: wholeFrom(1, 2 ** 24).optional(),
  temperature: z.number().min(0).max(100).optional(),
  top_k: wholeFrom(1, 2 ** 31).optional(),
  top_p: z.number().gt(0).max(1).optional(),
  stop: z.array(nonEmptyText).max(100).optional(),
  seed: wholeFrom(0, 2 ** 32 - 1).optional(),
} satisfies WireShape<GenerateRequest>;

export const generateRequest = named(
  'GenerateRequest',
  z.strictObject({
    ...generate,
    stream: about('Server-sent events: { text } again and again, then the whole answer.', z.boolean().optional()),
  }),
);

export const versionPath = z.strictObject({ version: about('A version or an alias.', name) });
export const jobPath = z.strictObject({ id: name });

/** One query parameter may stand several times. */
const states = z
  .union([z.enum(JOB_STATES), z.array(z.enum(JOB_STATES))])
  .transform((given) => (Array.isArray(given) ? given : [given]));

export const jobQuery = z.strictObject({
  state: about('May stand several times. Default: all.', states.optional()),
  queue: about('Default: all.', name.optional()),
  limit: about('1 to 1000, default 50.', integerParameter(1, 1000).optional()),
  before: about('next of the page before.', integerParameter(1, Number.MAX_SAFE_INTEGER).optional()),
});
