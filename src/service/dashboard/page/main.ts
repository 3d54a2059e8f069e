/** The dashboard: asks the service what is going on, and shows it. */
import { createActions } from './actions.js';
import { ApiError, read } from './api.js';
import { createCurves } from './curves.js';
import { el } from './elements.js';
import { readDays } from './feedback-days.js';
import { headerView } from './header.js';
import { type Poller, poll } from './poll.js';
import { forgetToken } from './session.js';
import { signIn } from './sign-in.js';
import { emptyState, noteFailure, noteSuccess, type Reading, type State } from './state.js';
import { feedbackView } from './views/feedback.js';
import { goldenView } from './views/golden.js';
import { historyView } from './views/history.js';
import { jobsView } from './views/jobs.js';
import { servingView } from './views/serving.js';
import { systemView } from './views/system.js';
import { trainingView } from './views/training.js';
import { tryItView } from './views/try-it.js';
import { versionsView } from './views/versions.js';
import type { View } from './views/view.js';

const state = emptyState();
const curves = createCurves();
const live = el('p', { class: 'live', role: 'status' });
const golden = goldenView();
const actions = createActions(state, (message) => {
  announce(message);
  refreshAll();
});
const header = headerView(askForToken, signOut);
/** Side by side where there is room, else one after the other. */
const columns: View[][] = [
  [servingView(actions), trainingView(actions, curves.element), versionsView(actions, golden.show), jobsView()],
  [golden, tryItView(), feedbackView(), historyView(), systemView()],
];

/** With an answer that says what is wrong. */
const UNHEALTHY = 503;

/** What to ask, and how often, ms. */
const SOURCES: { [K in keyof State]: { ask: () => Promise<unknown>; interval: () => number } } = {
  session: { ask: () => read('session'), interval: () => 60_000 },
  training: { ask: () => read('training/status'), interval: () => (isTraining() ? 500 : 4000) },
  lora: { ask: () => read('lora/status'), interval: () => 4000 },
  jobs: { ask: () => read('jobs?limit=20'), interval: () => 15_000 },
  adapters: { ask: () => read('adapters'), interval: () => 15_000 },
  overview: { ask: () => read('overview'), interval: () => 15_000 },
  days: { ask: () => readDays(), interval: () => 60_000 },
  health: { ask: () => read('health', UNHEALTHY), interval: () => 15_000 },
};
const pollers = new Map<keyof State, Poller>();
/** What the lists depend on, as it was when they were last asked for. */
let seen = '';

function isTraining(): boolean {
  const training = state.training.value;
  return training !== undefined && (training.current_job !== undefined || training.queue.queued > 0);
}

async function ask(name: keyof State): Promise<boolean> {
  const reading = state[name] as Reading<unknown>;
  try {
    noteSuccess(reading, await SOURCES[name].ask());
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) askForToken();
    noteFailure(reading, error);
  }
  show();
  return reading.failure === undefined;
}

function show(): void {
  for (const view of [header, ...columns.flat()]) view.update(state);
  curves.update(state.jobs.value?.jobs ?? [], state.training.value?.current_job);
  followChanges();
}

/** Lists change when a job ends or something is deployed: then they are asked for at once. */
function followChanges(): void {
  const { training, lora } = state;
  if (!training.value || !lora.value) return;
  const { current_job, last_job, queue } = training.value;
  const now = [current_job?.id, last_job?.id, last_job?.state, queue.queued, lora.value.sequence].join(' ');
  if (now === seen) return;
  if (seen !== '') for (const name of ['jobs', 'adapters', 'lora'] as const) pollers.get(name)?.refresh();
  seen = now;
}

function announce(message: string): void {
  live.textContent = message;
}

function refreshAll(): void {
  for (const poller of pollers.values()) poller.refresh();
}

function askForToken(): void {
  void signIn(refreshAll);
}

function signOut(): void {
  forgetToken();
  location.reload();
}

document.body.prepend(header.element);
for (const views of columns) {
  document.querySelector('main')?.append(el('div', { class: 'column' }, ...views.map(({ element }) => element)));
}
document.body.append(live);
show();
for (const name of Object.keys(SOURCES) as (keyof State)[]) {
  pollers.set(
    name,
    poll(() => ask(name), SOURCES[name].interval),
  );
}
