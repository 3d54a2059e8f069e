/** A prompt, and what is served answers it, word by word. */
import { stream } from '../api.js';
import { button, el, fill, permit } from '../elements.js';
import { describeError, refusal } from '../state.js';
import type { GenerateAnswer } from '../wire.js';
import { card, type View } from './view.js';

type Event = { text: string } | GenerateAnswer | { error: { code: string; message: string } };

export function tryItView(): View {
  const prompt = el('textarea', { id: 'prompt', rows: 3, required: true });
  const length = el('input', { id: 'max-new-tokens', type: 'number', min: 1, max: 1000, value: 60 });
  const warmth = el('input', { id: 'temperature', type: 'number', min: 0, max: 2, step: 0.1, value: 0 });
  const generate = button('Generate', () => void run(), { class: 'main' });
  const stop = button('Stop', () => running?.abort());
  const output = el('output', { for: 'prompt', class: 'answer', 'aria-live': 'polite', hidden: true });
  const told = el('p', { class: 'note', role: 'status' });
  const field = (label: string, input: HTMLElement) =>
    el('div', { class: 'field' }, el('label', { for: input.id }, label), input);
  const { element } = card(
    'try-it',
    'Try it',
    field('Prompt', prompt),
    el('div', { class: 'pair' }, field('New tokens at most', length), field('Temperature', warmth)),
    el('div', { class: 'buttons' }, generate, stop),
    output,
    told,
  );
  let running: AbortController | undefined;
  stop.hidden = true;

  async function run(): Promise<void> {
    if (prompt.value === '' || running) {
      if (!running) fill(told, 'Write a prompt first.');
      prompt.focus();
      return;
    }
    running = new AbortController();
    stop.hidden = output.hidden = false;
    output.textContent = '';
    // it is read out when it is complete, not piece by piece
    output.setAttribute('aria-busy', 'true');
    fill(told, 'Generating…');
    try {
      const body = {
        prompt: prompt.value,
        max_new_tokens: length.valueAsNumber || undefined,
        temperature: warmth.valueAsNumber,
        stream: true,
      };
      for await (const event of stream<Event>('generate', body, running.signal)) {
        if ('error' in event) throw new Error(`${event.error.message} (${event.error.code})`);
        if ('finish_reason' in event) finish(event);
        else output.append(event.text);
      }
    } catch (error) {
      fill(told, (error as Error).name === 'AbortError' ? 'Stopped.' : describeError(error));
    } finally {
      running = undefined;
      stop.hidden = true;
      output.removeAttribute('aria-busy');
    }
  }

  function finish(answer: GenerateAnswer): void {
    output.textContent = answer.text;
    const ending = answer.finish_reason === 'length' ? ', cut at the limit' : '';
    const who = answer.version ?? 'the base model';
    fill(told, `By ${who}: ${answer.completion_tokens} tokens after ${answer.prompt_tokens}${ending}.`);
  }

  return { element, update: (state) => permit(generate, refusal(state)) };
}
