/** What is served, where, and the ways to change that. */
import type { Actions } from '../actions.js';
import { badge, button, el, facts, fill, permit, table } from '../elements.js';
import { candidates, refusal, type State } from '../state.js';
import type { LoraStatus } from '../wire.js';
import { card, type View } from './view.js';

export function servingView(actions: Actions): View {
  const headline = el('p', { class: 'headline' });
  const details = el('div', {});
  const kill = button('Kill switch…', actions.disable, { class: 'danger' });
  const enable = button('Enable adapters…', actions.enable, { class: 'main' });
  const back = button('Roll back…', actions.rollback);
  const promote = button('Mark as known good…', () => activeVersion && actions.promote(activeVersion));
  const replicas = el('tbody', {});
  const replicaTable = table('Replicas', ['Replica', 'Serves', 'State'], replicas);
  const buttons = el('div', { class: 'buttons' }, kill, enable, back, promote);
  const { element, note } = card('serving', 'Serving', headline, details, buttons, replicaTable);
  let activeVersion: string | null = null;

  return {
    element,
    update(state: State) {
      note(state.lora);
      const lora = state.lora.value;
      for (const part of [headline, details, buttons, replicaTable]) part.hidden = lora === undefined;
      if (lora === undefined) return;
      activeVersion = lora.active;
      fill(headline, ...headlineOf(lora));
      fill(
        details,
        facts([
          ['Known good', lora.known_good ?? 'none'],
          ['Previous', lora.previous ?? 'none'],
          ['Quarantined', lora.quarantined.join(', ') || 'none'],
        ]),
      );
      kill.hidden = !lora.enabled;
      enable.hidden = lora.enabled;
      back.hidden = !lora.enabled;
      promote.hidden = activeVersion === null || activeVersion === lora.known_good;
      const refused = refusal(state);
      for (const one of [kill, enable, promote]) permit(one, refused);
      const noTarget = candidates(state).length === 0 ? 'There is no approved version to go back to.' : undefined;
      permit(back, refused ?? noTarget);
      replicaTable.hidden = lora.serving.length === 0;
      fill(replicas, ...lora.serving.map(replicaRow));
    },
  };
}

function headlineOf({ enabled, active }: LoraStatus): HTMLElement[] {
  if (!enabled) return [el('strong', {}, 'Base model'), badge('adapters disabled', 'bad')];
  if (active === null) return [el('strong', {}, 'Base model'), badge('no version deployed')];
  return [el('strong', {}, active), badge('active', 'good')];
}

function replicaRow({ target, version, settled, error }: LoraStatus['serving'][number]): HTMLElement {
  const state = error ? badge('failed', 'bad') : settled ? badge('settled', 'good') : badge('changing', 'warning');
  return el(
    'tr',
    {},
    el('th', { scope: 'row' }, target),
    el('td', {}, version ?? 'base model'),
    el('td', {}, state, error && el('span', { class: 'note' }, ` ${error}`)),
  );
}
