/** A service without anything behind it: answers with what is plausible, and remembers what it was asked. */
import { LorakeetError } from '../../../src/errors.js';
import type {
  AdapterDetails,
  LearningService,
  LoraResult,
  LoraStatus,
} from '../../../src/service/engine/operations.js';
import type { GoldenReport } from '../../../src/service/golden/gate.js';
import type { Job, Json } from '../../../src/service/jobs/job.js';

export interface StubService extends LearningService {
  /** Names of methods with what they were given, requestFinished() left out. */
  calls: { method: string; given: unknown[] }[];
  requests: Parameters<LearningService['requestFinished']>[0][];
}

const AT = new Date('2026-01-05T02:00:00Z');

export const jobOf = (id: string, payload: Json = null): Job => ({
  ...{ id, queue: 'train:default', state: 'running', payload, idempotencyKey: undefined, priority: 0 },
  ...{ maxAttempts: 3, backOffMs: 10_000, failures: 0, claims: 1, worker: 'one' },
  progress: {
    ...{ phase: 'train', done: 3, total: 9, loss: 2.5, ewcLoss: 0.1, gradNorm: 1, tokensPerSecond: 1e4 },
    curve: { step: [1, 2], loss: [3, 2.5], ewcLoss: [0, 0.1] },
  },
  ...{ checkpoint: undefined, result: undefined, error: undefined, cancelRequested: false },
  ...{ createdAt: AT, runAt: AT, startedAt: AT, finishedAt: undefined, leaseEndsAt: AT },
});

export const goldenReport: GoldenReport = {
  ...{ approved: false, objections: ['the pass rate is 0.5, at least 0.85 is needed'] },
  thresholds: {
    ...{ maxRegressions: 1, maxMeanScoreDrop: 0.15, maxRelativeScoreDrop: 0.05, minPassRate: 0.85, maxUnsafeCases: 0 },
  },
  comparison: {
    ...{ regressedCases: ['a'], baselinePassRate: 1, candidatePassRate: 0.5, baselineMeanScore: 1 },
    ...{ candidateMeanScore: 0.5, meanScoreDrop: 0.5, relativeScoreDrop: 0.5, unsafeCases: [] },
  },
  baselineSummary: { total: 2, passed: 2, failed: 0, passRate: 1, meanScore: 1 },
  candidateSummary: { total: 2, passed: 1, failed: 1, passRate: 0.5, meanScore: 0.5 },
  candidateFailures: [
    {
      ...{ caseId: 'a', category: 'general', severity: 'medium', passed: false, score: 0, safety: 'safe' },
      details: ['missing:x'],
    },
  ],
  provenance: {
    ...{ validator: 'lorakeet 0.1.0', validatedAt: AT.toISOString(), suite: { path: 'suite.ndjson', sha256: 'ab' } },
    baselineOutput: { source: 'generated', path: null, sha256: 'cd' },
    candidateOutput: { source: 'file', path: 'answers.json', sha256: 'ef' },
  },
};

const status: LoraStatus = {
  ...{
    enabled: true,
    active: 'v1.1',
    previous: 'v1.0',
    knownGood: null,
    quarantined: ['v0.9'],
    sequence: 4,
    versionCount: 3,
  },
  serving: [{ target: 'in-process', version: 'v1.1', settled: true }],
  history: [
    {
      ...{ at: AT.toISOString(), operation: 'activate', version: 'v1.1', fromVersion: 'v1.0', actor: 'ops' },
      ...{ reason: null, override: false },
    },
  ],
};
const changed: LoraResult = {
  ...{ status, fromVersion: 'v1.0', toVersion: 'v1.1', durationMs: 12.5, targetMs: 120_000, withinTarget: true },
};
const details: AdapterDetails = {
  ...{ version: 'v1.1', createdAt: AT.toISOString(), approved: true, quarantined: false, aliases: ['active'] },
  ...{ author: null, sizeBytes: 100, metrics: { finalLoss: 1.5 }, parents: [{ adapter: 'default', version: 'v1.0' }] },
  baseModel: { name: 'tiny', sha256: 'ab' },
  files: [{ name: 'adapter.bin', sizeBytes: 100, sha256: 'cd' }],
  training: { datasetId: 'feedback_7d', keptAsItIs: { innerName: 1 } },
  libraryVersion: '0.1.0',
};

