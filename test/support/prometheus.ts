/** Prometheus' text format, as far as prom-client writes it. */

export interface Sample {
  /** Such as http_request_duration_seconds_bucket. */
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface MetricFamily {
  kind: string;
  samples: Sample[];
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"(?:,|$)/gy;

/** By the name that is declared. Throws where a line is none of the format, or belongs to nothing that is declared. */
export function parsePrometheus(text: string): Map<string, MetricFamily> {
  const families = new Map<string, MetricFamily>();
  if (!text.endsWith('\n')) throw new Error('no line break at the end');
  for (const line of text.split('\n')) {
    const [, name, kind] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name) families.set(name, { kind, samples: [] });
    if (line === '' || line.startsWith('#')) continue;
    const sample = parseSample(line);
    const family = families.get(sample.name) ?? families.get(sample.name.replace(/_(bucket|sum|count)$/, ''));
    if (!family) throw new Error(`nothing declared for: ${line}`);
    family.samples.push(sample);
  }
  return families;
}

function parseSample(line: string): Sample {
  const [, name, inner = '', number] = SAMPLE.exec(line) ?? [];
  const labels = [...inner.matchAll(LABEL)];
  const whole = labels.map(([text]) => text).join('') === inner;
  const value = Number(number?.replace(/^([+-]?)Inf$/, '$1Infinity'));
  if (!name || !whole || (Number.isNaN(value) && number !== 'Nan')) throw new Error(`no sample: ${line}`);
  return { name, labels: Object.fromEntries(labels.map(([, label, text]) => [label, text])), value };
}
