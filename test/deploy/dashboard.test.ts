import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { METRICS, type MetricDeclaration } from '../../src/service/metrics/declarations.js';
import { root } from '../support/imports.js';

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  datasource?: { type: string; uid: string };
  targets?: { refId: string; expr: string; datasource: { type: string; uid: string } }[];
}

const file = join(root, 'deploy/grafana/dashboards/lorakeet.json');
const dashboard: { uid: string; panels: Panel[] } = JSON.parse(readFileSync(file, 'utf8'));
const queries = dashboard.panels.flatMap(({ title, targets = [] }) => targets.map(({ expr }) => ({ title, expr })));

/** Every series that a scrape may have, with its labels. */
const series = new Map<string, readonly string[]>();
for (const [name, { kind, labels }] of Object.entries<MetricDeclaration>(METRICS)) {
  if (kind !== 'histogram') series.set(name, labels);
  else
    for (const end of ['bucket', 'sum', 'count'])
      series.set(`${name}_${end}`, end === 'bucket' ? [...labels, 'le'] : labels);
}
const ofProcess = new Registry();
collectDefaultMetrics({ register: ofProcess });
for (const { name } of ofProcess.getMetricsAsArray()) series.set(name, []);

const FUNCTIONS = ['sum', 'rate', 'increase', 'histogram_quantile'];

/** As far as the dashboard uses it: the series that a query names, and the labels of its `by (…)`. */
function parseQuery(expr: string): { names: string[]; by: string[] } {
  const by = [...expr.matchAll(/\bby \(([^)]*)\)/g)].flatMap(([, list]) => list.split(', '));
  const rest = expr.replace(/\bby \([^)]*\)/g, '').replace(/\[\$__rate_interval\]/g, '');
  const names = [...rest.matchAll(/[a-zA-Z_]\w*/g)].map(([name]) => name).filter((name) => !FUNCTIONS.includes(name));
  const left = rest.replace(/[a-zA-Z_]\w*|\d+(\.\d+)?|[(),/ ]/g, '');
  if (left !== '') throw new Error(`${expr}: this check does not know ${left}`);
  return { names, by };
}

describe("Grafana's dashboard", () => {
  it.each(queries)('asks for what there is: $title: $expr', ({ expr }) => {
    const { names, by } = parseQuery(expr);
    expect(names.length).toBeGreaterThan(0);
    for (const name of names) {
      expect([...series.keys()]).toContain(name);
      expect(series.get(name)).toEqual(expect.arrayContaining(by));
    }
  });

  it('takes rates of what only rises, and shows the rest as it is', () => {
    for (const { expr } of queries) {
      for (const name of parseQuery(expr).names) {
        const declared = METRICS[name as keyof typeof METRICS] as MetricDeclaration | undefined;
        const rises = declared ? declared.kind === 'counter' : /_(bucket|sum|count)$/.test(name);
        expect(new RegExp(`(rate|increase)\\(${name}\\[`).test(expr), expr).toBe(rises);
      }
    }
  });

  it('shows every metric of the service', () => {
    const shown = queries.flatMap(({ expr }) => parseQuery(expr).names);
    const missing = Object.keys(METRICS).filter(
      (name) => !shown.some((one) => one === name || one.startsWith(`${name}_`)),
    );
    expect(missing).toEqual([]);
  });

  it('has panels that lie beside each other, each with an id of its own', () => {
    const ids = dashboard.panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const taken = new Set<string>();
    for (const { title, gridPos } of dashboard.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++) {
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(taken.has(`${x},${y}`), title).toBe(false);
          taken.add(`${x},${y}`);
        }
      }
    }
  });

  it('asks the data source that is provisioned', () => {
    const text = readFileSync(join(root, 'deploy/grafana/provisioning/datasources/prometheus.yaml'), 'utf8');
    const sources = dashboard.panels.flatMap(({ datasource, targets = [] }) => [
      ...(datasource ? [datasource] : []),
      ...targets.map((target) => target.datasource),
    ]);
    expect(sources.length).toBeGreaterThan(queries.length);
    for (const { type, uid } of sources) {
      expect(type).toBe('prometheus');
      expect(text).toContain(`uid: ${uid}\n`);
    }
  });
});
