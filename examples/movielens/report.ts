/** The report of a run: one HTML file with its figures, plots and their code, which opens without a network. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { ADAPTER_SETTINGS } from './replay.js';
import { reportData, WINDOW } from './report-data.js';
import { drawPlots } from './report-plots.js';
import {
  formatCount,
  formatRmse,
  formatShare,
  MODEL_NAMES,
  MODELS,
  type Model,
  type RunResult,
  type Summary,
} from './results.js';

const STYLE = `
  :root {
    color-scheme: light dark;
    --page: #f6f7f9; --card: #ffffff; --text: #1b1f24; --muted: #5c6672; --grid: #e3e7ec;
    --bias: #8b95a1; --ridge: #d9822b; --adapter: #2463d1; --point: #2463d140;
  }
  @media (prefers-color-scheme: dark) {
    :root {
      --page: #14171b; --card: #1d2126; --text: #e8ebee; --muted: #9aa5b1; --grid: #2e343b;
      --bias: #7d8793; --ridge: #f0a04b; --adapter: #6ea8fe; --point: #6ea8fe40;
    }
  }
  * { box-sizing: border-box; }
  body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.55 system-ui, sans-serif; }
  main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
  h1 { font-size: 28px; line-height: 1.25; margin: 0 0 8px; }
  h2 { font-size: 17px; margin: 0 0 4px; }
  p { margin: 0 0 12px; }
  .lead, .note, figcaption { color: var(--muted); }
  .lead { max-width: 780px; margin-bottom: 28px; }
  .note, figcaption { font-size: 13px; }
  .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(220px, 1fr)); gap: 16px; margin-bottom: 16px; }
  .card { background: var(--card); border: 1px solid var(--grid); border-radius: 10px; padding: 20px; min-width: 0; }
  .tile b { display: block; font-size: 28px; line-height: 1.2; font-variant-numeric: tabular-nums; }
  .wide { overflow-x: auto; margin-bottom: 16px; }
  .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 16px; margin-bottom: 16px; }
  figure { margin: 0; }
  figcaption { margin-bottom: 12px; min-height: 3.1em; }
  table.figures { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
  .figures th, .figures td { padding: 8px 12px; text-align: right; border-top: 1px solid var(--grid); white-space: nowrap; }
  .figures thead th { border-top: 0; color: var(--muted); font-weight: 500; }
  .figures th:first-child { text-align: left; padding-left: 0; }
  .figures tbody th { font-weight: 400; }
  .figures tr.adapter > * { font-weight: 600; }
  .key { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 8px; }
  .u-legend { font-size: 12px; color: var(--muted); }
`;

export function renderReport(summary: Summary, result: RunResult): string {
  const data = reportData(result);
  const title = `${summary.users} people's adapters learn from their movie ratings`;
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(title)} · lorakeet</title>
<style>${dependency('uplot/dist/uPlot.min.css')}${STYLE}</style>
</head>
<body>
<main>
<h1>${escapeHtml(title)}</h1>
<p class="lead">${formatCount(summary.events)} ratings of people whom no part of the model has seen before, replayed in
time order. Each time, the person's adapter first predicts the rating, is scored, and only then learns from it.</p>
<section class="tiles">
${tile(formatRmse(summary.adapter.rmse), `RMSE of the adapters; the bias model has ${formatRmse(summary.bias.rmse)}`)}
${tile(formatShare(summary.ridgeGainShare), 'of what exact per-user ridge regression gains on the bias model')}
${tile(`${data.users.better} of ${summary.users}`, 'people are predicted better with their adapter than without')}
${tile(formatCount(summary.updatesPerSecond), `updates per second, predicting included; backend ${result.backend.name}`)}
</section>
<section class="card wide">
${table(summary)}
</section>
<section class="plots">
${figure('errors', "Error over a person's events", `RMSE of all people over the last ${WINDOW} event numbers (fewer at the start); it ends where fewer than 20 people have ratings left.`)}
${figure('gains', 'What learning gains', 'The same curves as their distance below the bias model: higher is better, 0 is no gain.')}
${figure('users', 'Each person before and after', 'One point per person, over all of their events. Above 0 the adapter predicts better than the bias model.')}
${figure('throughput', 'Throughput', 'One batch holds the next rating of everybody who still has one. Batches shrink as people run out of ratings, and the fixed cost of a call then weighs more.')}
</section>
<section class="card">
<h2>How it was measured</h2>
${method(summary, result)}
</section>
</main>
<script>${inScript(dependency('uplot/dist/uPlot.iife.min.js'))}</script>
<script>(${inScript(drawPlots.toString())})(${inScript(JSON.stringify(data))}, uPlot);</script>
</body>
</html>
`;
}

function tile(figure: string, caption: string): string {
  return `<div class="card tile"><b>${escapeHtml(figure)}</b><span class="note">${escapeHtml(caption)}</span></div>`;
}

function figure(id: string, title: string, caption: string): string {
  return `<figure class="card"><h2>${escapeHtml(title)}</h2><figcaption>${escapeHtml(caption)}</figcaption><div id="${id}"></div></figure>`;
}

function table(summary: Summary): string {
  const shares: Record<Model, string[]> = {
    bias: [formatShare(0), formatShare(0)],
    ridge: [formatShare(1), formatShare(1)],
    adapter: [formatShare(summary.ridgeGainShare), formatShare(summary.lateRidgeGainShare)],
  };
  const rows = MODELS.map((model) => {
    const { rmse, lateRmse } = summary[model];
    const cells = [formatRmse(rmse), shares[model][0], formatRmse(lateRmse), shares[model][1]];
    const key = `<span class="key" style="background: var(--${model})"></span>`;
    return `<tr class="${model}"><th scope="row">${key}${MODEL_NAMES[model]}</th>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  const columns = ['RMSE, all events', 'share of the ridge gain', 'RMSE, late events', 'share of the ridge gain'];
  return `<table class="figures"><thead><tr><th></th>${columns.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>
<tbody>${rows.join('\n')}</tbody></table>
<p class="note">RMSE in stars, lower is better. Late events are each person's ratings from the 21st on.</p>`;
}

function method(summary: Summary, { backend }: RunResult): string {
  const { rank, embeddingDim, learningRate, gradientClipThreshold, optimizer } = ADAPTER_SETTINGS;
  const paragraphs = [
    `A hash of person and seed (${summary.seed}) holds about 30 % of the people out. The ratings of the others give each movie a bias and 16 factors; the ${summary.users} people replayed here have no part in that.`,
    "The bias model predicts mean + movie bias + the person's own damped mean so far. Exact ridge regression and the adapters both add a correction to that same prediction: ridge solves a Bayesian linear regression on the movie's factors exactly after every rating; the adapter takes one gradient step after every rating and stores no ratings.",
    `Adapters have rank ${rank} in ${embeddingDim} dimensions and learn by plain SGD: learning rate ${learningRate}, weight decay ${optimizer.weightDecay}, gradient norm at most ${gradientClipThreshold}. These settings are the same for every seed and were chosen on MovieLens users who are not replayed under seeds 0, 1 and 2.`,
    "An adapter can gain more than exact ridge regression, because ridge is exact only under its own assumptions: it weighs a person's first rating like the latest, as if tastes never changed. Weight decay lets an adapter forget.",
    `Updates per second count ratings predicted and learned, over the time spent in the pool (${summary.seconds.toFixed(2)} s in all). Backend ${backend.name}${backend.device === backend.name ? '' : ` (${backend.device})`}: ${backend.reason}.`,
  ];
  return paragraphs.map((text) => `<p>${escapeHtml(text)}</p>`).join('\n');
}

function dependency(path: string): string {
  return readFileSync(createRequire(import.meta.url).resolve(path), 'utf8');
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Script text that cannot end its own element. */
function inScript(text: string): string {
  return text.replaceAll('</script', '<\\/script').replaceAll('<!--', '<\\!--');
}
