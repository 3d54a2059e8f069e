import { el } from '../elements.js';
import { formatTime } from '../format.js';
import { type Reading, readingNote, type State } from '../state.js';

/** A part of the page. */
export interface View {
  element: HTMLElement;
  update(state: State): void;
}

/** A card with its heading, and a line for why its content is missing or old. */
export function card(
  id: string,
  title: string,
  ...children: HTMLElement[]
): { element: HTMLElement; note: (reading: Reading<unknown>) => void } {
  const note = el('p', { class: 'stale', hidden: true });
  const heading = el('h2', { id: `${id}-title` }, title);
  const element = el('section', { id, class: 'card', 'aria-labelledby': heading.id }, heading, note, ...children);
  return {
    element,
    note(reading) {
      const text = readingNote(reading, formatTime);
      note.hidden = text === undefined;
      note.classList.toggle('failed', reading.failure !== undefined);
      if (note.textContent !== (text ?? '')) note.textContent = text ?? '';
    },
  };
}
