/** Loss and EWC loss of a training job over its steps, drawn by uPlot, which is served beside this page. */
import type uPlotClass from 'uplot';
import { el, fill } from './elements.js';
import { formatFigure } from './format.js';
import type { Job } from './wire.js';

declare const uPlot: typeof uPlotClass;

const HEIGHT = 240;

export interface Curves {
  element: HTMLElement;
  update(jobs: readonly Job[], current: Job | undefined): void;
}

/** Of the job that is chosen; of the running one, or the last, while none is. */
export function createCurves(): Curves {
  const select = el('select', { id: 'curve-job' });
  const caption = el('figcaption', { class: 'note' });
  const host = el('div', { class: 'plot', 'aria-hidden': true });
  const choice = el('div', { class: 'field select' }, el('label', { for: select.id }, 'Curves of'), select);
  const element = el('figure', { hidden: true }, choice, host, caption);
  let chart: uPlotClass | undefined;
  let chosen = '';
  let known: readonly Job[] = [];

  select.addEventListener('change', () => {
    chosen = select.value;
    draw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
    chart?.destroy();
    chart = undefined;
    draw();
  });
  new ResizeObserver(() => {
    if (host.clientWidth > 0) chart?.setSize({ width: host.clientWidth, height: HEIGHT });
  }).observe(host);

  function draw(): void {
    const job = known.find(({ id }) => id === chosen) ?? known[0];
    const curve = job?.progress?.curve;
    element.hidden = curve === undefined;
    if (curve === undefined) return;
    select.value = job.id;
    const data: uPlotClass.AlignedData = [curve.step, curve.loss, curve.ewc_loss];
    if (chart) chart.setData(data);
    else chart = new uPlot(options(Math.max(host.clientWidth, 240)), data, host);
    fill(caption, describeCurve(curve));
  }

  return {
    element,
    update(jobs, current) {
      const all = current && !jobs.some(({ id }) => id === current.id) ? [current, ...jobs] : jobs;
      known = all
        .map((job) => (job.id === current?.id ? current : job))
        .filter((job) => job.progress?.curve?.step.length);
      // while the list is open, it must not change under the reader's hand
      if (document.activeElement !== select || select.options.length === 0) {
        fill(select, ...known.map((job, i) => el('option', { value: job.id }, nameOf(job, i === 0))));
      }
      draw();
    },
  };
}

function nameOf({ id, payload, state, result }: Job, newest: boolean): string {
  const what = state === 'running' ? 'running' : (result?.version ?? state);
  return `${newest ? 'newest: ' : ''}${payload?.kind ?? 'job'} ${id.slice(0, 8)} (${what})`;
}

/** The curve in words, for those who do not see it. */
function describeCurve({ step, loss, ewc_loss }: { step: number[]; loss: number[]; ewc_loss: number[] }): string {
  const last = step.length - 1;
  const of = (values: number[]) => `${formatFigure(values[0])} → ${formatFigure(values[last])}`;
  return `Steps ${step[0]} to ${step[last]}: loss ${of(loss)}, EWC loss ${of(ewc_loss)}.`;
}

function options(width: number): uPlotClass.Options {
  const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const font = '12px system-ui, sans-serif';
  const axis = { stroke: color('muted'), font, ticks: { stroke: color('line'), width: 1 } };
  const grid = { stroke: color('line'), width: 1 };
  const value: uPlotClass.Series.Value = (_, figure) => (figure == null ? '–' : formatFigure(figure));
  const line = { width: 2, points: { show: false }, value };
  const values = (_: uPlotClass, ticks: number[]) => ticks.map(formatFigure);
  return {
    width,
    height: HEIGHT,
    scales: { x: { time: false } },
    series: [
      { label: 'step' },
      { ...line, label: 'loss', stroke: color('accent') },
      { ...line, label: 'EWC loss', stroke: color('second'), scale: 'ewc', dash: [6, 4] },
    ],
    axes: [
      { ...axis, grid },
      { ...axis, grid, values, size: 56 },
      { ...axis, scale: 'ewc', side: 1, grid: { show: false }, values, size: 64 },
    ],
  };
}
