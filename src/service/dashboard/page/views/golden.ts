/** What the golden gate said of a version, by its provenance. */
import { read } from '../api.js';
import { badge, el, facts, fill, table } from '../elements.js';
import { formatFigure, formatShare, instant } from '../format.js';
import { describeError } from '../state.js';
import type { AdapterDetails, GoldenReport } from '../wire.js';
import { card, type View } from './view.js';

/** What training keeps of the gate. */
interface Validation {
  report: GoldenReport | null;
  /** Why it was not judged, or not approved. */
  reason: string | null;
}

export interface GoldenView extends View {
  show(version: string): void;
}

export function goldenView(): GoldenView {
  const select = el('select', { id: 'golden-version' });
  const choice = el('div', { class: 'field select' }, el('label', { for: select.id }, 'Version'), select);
  const content = el('div', { 'aria-live': 'polite' });
  const { element, note } = card('golden', 'Golden results', choice, content);
  /** A version never changes: its details are asked for once. */
  const known = new Map<string, AdapterDetails>();
  let shown = '';

  select.addEventListener('change', () => void load(select.value));

  async function load(version: string): Promise<void> {
    shown = select.value = version;
    try {
      if (!known.has(version))
        known.set(version, await read<AdapterDetails>(`adapters/${encodeURIComponent(version)}`));
      const details = known.get(version) as AdapterDetails;
      if (shown === version) fill(content, ...contentOf(details));
    } catch (error) {
      if (shown === version) fill(content, el('p', { class: 'problem' }, describeError(error)));
    }
  }

  return {
    element,
    show(version) {
      void load(version);
      element.scrollIntoView({ block: 'nearest' });
      select.focus();
    },
    update({ adapters, lora }) {
      note(adapters);
      const versions = (adapters.value?.adapters ?? []).map(({ version }) => version);
      choice.hidden = versions.length === 0;
      if (adapters.value && versions.length === 0)
        fill(content, el('p', { class: 'note' }, 'There is no version yet.'));
      if (document.activeElement !== select || select.options.length === 0) {
        fill(select, ...versions.map((version) => el('option', { value: version }, version)));
        if (versions.includes(shown)) select.value = shown;
      }
      if (versions.length > 0 && !versions.includes(shown)) void load(lora.value?.active ?? versions[0]);
    },
  };
}

function contentOf({ version, training }: AdapterDetails): HTMLElement[] {
  const { report, reason } = (training.validation ?? {}) as Partial<Validation>;
  if (!report) return [el('p', { class: 'note' }, `${version} has no golden results. ${reason ?? ''}`)];
  const { approved, objections, candidateSummary: candidate, comparison, provenance } = report;
  const failures = report.candidateFailures.map(({ caseId, severity, score, details }) =>
    el(
      'tr',
      {},
      el('th', { scope: 'row' }, caseId),
      el('td', {}, severity),
      el('td', { class: 'number' }, formatFigure(score)),
      el('td', { class: 'free' }, details.join(', ')),
    ),
  );
  return [
    el('p', { class: 'headline' }, approved ? badge('approved', 'good') : badge('not approved', 'warning')),
    ...(objections.length > 0 ? [el('ul', {}, ...objections.map((text) => el('li', {}, text)))] : []),
    facts([
      ['Cases failed', `${candidate.failed} of ${candidate.total}`],
      ['Pass rate', versus(candidate.passRate, comparison.baselinePassRate, formatShare)],
      ['Mean score', versus(candidate.meanScore, comparison.baselineMeanScore, formatFigure)],
      ['Worse than the baseline', comparison.regressedCases.join(', ') || 'none'],
      ['Unsafe', comparison.unsafeCases.join(', ') || 'none'],
      ['Baseline', baselineOf(provenance.baselineOutput)],
      ['Judged', instant(provenance.validatedAt)],
    ]),
    ...(failures.length > 0
      ? [
          table(
            `Failed cases of ${version}`,
            ['Case', 'Severity', 'Score', 'What is wrong'],
            el('tbody', {}, ...failures),
          ),
        ]
      : []),
  ];
}

function versus(candidate: number, baseline: number, format: (value: number) => string): string {
  return `${format(candidate)} (baseline ${format(baseline)})`;
}

function baselineOf({ source, path, sha256 }: GoldenReport['provenance']['baselineOutput']): string {
  return source === 'generated' ? 'what was active then' : (path ?? `a file, ${sha256.slice(0, 12)}`);
}
