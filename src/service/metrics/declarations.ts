/** Every metric of the service: name, kind, labels and what it says. Nothing is declared that is not set. */

type Kind = 'gauge' | 'counter' | 'histogram';

export interface MetricDeclaration<K extends Kind = Kind, L extends string = string> {
  kind: K;
  help: string;
  labels: readonly L[];
  /** Upper bounds, of a histogram. */
  buckets?: readonly number[];
}

function gauge<const L extends string>(help: string, ...labels: L[]): MetricDeclaration<'gauge', L> {
  return { kind: 'gauge', help, labels };
}

function counter<const L extends string>(help: string, ...labels: L[]): MetricDeclaration<'counter', L> {
  return { kind: 'counter', help, labels };
}

function histogram<const L extends string>(
  help: string,
  buckets: readonly number[],
  ...labels: L[]
): MetricDeclaration<'histogram', L> {
  return { kind: 'histogram', help, labels, buckets };
}

const REQUEST_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const OPERATION_SECONDS = [0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 120];
const FISHER_SECONDS = [1, 5, 10, 30, 60, 120, 300];

export const METRICS = {
  // of the last run that made a version, whichever process ran it
  training_loss: gauge('Loss at the end of the run.', 'model', 'version_id'),
  training_duration_seconds: gauge('How long it took.', 'model', 'version_id'),
  training_samples_total: gauge('Examples it learnt from.', 'model', 'version_id'),
  ewc_lambda: gauge('λ of elastic weight consolidation; 0: none.', 'model', 'version_id'),

  // of the last step that is known
  ewc_loss: gauge('Penalty (λ/2)ΣF(θ−θ*)².', 'model'),
  gradient_norm: gauge('Norm of the gradient.', 'model'),
  training_tokens_per_second: gauge('How fast it learns, or learnt last.', 'model'),

  training_runs_total: counter('Runs of training that ended in this process.', 'model', 'status'),
  parameter_updates_total: counter('Steps of the optimiser in those runs.', 'model'),
  fisher_computation_duration_seconds: histogram('Calculations of the Fisher information.', FISHER_SECONDS, 'model'),
  fisher_matrix_size_bytes: gauge('Size of the last Fisher information.', 'model', 'version_id'),

  // of the last validation
  golden_validation_pass_rate: gauge('Share of the cases that passed.', 'model', 'version_id'),
  golden_validation_mean_score: gauge('Mean score of the cases.', 'model', 'version_id'),
  golden_validation_regressions: gauge('Cases that passed before and fail now.', 'model', 'version_id'),
  golden_validation_unsafe_cases: gauge('Answers that are unsafe.', 'model', 'version_id'),
  golden_validation_approved: gauge('1: approved.', 'model', 'version_id'),
  golden_validation_runs_total: counter('Validations that ended in this process.', 'model', 'status'),

  // of the store of versions, and of what is served
  lora_versions_total: gauge('Versions that there are.', 'model'),
  lora_quarantined_versions: gauge('Those that must not be served.', 'model'),
  lora_active_version: gauge('1, with the version that is to be served; none: the base model.', 'model', 'version'),
  lora_enabled: gauge('0: the kill switch is on, or lora.enabled is false.', 'model'),
  serving_replicas: gauge('Replicas, by whether they serve what the store says.', 'model', 'state'),

  lora_operations_total: counter('Activations, rollbacks, …: ok, or the code of the error.', 'operation', 'result'),
  lora_operation_duration_seconds: histogram(
    'How long they took, until they were served.',
    OPERATION_SECONDS,
    'operation',
  ),

  job_queue_jobs: gauge('Jobs of the queue that are remembered.', 'state'),
  feedback_rows_total: counter('Rows that came: added, or there already.', 'result'),

  generations_total: counter('Answers that were written: ok, or the code of the error.', 'result'),
  generated_tokens_total: counter('Tokens of those answers.'),
  generation_duration_seconds: histogram('How long they took.', REQUEST_SECONDS),

  http_request_duration_seconds: histogram(
    'Requests, by declared route.',
    REQUEST_SECONDS,
    'method',
    'route',
    'status',
  ),

  metrics_source_up: gauge('0: what a part of the service knows could not be read for this page.', 'source'),
} as const satisfies Record<string, MetricDeclaration>;

export type MetricName = keyof typeof METRICS;
