/** Everything that changes something, each behind its dialog. */
import { change } from './api.js';
import { ask, type Field } from './dialog.js';
import { formatSeconds } from './format.js';
import { candidates, type State } from './state.js';
import type { AdapterSummary, Job, LoraResult, LoraStatus } from './wire.js';

export interface Actions {
  train(): void;
  cancel(job: Job): void;
  deploy(adapter: AdapterSummary): void;
  promote(version: string): void;
  release(version: string): void;
  disable(): void;
  enable(): void;
  rollback(): void;
}

const REASON: Field = {
  name: 'reason',
  label: 'Reason',
  kind: 'text',
  required: 'A reason is needed: it is kept in the audit trail.',
  hint: 'Kept in the audit trail.',
};
const BASE_MODEL = 'the base model';

/** What a deployment answers has the state elsewhere than what /lora/… answers. */
type Changed = LoraResult & { lora?: LoraStatus };

/** `changed` is called after each with what to tell the reader. */
export function createActions(state: State, changed: (message: string) => void): Actions {
  const active = () => state.lora.value?.active ?? null;
  const path = (version: string) => `adapters/${encodeURIComponent(version)}`;
  /** What the reader sees to be active when the dialog opens: the service refuses where that has changed since. */
  const expected = () => (state.lora.value ? { expect: active() } : {});

  async function switchTo(path: string, body: object): Promise<void> {
    changed(describeResult(await change<Changed>(path, body)));
  }

  return {
    train() {
      const days: Field = { name: 'days', label: 'Days of feedback', kind: 'number', hint: 'Empty: as configured.' };
      const force: Field = { name: 'force', label: 'Also with fewer rows than the minimum', kind: 'tick' };
      const text = [
        'A new version is trained on the feedback, judged by the golden gate, and published.',
        'It is not served until it is deployed.',
      ];
      void ask({ title: 'Train now', text, fields: [days, force], confirm: 'Train' }, async (values) => {
        const request = {
          trigger_source: 'dashboard',
          force: values.force !== '',
          ...(values.days === '' ? {} : { days: Number(values.days) }),
        };
        const { job_id } = await change<{ job_id: string }>('train', request);
        changed(`Job ${job_id} is queued.`);
      });
    },

    cancel(job) {
      const text = ['The job ends as soon as its worker hears of it. Nothing is published.'];
      const fields: Field[] = [];
      const question = { title: `Cancel job ${job.id}?`, text, fields, confirm: 'Cancel the job', danger: true };
      void ask(question, async () => {
        await change(`jobs/${encodeURIComponent(job.id)}/cancel`, {});
        changed(`Job ${job.id} is being cancelled.`);
      });
    },

    deploy(adapter) {
      const text = [
        `Every replica will serve ${adapter.version} instead of ${active() ?? BASE_MODEL}. It is done when it is served; where a replica refuses it, everything stays as it is.`,
      ];
      const override: Field = {
        name: 'override',
        label: 'Deploy it although it is not approved',
        kind: 'tick',
        required: 'The golden gate has not approved this version: tick this to deploy it all the same.',
        hint: 'The override is audited under your name.',
      };
      const fields = adapter.approved ? [REASON] : [REASON, override];
      const confirm = adapter.approved ? 'Deploy' : 'Deploy unapproved version';
      const question = { title: `Deploy ${adapter.version}?`, text, fields, confirm, danger: !adapter.approved };
      const seen = expected();
      void ask(question, ({ reason, override }) =>
        switchTo(`${path(adapter.version)}/deploy`, { ...seen, reason, ...(override ? { override: true } : {}) }),
      );
    },

    promote(version) {
      const text = [`A rollback without a version of its own will go to ${version}. What is served stays as it is.`];
      const question = {
        title: `Mark ${version} as known good?`,
        text,
        fields: [REASON],
        confirm: 'Mark as known good',
      };
      void ask(question, async ({ reason }) => {
        await change('lora/promote', { adapter_version: version, reason });
        changed(`${version} is known good.`);
      });
    },

    release(version) {
      const text = [`${version} may be deployed again then, as a version that is not approved.`];
      void ask({ title: `Release ${version}?`, text, fields: [REASON], confirm: 'Release' }, async ({ reason }) => {
        await change(`${path(version)}/release`, { reason });
        changed(`${version} is out of quarantine.`);
      });
    },

    disable() {
      const text = [
        active() === null
          ? 'The base model is served, and no adapter can be deployed'
          : `Every replica goes back to the base model at once, ${active()} goes into quarantine, and no adapter can be deployed`,
        'until somebody enables adapters again, also after a restart.',
      ];
      const fields = [REASON];
      const question = {
        title: 'Kill switch',
        text: [text.join(' ')],
        fields,
        confirm: 'Disable adapters',
        danger: true,
      };
      // whatever is active by then
      void ask(question, ({ reason }) => switchTo('lora/disable', { reason }));
    },

    enable() {
      const text = ['The kill switch is lifted, and every replica serves this version.'];
      const fields = [choice('Version', state), REASON];
      const seen = expected();
      void ask({ title: 'Enable adapters', text, fields, confirm: 'Enable' }, ({ version, reason }) =>
        switchTo('lora/enable', { ...seen, adapter_version: version, reason }),
      );
    },

    rollback() {
      const text = [
        `Every replica will serve the chosen version instead of ${active() ?? BASE_MODEL}.`,
        ...(active() === null ? [] : [`${active()} goes into quarantine: it cannot be deployed until it is released.`]),
      ];
      const fields = [choice('Roll back to', state), REASON];
      const question = { title: 'Roll back', text: [text.join(' ')], fields, confirm: 'Roll back', danger: true };
      const seen = expected();
      void ask(question, ({ version, reason }) =>
        switchTo('lora/rollback', { ...seen, adapter_version: version, reason }),
      );
    },
  };
}

/** Known good comes first, then the version before, as in a rollback that names none. */
function choice(label: string, state: State): Field {
  const { known_good = null, previous = null } = state.lora.value ?? {};
  const options = candidates(state).map(
    ({ version, aliases }) => [version, [version, ...aliases].join(' · ')] as const,
  );
  const usual = [known_good, previous].find((wanted) => options.some(([version]) => version === wanted));
  const required = 'There is no approved version to choose.';
  return { name: 'version', label, kind: 'select', options, value: usual ?? options[0]?.[0], required };
}

function describeResult({ to_version, duration_ms, within_target, target_ms, ...rest }: Changed): string {
  const { serving } = rest.lora ?? rest.status;
  const late = within_target ? '' : ` (the target is ${formatSeconds(target_ms / 1000)})`;
  const behind = serving.filter(({ settled }) => !settled).length;
  const replicas = behind === 0 ? '' : ` ${behind} of ${serving.length} replicas are not there yet.`;
  return `${to_version ?? 'The base model'} is served, after ${formatSeconds(duration_ms / 1000)}${late}.${replicas}`;
}
