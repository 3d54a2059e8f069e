/** Wire forms of what is answered. */
import { z } from 'zod';
import type {
  AdapterDetails,
  AdapterSummary,
  ComponentHealth,
  GenerateAnswer,
  Health,
  LoraChange,
  LoraResult,
  LoraStatus,
  Overview,
  ServingReport,
} from '../engine/operations.js';
import type { AppendedFeedback, FeedbackCounts } from '../feedback/feedback-store.js';
import { about, count, instant, named } from './forms.js';
import type { WireShape } from './wire-shape.js';

const names = z.array(z.string());
const version = z.string().nullable();
const model = { name: z.string(), sha256: z.string() };

const counts = z.record(z.string(), count);
export const feedbackCounts = named(
  'FeedbackCounts',
  z.object({
    total: count,
    by_type: counts,
    by_intent: counts,
    by_project: counts,
  } satisfies WireShape<FeedbackCounts>),
);

const component = z.object({
  status: z.enum(['ok', 'degraded', 'down', 'off']),
  detail: z.string(),
  ms: z.number(),
} satisfies WireShape<ComponentHealth>);

export const healthAnswer = named(
  'Health',
  z.object({
    status: z.enum(['healthy', 'degraded', 'unhealthy']),
    version: z.string(),
    uptime_seconds: z.number(),
    components: z.record(z.string(), component),
  } satisfies WireShape<Health>),
);

export const session = z.object({
  name: about('Of the token; goes into audit trails.', z.string()),
  scope: z.enum(['read', 'operate']),
  tokens: about('false: the service knows no tokens, and everybody who reaches it may do everything.', z.boolean()),
});

export const live = z.object({ status: z.literal('live') });
export const ready = z.object({ status: z.enum(['ready', 'not_ready']) });

export const overview = named(
  'Overview',
  z.object({
    model: z
      .object({ ...model, parameters: count, backend: z.string(), device: z.string(), reason: z.string() })
      .nullable(),
    memory: z.object({ rss_bytes: count, heap_used_bytes: count }),
    feedback: feedbackCounts,
  } satisfies WireShape<Overview>),
);

const summary = {
  version: z.string(),
  created_at: z.string(),
  approved: z.boolean(),
  quarantined: z.boolean(),
  aliases: names,
  author: z.string().nullable(),
  size_bytes: count,
  metrics: z.record(z.string(), z.number()),
} satisfies WireShape<AdapterSummary>;

export const adapterList = z.object({
  adapters: z.array(named('AdapterSummary', z.object(summary))),
  total: count,
});

export const adapterDetails = named(
  'AdapterDetails',
  z.object({
    ...summary,
    parents: z.array(z.object({ adapter: z.string(), version: z.string() })),
    base_model: z.object(model).nullable(),
    files: z.array(z.object({ name: z.string(), size_bytes: count, sha256: z.string() })),
    training: about(
      'Data, model, settings, environment, and the report of the gate.',
      z.record(z.string(), z.unknown()),
    ),
    library_version: z.string(),
  } satisfies WireShape<AdapterDetails>),
);

const servingReport = z.object({
  target: z.string(),
  version,
  settled: z.boolean(),
  error: z.string().optional(),
} satisfies WireShape<ServingReport>);

const change = z.object({
  at: instant,
  operation: z.string(),
  version,
  from_version: version,
  actor: z.string().nullable(),
  reason: z.string().nullable(),
  override: z.boolean(),
} satisfies WireShape<LoraChange>);

export const loraStatus = named(
  'LoraStatus',
  z.object({
    enabled: z.boolean(),
    active: version,
    previous: version,
    known_good: version,
    quarantined: names,
    sequence: count,
    version_count: count,
    serving: z.array(servingReport),
    history: z.array(change),
  } satisfies WireShape<LoraStatus>),
);

const loraResultShape = {
  status: loraStatus,
  from_version: version,
  to_version: version,
  duration_ms: z.number(),
  target_ms: z.number(),
  within_target: z.boolean(),
} satisfies WireShape<LoraResult>;

export const loraResult = named('LoraResult', z.object(loraResultShape));

export const deployed = named(
  'Deployed',
  z.object({
    ...loraResultShape,
    status: z.literal('deployed'),
    message: z.string(),
    version: z.string(),
    lora: loraStatus,
  }),
);

export const appendedFeedback = named(
  'AppendedFeedback',
  z.object({
    ids: about('Of each row given.', names),
    added: about('How many were not there before.', count),
  } satisfies WireShape<AppendedFeedback>),
);

export const generateAnswer = named(
  'GenerateAnswer',
  z.object({
    text: z.string(),
    version: about('That answered; null: the base model.', version),
    finish_reason: z.enum(['stop', 'length']),
    prompt_tokens: count,
    completion_tokens: count,
  } satisfies WireShape<GenerateAnswer>),
);
