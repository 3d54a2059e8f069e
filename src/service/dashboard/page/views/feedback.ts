/** How much feedback there is, and of what. */
import { el, fill } from '../elements.js';
import { formatCount } from '../format.js';
import { card, type View } from './view.js';

const LONGEST = 8;

export function feedbackView(): View {
  const total = el('p', { class: 'headline' });
  const groups = el('div', { class: 'groups' });
  const { element, note } = card('feedback', 'Feedback of the last 7 days', total, groups);
  return {
    element,
    update({ overview, days }) {
      note(overview);
      const counts = overview.value?.feedback;
      total.hidden = groups.hidden = counts === undefined;
      if (counts === undefined) return;
      fill(total, el('strong', {}, formatCount(counts.total)), counts.total === 1 ? ' row' : ' rows');
      fill(
        groups,
        group('By type', named(counts.by_type)),
        group('By intent', named(counts.by_intent)),
        group('By project', named(counts.by_project)),
        days.value &&
          group(
            'By day (UTC)',
            days.value.map(({ day, total }) => [day, total] as const),
          ),
      );
    },
  };
}

type Count = readonly [name: string, count: number];

/** The largest first, what is left in one. */
function named(counts: Readonly<Record<string, number>>): Count[] {
  const sorted = Object.entries(counts).sort(([, a], [, b]) => b - a);
  const rest = sorted.slice(LONGEST).reduce((sum, [, count]) => sum + count, 0);
  return rest > 0 ? [...sorted.slice(0, LONGEST), ['all others', rest]] : sorted;
}

/** A bar beside each says the same as its figure. */
function group(title: string, counts: readonly Count[]): HTMLElement | undefined {
  if (counts.length === 0) return undefined;
  const largest = Math.max(...counts.map(([, count]) => count), 1);
  const rows = counts.map(([name, count]) => bar(name, count, largest));
  return el('table', { class: 'bars' }, el('caption', {}, title), el('tbody', {}, ...rows));
}

function bar(name: string, count: number, largest: number): HTMLElement {
  const meter = el('td', { class: 'bar', 'aria-hidden': true });
  const filled = el('span', {});
  filled.style.width = `${(100 * count) / largest}%`;
  meter.append(filled);
  return el('tr', {}, el('th', { scope: 'row' }, name), meter, el('td', { class: 'number' }, formatCount(count)));
}
