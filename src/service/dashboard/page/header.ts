/** The top of the page: whether the service answers, how it is, and as whom one is here. */
import { badge, button, el, fill } from './elements.js';
import { formatTime } from './format.js';
import type { Reading, State } from './state.js';
import { healthBadge } from './views/system.js';
import type { View } from './views/view.js';

export function headerView(signIn: () => void, signOut: () => void): View {
  const health = el('span', {});
  const connection = el('p', { class: 'connection', role: 'status' });
  const who = el('span', { class: 'note' });
  const enter = button('Sign in', signIn);
  const leave = button('Sign out', signOut);
  const element = el(
    'header',
    {},
    el('div', { class: 'top' }, el('h1', {}, 'lorakeet'), health, el('span', { class: 'who' }, who, enter, leave)),
    connection,
  );
  return {
    element,
    update(state) {
      const { session } = state;
      fill(health, state.health.value && healthBadge(state.health.value));
      const { value } = session;
      fill(who, value?.tokens && `${value.name} (${value.scope})`);
      enter.hidden = value !== undefined || !session.failure || session.failure.unreachable;
      leave.hidden = !value?.tokens;
      const unreachable = unreachableSince(state);
      connection.classList.toggle('failed', unreachable !== undefined);
      const said = unreachable && [
        badge('unreachable', 'bad'),
        ` since ${formatTime(unreachable)}. What is shown is what was known then; it is asked again.`,
      ];
      fill(connection, ...(said || [describeState(state)]));
    },
  };
}

/** Since when nothing has answered at all; undefined while something does. */
function unreachableSince(state: State): Date | undefined {
  const readings: Reading<unknown>[] = [state.training, state.lora];
  const failures = readings.map(({ failure }) => failure);
  if (!failures.every((failure) => failure?.unreachable)) return undefined;
  return failures.map((failure) => failure?.since as Date).sort((a, b) => a.getTime() - b.getTime())[0];
}

function describeState({ session }: State): string {
  if (session.value?.scope === 'read') return 'This token may read: what changes something is switched off.';
  if (session.failure && !session.failure.unreachable) return session.failure.message;
  return '';
}
