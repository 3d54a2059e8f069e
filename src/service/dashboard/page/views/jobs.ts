/** The newest jobs. */
import { badge, el, fill, type Tone, table } from '../elements.js';
import { formatSeconds, instant } from '../format.js';
import type { Job } from '../wire.js';
import { describeProgress } from './training.js';
import { card, type View } from './view.js';

const TONES: Record<Job['state'], Tone> = {
  queued: 'plain',
  running: 'warning',
  completed: 'good',
  failed: 'bad',
  cancelled: 'plain',
};

export function jobsView(): View {
  const body = el('tbody', {});
  const none = el('p', { class: 'note' }, 'There has been no job yet.');
  const columns = ['Job', 'State', 'Outcome', 'Made|wide', 'Took|wide'];
  const jobsTable = table('The newest jobs', columns, body);
  const { element, note } = card('jobs', 'Jobs', none, jobsTable);
  return {
    element,
    update({ jobs, training }) {
      note(jobs);
      const current = training.value?.current_job;
      // the running job is asked for more often than the list
      const rows = (jobs.value?.jobs ?? []).map((job) => (job.id === current?.id ? current : job));
      none.hidden = jobs.value === undefined || rows.length > 0;
      jobsTable.hidden = rows.length === 0;
      fill(body, ...rows.map(jobRow));
    },
  };
}

function jobRow(job: Job): HTMLElement {
  const { id, payload, state, created_at, started_at, finished_at } = job;
  const took = started_at && finished_at ? (Date.parse(finished_at) - Date.parse(started_at)) / 1000 : undefined;
  return el(
    'tr',
    {},
    el('th', { scope: 'row' }, payload?.kind ?? 'job', el('span', { class: 'note', title: id }, id.slice(0, 8))),
    el('td', {}, badge(state, TONES[state])),
    el('td', { class: 'free' }, outcomeOf(job)),
    el('td', { class: 'wide' }, instant(created_at)),
    el('td', { class: 'wide' }, took === undefined ? '–' : formatSeconds(took)),
  );
}

function outcomeOf({ state, progress, result, error }: Job): string {
  if (state === 'running') return progress ? describeProgress(progress) : 'starting';
  if (state === 'failed') return error ?? 'failed';
  if (result?.status === 'skipped') return `skipped: ${result.reason ?? ''}`;
  return result?.version ?? error ?? '–';
}
