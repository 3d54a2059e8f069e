/** The declared metrics as those of the package prom-client. */
import type * as Prometheus from 'prom-client';
import { METRICS, type MetricDeclaration, type MetricName } from './declarations.js';

export type PrometheusPackage = Pick<
  typeof Prometheus,
  'Registry' | 'Gauge' | 'Counter' | 'Histogram' | 'collectDefaultMetrics'
>;

type Instrument<D> =
  D extends MetricDeclaration<infer K, infer L>
    ? { gauge: Prometheus.Gauge<L>; counter: Prometheus.Counter<L>; histogram: Prometheus.Histogram<L> }[K]
    : never;

export type Instruments = { [name in MetricName]: Instrument<(typeof METRICS)[name]> };

/** One of each, in `registry`. */
export function makeInstruments(prometheus: PrometheusPackage, registry: Prometheus.Registry): Instruments {
  const made: Record<string, object> = {};
  for (const [name, { kind, help, labels, buckets }] of Object.entries<MetricDeclaration>(METRICS)) {
    const options = { name, help, labelNames: labels, registers: [registry] };
    if (kind === 'gauge') made[name] = new prometheus.Gauge(options);
    else if (kind === 'counter') made[name] = new prometheus.Counter(options);
    else made[name] = new prometheus.Histogram({ ...options, buckets: [...(buckets ?? [])] });
  }
  return made as unknown as Instruments;
}
