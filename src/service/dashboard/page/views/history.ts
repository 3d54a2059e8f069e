/** The audit trail: who changed what is served, and why. */
import { badge, el, fill, table } from '../elements.js';
import { instant } from '../format.js';
import type { LoraStatus } from '../wire.js';
import { card, type View } from './view.js';

const SHOWN = 12;

export function historyView(): View {
  const body = el('tbody', {});
  const none = el('p', { class: 'note' }, 'Nothing has been deployed yet.');
  const changes = table('Changes of what is served', ['When', 'What', 'Why'], body);
  const { element, note } = card('history', 'Changes', none, changes);
  return {
    element,
    update({ lora }) {
      note(lora);
      const history = lora.value?.history ?? [];
      none.hidden = lora.value === undefined || history.length > 0;
      changes.hidden = history.length === 0;
      fill(body, ...history.slice(0, SHOWN).map(changeRow));
    },
  };
}

function changeRow(change: LoraStatus['history'][number]): HTMLElement {
  return el(
    'tr',
    {},
    el('td', {}, instant(change.at), el('span', { class: 'note' }, change.actor && `by ${change.actor}`)),
    el('td', {}, change.operation, ` ${change.version ?? ''} `, change.override && badge('override', 'warning')),
    el('td', { class: 'free' }, change.reason ?? '–'),
  );
}
