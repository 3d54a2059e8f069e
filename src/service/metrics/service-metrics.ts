/** What the service counts, and what it is asked for whenever somebody looks, as Prometheus text. */
import { type LoraEnd, type ServiceMetrics, silentEvents } from '../engine/events.js';
import { loadPackage } from '../optional-package.js';
import { type Instruments, makeInstruments, type PrometheusPackage } from './instruments.js';
import { MetricPage, type MetricPageOptions } from './metric-page.js';

export interface ServiceMetricsOptions extends MetricPageOptions {
  /** Default: imports the package prom-client. */
  load?: () => Promise<PrometheusPackage>;
}

/** Where prom-client is not installed nothing is counted, and text() rejects with ERR_PACKAGE_MISSING. */
export async function openServiceMetrics(options: ServiceMetricsOptions): Promise<ServiceMetrics> {
  const { load = () => import('prom-client') } = options;
  let prometheus: PrometheusPackage;
  try {
    prometheus = await loadPackage('metrics', 'prom-client', load);
  } catch (error) {
    return { ...silentEvents, text: () => Promise.reject(error) };
  }
  const registry = new prometheus.Registry();
  prometheus.collectDefaultMetrics({ register: registry });
  const instruments = makeInstruments(prometheus, registry);
  const page = new MetricPage(instruments, options);
  return {
    ...counters(instruments, page, options.model),
    async text(service) {
      await page.refresh(service);
      return registry.metrics();
    },
  };
}

const RUN_STATUSES = ['success', 'skipped', 'failed'] as const;
const VALIDATION_STATUSES = ['approved', 'rejected'] as const;

/** Of events in this process. Counters whose labels are known start at 0, so that the first event shows in a rate. */
function counters(to: Instruments, page: MetricPage, model: string): Omit<ServiceMetrics, 'text'> {
  for (const status of RUN_STATUSES) to.training_runs_total.inc({ model, status }, 0);
  for (const status of VALIDATION_STATUSES) to.golden_validation_runs_total.inc({ model, status }, 0);
  to.parameter_updates_total.inc({ model }, 0);
  for (const result of ['added', 'duplicate'] as const) to.feedback_rows_total.inc({ result }, 0);
  to.generations_total.inc({ result: 'ok' }, 0);
  return {
    trainingStarted() {},
    trainingProgress: (progress) => page.stepDone(progress),
    trainingFinished({ status, result }) {
      to.training_runs_total.inc({ model, status });
      to.parameter_updates_total.inc({ model }, result?.steps ?? 0);
    },
    fisherFinished({ version, sizeBytes, durationSeconds }) {
      to.fisher_computation_duration_seconds.observe({ model }, durationSeconds);
      to.fisher_matrix_size_bytes.reset();
      to.fisher_matrix_size_bytes.set({ model, version_id: version }, sizeBytes);
    },
    validationFinished(report, version) {
      to.golden_validation_runs_total.inc({ model, status: report.approved ? 'approved' : 'rejected' });
      page.validated(report, version);
    },
    loraFinished({ operation, durationMs, code }: LoraEnd) {
      to.lora_operations_total.inc({ operation, result: code ?? 'ok' });
      if (code === undefined) to.lora_operation_duration_seconds.observe({ operation }, durationMs / 1000);
    },
    feedbackAppended({ received, added }) {
      to.feedback_rows_total.inc({ result: 'added' }, added);
      to.feedback_rows_total.inc({ result: 'duplicate' }, received - added);
    },
    generationFinished({ completionTokens }, durationMs) {
      to.generations_total.inc({ result: 'ok' });
      to.generated_tokens_total.inc(completionTokens);
      to.generation_duration_seconds.observe(durationMs / 1000);
    },
    generationFailed: (code) => to.generations_total.inc({ result: code }),
    requestFinished({ method, route = 'none', status, durationMs }) {
      to.http_request_duration_seconds.observe({ method, route, status }, durationMs / 1000);
    },
  };
}
