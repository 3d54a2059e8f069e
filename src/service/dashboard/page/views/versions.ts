/** Versions with their aliases; each can be deployed and looked at. */
import type { Actions } from '../actions.js';
import { badge, button, el, fill, keyedList, permit, type Row, table } from '../elements.js';
import { formatBytes, instant } from '../format.js';
import { refusal, type State } from '../state.js';
import type { AdapterSummary } from '../wire.js';
import { card, type View } from './view.js';

const COLUMNS = ['Version', 'Gate', 'Made|wide', 'Size|wide', 'Actions'];

/** `show` is called with the version whose golden results are wanted. */
export function versionsView(actions: Actions, show: (version: string) => void): View {
  const body = el('tbody', {});
  const none = el('p', { class: 'note' }, 'There is no version yet. Train one.');
  const versions = table('All versions', COLUMNS, body);
  const { element, note } = card('versions', 'Versions', none, versions);
  let state: State | undefined;
  const list = keyedList<AdapterSummary>(
    body,
    ({ version }) => version,
    ({ version }) => versionRow(version),
  );

  function versionRow(version: string): Row<AdapterSummary> {
    let adapter: AdapterSummary | undefined;
    const cells = COLUMNS.slice(1, -1).map((name) => el('td', { class: name.split('|')[1] }));
    const deploy = button('Deploy…', () => adapter && actions.deploy(adapter), { 'aria-label': `Deploy ${version}` });
    const release = button('Release…', () => actions.release(version), { 'aria-label': `Release ${version}` });
    const results = button('Results', () => show(version), { 'aria-label': `Golden results of ${version}` });
    const aliases = el('span', { class: 'badges' });
    const author = el('span', { class: 'note' });
    const name = el('th', { scope: 'row' }, el('span', {}, version), aliases, author);
    return {
      element: el('tr', {}, name, ...cells, el('td', { class: 'buttons' }, deploy, release, results)),
      update(item) {
        adapter = item;
        const [gate, made, size] = cells;
        fill(author, item.author && `by ${item.author}`);
        fill(aliases, ...item.aliases.map((alias) => badge(alias, alias === 'active' ? 'good' : 'plain')));
        const approval = item.approved ? badge('approved', 'good') : badge('not approved', 'warning');
        fill(gate, approval, item.quarantined && badge('quarantined', 'bad'));
        fill(made, instant(item.created_at));
        fill(size, formatBytes(item.size_bytes));
        permit(deploy, state && deployRefusal(state, item));
        release.hidden = !item.quarantined;
        permit(release, state && refusal(state));
      },
    };
  }

  return {
    element,
    update(now) {
      state = now;
      note(now.adapters);
      const adapters = now.adapters.value?.adapters ?? [];
      none.hidden = now.adapters.value === undefined || adapters.length > 0;
      versions.hidden = adapters.length === 0;
      list(adapters);
    },
  };
}

function deployRefusal(state: State, { version, quarantined }: AdapterSummary): string | undefined {
  const refused = refusal(state);
  if (refused) return refused;
  if (quarantined) return 'It is in quarantine.';
  if (state.lora.value?.active === version) return 'This version is active.';
  if (state.lora.value?.enabled === false) return 'Adapters are disabled: enable them first.';
  return undefined;
}
