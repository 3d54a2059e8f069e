/** The model, what it runs on, and the health of everything. */
import { badge, el, facts, fill, type Tone, table } from '../elements.js';
import { formatBytes, formatCount, formatSeconds } from '../format.js';
import type { Health, Overview } from '../wire.js';
import { card, type View } from './view.js';

type ComponentStatus = Health['components'][string]['status'];

const TONES: Record<ComponentStatus | Health['status'], Tone> = {
  ok: 'good',
  healthy: 'good',
  degraded: 'warning',
  down: 'bad',
  unhealthy: 'bad',
  off: 'plain',
};

export function healthBadge({ status }: Health): HTMLElement {
  return badge(status, TONES[status]);
}

export function systemView(): View {
  const model = el('div', {});
  const body = el('tbody', {});
  const components = table('Components', ['Component', 'State', 'Detail'], body);
  const { element, note } = card('system', 'System', model, components);
  return {
    element,
    update({ overview, health }) {
      note(overview.failure || !health.failure ? overview : health);
      model.hidden = overview.value === undefined;
      components.hidden = health.value === undefined;
      if (overview.value) fill(model, facts(factsOf(overview.value, health.value)));
      fill(body, ...Object.entries(health.value?.components ?? {}).map(componentRow));
    },
  };
}

function factsOf({ model, memory }: Overview, health: Health | undefined): [string, string][] {
  return [
    ['Model', model ? `${model.name}, ${formatCount(model.parameters)} parameters` : 'not loaded'],
    ...(model ? ([['Backend', describeBackend(model)]] as [string, string][]) : []),
    ['Memory', `${formatBytes(memory.rss_bytes)}, JavaScript ${formatBytes(memory.heap_used_bytes)}`],
    ...(health
      ? ([['Up', `${formatSeconds(health.uptime_seconds)}, lorakeet ${health.version}`]] as [string, string][])
      : []),
  ];
}

function describeBackend({ backend, device, reason }: NonNullable<Overview['model']>): string {
  return `${backend}${device === backend ? '' : ` (${device})`}: ${reason}`;
}

function componentRow([name, { status, detail, ms }]: [string, Health['components'][string]]): HTMLElement {
  return el(
    'tr',
    {},
    el('th', { scope: 'row' }, name),
    el('td', {}, badge(status, TONES[status])),
    el(
      'td',
      { class: 'free' },
      detail,
      status !== 'off' && el('span', { class: 'note' }, ` ${formatSeconds(ms / 1000)}`),
    ),
  );
}
