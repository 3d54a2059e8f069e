/** The dialog before everything that changes something: it says what will happen, and asks for what is needed. */
import { button, el } from './elements.js';
import { describeError } from './state.js';

export interface Field {
  name: string;
  label: string;
  kind: 'text' | 'password' | 'number' | 'tick' | 'select';
  required?: string;
  hint?: string;
  value?: string;
  /** Of a select: value and label. */
  options?: readonly (readonly [string, string])[];
}

/** Texts of fields by name; a tick is 'true' or ''. */
export type Values = Readonly<Record<string, string>>;

export interface Question {
  title: string;
  /** What will happen, a paragraph each. */
  text: readonly string[];
  fields: readonly Field[];
  confirm: string;
  danger?: boolean;
}

type Control = HTMLInputElement | HTMLSelectElement;

/**
 * Resolves when it is closed: true after `act` has succeeded. Where `act` rejects, the dialog stays and says why. Escape
 * cancels, unless `act` is under way.
 */
export function ask(question: Question, act: (values: Values) => Promise<void>): Promise<boolean> {
  const controls = question.fields.map((field) => [field, control(field)] as const);
  const problem = el('p', { class: 'problem', role: 'alert' });
  const cancel = button('Cancel', () => dialog.close());
  const confirm = el('button', { type: 'submit', class: question.danger ? 'danger' : 'main' }, question.confirm);
  const form = el(
    'form',
    { novalidate: true },
    el('h2', { id: 'dialog-title' }, question.title),
    el('div', { id: 'dialog-text' }, ...question.text.map((text) => el('p', {}, text))),
    ...controls.map(([field, input]) => labelled(field, input)),
    problem,
    el('div', { class: 'buttons' }, cancel, confirm),
  );
  const dialog = el('dialog', { 'aria-labelledby': 'dialog-title', 'aria-describedby': 'dialog-text' }, form);
  let busy = false;
  let done = false;

  async function submit(): Promise<void> {
    if (busy || !controls.map(([field, input]) => check(field, input)).every(Boolean)) {
      controls.find(([, input]) => input.getAttribute('aria-invalid') === 'true')?.[1].focus();
      return;
    }
    busy = true;
    problem.textContent = '';
    for (const one of [cancel, confirm]) one.setAttribute('aria-disabled', 'true');
    form.setAttribute('aria-busy', 'true');
    try {
      await act(Object.fromEntries(controls.map(([{ name }, input]) => [name, textOf(input)])));
      done = true;
      dialog.close();
    } catch (error) {
      problem.textContent = describeError(error);
    } finally {
      busy = false;
      for (const one of [cancel, confirm]) one.removeAttribute('aria-disabled');
      form.removeAttribute('aria-busy');
    }
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void submit();
  });
  dialog.addEventListener('cancel', (event) => {
    if (busy) event.preventDefault();
  });
  dialog.addEventListener('keydown', (event) => keepFocus(event, dialog));
  document.body.append(dialog);
  dialog.showModal();
  (controls[0]?.[1] ?? cancel).focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(done);
    });
  });
}

function control(field: Field): Control {
  const id = `field-${field.name}`;
  const described = { id, name: field.name, 'aria-describedby': `${id}-hint ${id}-problem` };
  if (field.kind === 'select') {
    const options = (field.options ?? []).map(([value, label]) => el('option', { value }, label));
    const select = el('select', described, ...options);
    if (field.value !== undefined) select.value = field.value;
    return select;
  }
  const type = { text: 'text', password: 'password', number: 'number', tick: 'checkbox' }[field.kind];
  const input = el('input', { ...described, type, autocomplete: 'off', 'aria-required': field.required !== undefined });
  if (field.value !== undefined) input.value = field.value;
  return input;
}

function labelled(field: Field, input: Control): HTMLElement {
  const label = el('label', { for: input.id }, field.label);
  return el(
    'div',
    { class: `field ${field.kind}` },
    ...(field.kind === 'tick' ? [input, label] : [label, input]),
    el('p', { id: `${input.id}-hint`, class: 'note' }, field.hint),
    el('p', { id: `${input.id}-problem`, class: 'problem' }),
  );
}

/** A tick is a string too, so that a form has one kind of values. */
function textOf(input: Control): string {
  return input instanceof HTMLInputElement && input.type === 'checkbox'
    ? String(input.checked || '')
    : input.value.trim();
}

function check(field: Field, input: Control): boolean {
  const missing = field.required !== undefined && textOf(input) === '';
  input.setAttribute('aria-invalid', String(missing));
  const problem = document.getElementById(`${input.id}-problem`);
  if (problem) problem.textContent = missing ? (field.required as string) : '';
  return !missing;
}

/** From the last element to the first and back: Tab never leaves the dialog. */
function keepFocus(event: KeyboardEvent, dialog: HTMLElement): void {
  if (event.key !== 'Tab') return;
  const elements = [...dialog.querySelectorAll<HTMLElement>('input, select, button')];
  const [from, to] = event.shiftKey ? [elements[0], elements.at(-1)] : [elements.at(-1), elements[0]];
  if (document.activeElement !== from) return;
  event.preventDefault();
  to?.focus();
}
