/** Elements of the page. Text only ever becomes text: nothing here takes markup. */
export type Child = Node | string | number | null | undefined | false;

type Attributes = Readonly<Record<string, string | number | boolean | undefined>>;

/** `true` is an attribute without a value, but for aria-…; false and undefined are none. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === false) continue;
    element.setAttribute(name, value === true && !name.startsWith('aria-') ? '' : String(value));
  }
  element.append(...nodesOf(children));
  return element;
}

export function button(label: string, onClick: () => void, attributes: Attributes = {}): HTMLButtonElement {
  const element = el('button', { type: 'button', ...attributes }, label);
  element.addEventListener('click', () => {
    if (element.getAttribute('aria-disabled') !== 'true') onClick();
  });
  return element;
}

/** A button that would be refused says why, and can still be reached by keyboard to hear it. */
export function permit(element: HTMLButtonElement, refusal: string | undefined): void {
  if (refusal === undefined) {
    element.removeAttribute('aria-disabled');
    element.removeAttribute('title');
  } else {
    element.setAttribute('aria-disabled', 'true');
    element.title = refusal;
  }
}

/** Replaces what is in the element, unless it is the same: selected text and scroll positions stay. */
export function fill(element: Element, ...children: Child[]): void {
  const fresh = nodesOf(children).map((child) => (typeof child === 'string' ? new Text(child) : child));
  const old = [...element.childNodes];
  const same = old.length === fresh.length && old.every((node, i) => node.isEqualNode(fresh[i]));
  if (!same) element.replaceChildren(...fresh);
}

export interface Row<T> {
  element: HTMLElement;
  update(item: T): void;
}

/** A list whose elements stay those of their keys, so that the focus stays where it is. */
export function keyedList<T>(
  parent: HTMLElement,
  keyOf: (item: T) => string,
  make: (item: T) => Row<T>,
): (items: readonly T[]) => void {
  const rows = new Map<string, Row<T>>();
  return (items) => {
    const keys = new Set(items.map(keyOf));
    for (const [key, row] of rows) {
      if (keys.has(key)) continue;
      row.element.remove();
      rows.delete(key);
    }
    let place = parent.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      const row = rows.get(key) ?? make(item);
      rows.set(key, row);
      row.update(item);
      if (row.element === place) place = place.nextElementSibling;
      else parent.insertBefore(row.element, place);
    }
  };
}

export type Tone = 'good' | 'warning' | 'bad' | 'plain';

export function badge(text: string, tone: Tone = 'plain'): HTMLElement {
  return el('span', { class: `badge ${tone}` }, text);
}

/** A table that scrolls by itself where it is too wide, which the keyboard must be able to do too. */
export function table(caption: string, columns: readonly string[], body: HTMLElement): HTMLElement {
  const head = columns.map((name) => {
    const [text, kind] = name.split('|');
    return el('th', { scope: 'col', class: kind }, text);
  });
  return el(
    'div',
    { class: 'scroll', role: 'region', 'aria-label': caption, tabindex: 0 },
    el('table', {}, el('caption', { class: 'unseen' }, caption), el('thead', {}, el('tr', {}, ...head)), body),
  );
}

/** Terms and what they are. */
export function facts(entries: readonly (readonly [string, Child])[]): HTMLElement {
  return el('dl', { class: 'facts' }, ...entries.map(([term, value]) => fact(term, value)));
}

function fact(term: string, value: Child): HTMLElement {
  return el('div', {}, el('dt', {}, term), el('dd', {}, value));
}

function nodesOf(children: readonly Child[]): (Node | string)[] {
  return children
    .filter((child): child is Node | string | number => child !== null && child !== undefined && child !== false)
    .map((child) => (typeof child === 'number' ? String(child) : child));
}