export function stubService(overrides: Partial<LearningService> = {}): StubService {
  const calls: StubService['calls'] = [];
  const requests: StubService['requests'] = [];
  const missing = (id: string) => new LorakeetError('ERR_JOB_NOT_FOUND', `id: got "${id}", expected a job`);
  const versionOf = (version: string) => {
    if (version === 'v404') throw new LorakeetError('ERR_VERSION_NOT_FOUND', 'version: got "v404", expected a version');
    if (version === 'v409') throw new LorakeetError('ERR_VERSION_UNAPPROVED', 'v409 is not approved');
  };
  const startOf = (kind: string) => async (request: object, caller: object) =>
    jobOf('job-1', { kind, request, caller } as unknown as Json);
  const change = async ({ adapterVersion = 'v1.1', expect }: { adapterVersion?: string; expect?: string | null }) => {
    versionOf(adapterVersion);
    if (expect === 'v0.1') throw new LorakeetError('ERR_VERSION_CONFLICT', 'expect: got "v0.1", active is v1.1');
    return changed;
  };
  const methods: LearningService = {
    health: async () => ({
      ...{ status: 'healthy', version: '0.1.0', uptimeSeconds: 5 },
      components: { storage: { status: 'ok', detail: 'folder', ms: 1.5 } },
    }),
    overview: async () => ({
      ...{ model: null, memory: { rssBytes: 5, heapUsedBytes: 4 } },
      feedback: { total: 1, byType: { thumbs_up: 1 }, byIntent: { someIntent: 1 }, byProject: { aProject: 1 } },
    }),
    train: startOf('train'),
    trainFile: startOf('train-jsonl'),
    calculateFisher: async (request, caller) => {
      versionOf(request.adapterVersion ?? 'v1.1');
      return startOf('fisher')(request, caller);
    },
    validate: async ({ adapterVersion = 'v1.1' }) => {
      versionOf(adapterVersion);
      return goldenReport;
    },
    trainingStatus: async () => ({
      ...{
        isTraining: true,
        currentJob: jobOf('job-1'),
        lastJob: undefined,
        lastRun: { jobId: 'job-0', status: 'skipped', finishedAt: AT.toISOString(), golden: goldenReport },
      },
      queue: { queued: 1, running: 1, completed: 2, failed: 0, cancelled: 0 },
      schedules: [
        {
          ...{
            name: 'weekly',
            cron: '0 2 * * 1',
            timeZone: 'UTC',
            nextRunAt: AT,
            lastTickAt: AT,
            lastJobId: undefined,
          },
        },
      ],
    }),
    jobs: async () => ({ jobs: [jobOf('job-1', { kind: 'train', request: { ewcLambda: 0 } })], next: 7 }),
    job: async (id) => {
      if (id !== 'job-1') throw missing(id);
      return jobOf(id);
    },
    cancelJob: async (id) => {
      if (id === 'job-2') throw new LorakeetError('ERR_INVALID_STATE', 'job job-2 is completed');
      if (id !== 'job-1') throw missing(id);
      return jobOf(id);
    },
    adapters: async () => {
      const { parents, baseModel, files, training, libraryVersion, ...summary } = details;
      return [summary];
    },
    adapter: async (version) => {
      versionOf(version);
      return details;
    },
    loraStatus: async () => status,
    activate: change,
    enable: change,
    disable: change,
    rollback: change,
    promote: async (request) => (await change(request)).status,
    quarantine: async (request) => (await change(request)).status,
    release: async (request) => (await change(request)).status,
    appendFeedback: async (rows) => ({ ids: rows.map(({ id }, i) => id ?? `row-${i}`), added: rows.length }),
    countFeedback: async () => ({ total: 1, byType: { thumbs_up: 1 }, byIntent: {}, byProject: {} }),
    feedback: async () => ({
      rows: [
        {
          ...{ id: 'row-0', createdAt: AT, type: 'thumbs_up', request: { keptAsItIs: 1 }, response: { also_this: 2 } },
          ...{ intent: 'unknown', project: 'unknown' },
        },
      ],
      next: 'more',
    }),
    generate: async (_request, { onText } = {}) => {
      for (const text of ['Hel', 'lo']) onText?.(text);
      return { text: 'Hello', version: 'v1.1', finishReason: 'stop', promptTokens: 3, completionTokens: 2 };
    },
    metrics: async () => '# HELP one A metric.\n# TYPE one gauge\none 1\n',
    requestFinished: (request) => requests.push(request),
    close: async () => {},
  };
  const remembered = Object.entries({ ...methods, ...overrides }).map(([method, run]) => [
    method,
    (...given: unknown[]) => {
      if (method !== 'requestFinished') calls.push({ method, given });
      return (run as (...given: unknown[]) => unknown)(...given);
    },
  ]);
  return { ...Object.fromEntries(remembered), calls, requests };
}
