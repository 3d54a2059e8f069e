/** The run that goes on, or the last one; its curves; when the next begins by itself. */
import type { Actions } from '../actions.js';
import { badge, button, el, facts, fill, permit } from '../elements.js';
import { formatFigure, formatSeconds, instant } from '../format.js';
import { refusal, type State } from '../state.js';
import type { Job, Progress, TrainingStatus } from '../wire.js';
import { card, type View } from './view.js';

const PHASES: Record<Progress['phase'], string> = {
  load: 'Loading',
  fisher: 'Fisher information',
  train: 'Training',
  validate: 'Golden gate',
  publish: 'Publishing',
};

export function trainingView(actions: Actions, curves: HTMLElement): View {
  const phase = el('p', { class: 'headline' });
  const bar = el('progress', { 'aria-label': 'Progress of the running job', max: 1 });
  const figures = el('div', {});
  const cancel = button('Cancel the job…', () => job && actions.cancel(job));
  const train = button('Train now…', actions.train, { class: 'main' });
  const last = el('div', {});
  const buttons = el('div', { class: 'buttons' }, train, cancel);
  const { element, note } = card('training', 'Training', phase, bar, figures, buttons, last, curves);
  let job: Job | undefined;

  return {
    element,
    update(state: State) {
      note(state.training);
      const training = state.training.value;
      for (const part of [phase, figures, buttons, last]) part.hidden = training === undefined;
      job = training?.current_job;
      bar.hidden = job === undefined;
      cancel.hidden = job === undefined;
      permit(train, refusal(state));
      permit(cancel, refusal(state) ?? (job?.cancel_requested ? 'It is being cancelled.' : undefined));
      if (training === undefined) return;
      fill(phase, ...phaseOf(training));
      const progress = job?.progress;
      if (progress) bar.value = progress.total > 0 ? progress.done / progress.total : 0;
      else bar.removeAttribute('value');
      fill(figures, progress && facts(figuresOf(progress)));
      fill(last, ...lastRun(training), ...nextRuns(training));
    },
  };
}

/** Where it is, in words: what a screen reader says of a job. */
export function describeProgress({ phase, done, total }: Progress): string {
  return `${PHASES[phase]}${total > 0 ? `: ${done} of ${total}` : ''}`;
}

function phaseOf({ current_job: job, queue }: TrainingStatus): HTMLElement[] {
  if (job) {
    const what = job.progress ? describeProgress(job.progress) : 'Starting';
    return [el('strong', {}, what), badge(job.cancel_requested ? 'being cancelled' : job.state, 'warning')];
  }
  const waiting = queue.queued > 0 ? badge(`${queue.queued} queued`, 'warning') : badge('idle');
  return [el('strong', {}, queue.queued > 0 ? 'Waiting for a worker' : 'Nothing is running'), waiting];
}

function figuresOf(progress: Progress): [string, string][] {
  const figure = (value: number | undefined) => (value === undefined ? '–' : formatFigure(value));
  if (progress.loss === undefined) return [];
  return [
    ['Loss', figure(progress.loss)],
    ['EWC loss', figure(progress.ewc_loss)],
    ['Gradient norm', figure(progress.grad_norm)],
    ['Tokens/s', figure(progress.tokens_per_second)],
  ];
}

function lastRun({ last_run: run }: TrainingStatus): HTMLElement[] {
  if (!run) return [el('p', { class: 'note' }, 'No training has ended yet.')];
  const heading = el('h3', {}, 'Last run');
  if (run.error !== undefined) return [heading, el('p', {}, badge('failed', 'bad'), ` ${run.error}`)];
  if (run.status === 'skipped') return [heading, el('p', {}, badge('skipped', 'warning'), ` ${run.reason ?? ''}`)];
  const loss = [run.initial_loss, run.final_loss].map((value) => (value === undefined ? '–' : formatFigure(value)));
  const gate = run.approved ? badge('approved', 'good') : badge('not approved', 'warning');
  return [
    heading,
    facts([
      ['Version', run.version ? el('span', {}, run.version, ' ', gate) : '–'],
      ['Loss', loss.join(' → ')],
      ['Steps', run.steps ?? '–'],
      ['Examples', run.dataset_size ?? '–'],
      ['Took', run.duration_seconds === undefined ? '–' : formatSeconds(run.duration_seconds)],
    ]),
    ...(run.notes ?? []).map((text) => el('p', { class: 'note' }, text)),
  ];
}

function nextRuns({ schedules }: TrainingStatus): HTMLElement[] {
  if (schedules.length === 0)
    return [el('p', { class: 'note' }, 'There is no schedule: it trains when it is told to.')];
  return schedules.map(({ name, next_run_at, cron, time_zone }) =>
    el('p', { class: 'note' }, `Next run of ${name}: `, instant(next_run_at), ` (${cron}, ${time_zone})`),
  );
}
