/** The plots of the report. Only the source text of drawPlots is used: it runs in the reader's browser. */
import type uPlotClass from 'uplot';
import type { ReportData } from './report-data.js';

/** Draws all plots; everything it uses must come through its parameters. */
export function drawPlots(data: ReportData, uPlot: typeof uPlotClass): void {
  const color = (name: string) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const axis = (label: string, size = 56): uPlotClass.Axis => ({
    label,
    size,
    labelSize: 24,
    font: '12px system-ui, sans-serif',
    labelFont: '12px system-ui, sans-serif',
    stroke: color('muted'),
    grid: { stroke: color('grid'), width: 1 },
    ticks: { stroke: color('grid'), width: 1 },
  });
  const line = (label: string, name: string, digits: number, width = 2): uPlotClass.Series => ({
    label,
    stroke: color(name),
    width,
    points: { show: false },
    value: (_, value) => (value == null ? '–' : value.toFixed(digits)),
  });
  const number: uPlotClass.Series.Value = (_, value) => (value == null ? '–' : value.toLocaleString('en-US'));

  function plot(
    id: string,
    options: Omit<uPlotClass.Options, 'width' | 'height'>,
    values: uPlotClass.AlignedData,
  ): void {
    const host = document.getElementById(id)!;
    host.replaceChildren();
    const size = () => ({ width: host.clientWidth, height: 300 });
    const chart = new uPlot({ ...size(), ...options }, values, host);
    new ResizeObserver(() => {
      if (chart.width !== host.clientWidth) chart.setSize(size());
    }).observe(host);
  }

  function draw(): void {
    const { errors, gains, users, throughput } = data;
    const byEvent: uPlotClass.Series = { label: 'event', value: number };
    plot(
      'errors',
      {
        scales: { x: { time: false } },
        series: [
          byEvent,
          line('bias model', 'bias', 4),
          line('exact ridge', 'ridge', 4),
          line('adapters', 'adapter', 4),
        ],
        axes: [axis("number of the event within its user's history", 40), axis('RMSE (stars)')],
      },
      [errors.event, errors.bias, errors.ridge, errors.adapter],
    );
    plot(
      'gains',
      {
        scales: { x: { time: false } },
        series: [
          byEvent,
          line('exact ridge', 'ridge', 4),
          line('adapters', 'adapter', 4),
          line('bias model', 'bias', 0, 1),
        ],
        axes: [axis("number of the event within its user's history", 40), axis('RMSE below the bias model')],
      },
      [gains.event, gains.ridge, gains.adapter, gains.event.map(() => 0)],
    );
    plot(
      'users',
      {
        scales: { x: { time: false } },
        series: [
          { label: 'bias model', value: (_, value) => (value == null ? '–' : value.toFixed(3)) },
          {
            ...line('lower by', 'adapter', 3),
            paths: () => null,
            points: { show: true, size: 6, stroke: color('adapter'), fill: color('point') },
          },
          line('no change', 'bias', 0, 1),
        ],
        axes: [axis("before: user's RMSE with the bias model", 40), axis('after: lower by')],
      },
      [users.bias, users.gain, users.gain.map(() => 0)],
    );
    plot(
      'throughput',
      {
        scales: {
          x: { time: false },
          y: { range: (_, __, max) => [0, max * 1.05] },
          users: { range: (_, __, max) => [0, max * 1.05] },
        },
        series: [
          { label: 'seconds', value: (_, value) => (value == null ? '–' : value.toFixed(2)) },
          {
            ...line('updates per second', 'adapter', 0),
            value: (_, value) => (value == null ? '–' : Math.round(value).toLocaleString('en-US')),
          },
          { ...line('users per batch', 'ridge', 0), scale: 'users' },
        ],
        axes: [
          axis('seconds in the pool', 40),
          axis('updates per second', 68),
          { ...axis('users per batch'), scale: 'users', side: 1, grid: { show: false } },
        ],
      },
      [throughput.seconds, throughput.updatesPerSecond, throughput.usersPerBatch],
    );
  }

  draw();
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', draw);
}
