/** The text that Prometheus reads, as JSON. */

export interface Metric {
  name: string;
  help?: string;
  type?: string;
  samples: { name: string; labels: Record<string, string>; value: number | string }[];
}

const SAMPLE = /^([\w:]+)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([\w]+)="((?:[^"\\]|\\.)*)"/g;

/** Infinity and NaN, which JSON does not have, stay text. Lines of another form are left out. */
export function parsePrometheus(text: string): Metric[] {
  const metrics = new Map<string, Metric>();
  const metricOf = (name: string) => {
    const found = metrics.get(name) ?? { name, help: undefined, type: undefined, samples: [] };
    metrics.set(name, found);
    return found;
  };
  for (const line of text.split('\n')) {
    const [, kind, about, rest] = /^# (HELP|TYPE) ([\w:]+) (.*)$/.exec(line) ?? [];
    if (kind === 'HELP') metricOf(about).help = rest;
    else if (kind === 'TYPE') metricOf(about).type = rest;
    const [, name, labels = '', value] = SAMPLE.exec(line) ?? [];
    if (name === undefined || line.startsWith('#')) continue;
    // a histogram's samples have names of their own
    const base = name.replace(/_(bucket|sum|count)$/, '');
    const number = Number(value);
    metricOf(!metrics.has(name) && metrics.has(base) ? base : name).samples.push({
      name,
      labels: Object.fromEntries([...labels.matchAll(LABEL)].map(([, label, text]) => [label, unescaped(text)])),
      value: Number.isFinite(number) ? number : value,
    });
  }
  return [...metrics.values()];
}

const unescaped = (text: string) => text.replace(/\\(.)/g, (_, letter) => (letter === 'n' ? '\n' : letter));
