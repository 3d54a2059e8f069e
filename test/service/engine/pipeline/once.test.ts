/** A job makes one version, whatever fails on its way, whoever goes on with it, and however often. */
import { describe, expect, it } from 'vitest';
import { LorakeetError } from '../../../../src/errors.js';
import type { TrainingResult } from '../../../../src/service/engine/operations.js';
import type { TrainingCheckpoint } from '../../../../src/service/engine/pipeline/checkpoints.js';
import { createJobHandler } from '../../../../src/service/engine/pipeline/handler.js';
import { createTrainingRequests } from '../../../../src/service/engine/pipeline/requests.js';
import type { Job, Json } from '../../../../src/service/jobs/job.js';
import { JobWorker } from '../../../../src/service/jobs/worker.js';
import { MemoryVersionStore } from '../../../../src/stores/memory.js';
import { AdapterVersions } from '../../../../src/versions/adapter-versions.js';
import { checkStore } from '../../../../src/versions/index.js';
import type { VersionStore } from '../../../../src/versions/version-store.js';
import {
  caller,
  claimed,
  DAY_MS,
  feedback,
  isSlow,
  liked,
  openContext,
  openParts,
  skipped,
  type TestContext,
  type TestParts,
} from './fixtures.js';

const everyStep = { checkpointEveryMs: 0, progressMs: 0 };
const payload = { kind: 'train', request: {}, caller };
const small = {
  'lora.rank': 1,
  'lora.targetModules': ['q_proj'],
  'golden.required': false,
  'training.deploy': 'approved',
  'training.epochs': 1,
};

async function openDeploying(overrides: Record<string, unknown> = {}, versionStore?: VersionStore) {
  const parts = await openParts({ ...small, ...overrides }, versionStore && { versionStore });
  return {
    ...parts,
    lora: {
      ...parts.lora,
      activate: async (request: { adapterVersion: string; expect?: string | null; reason?: string }) => {
        const { adapterVersion, expect: before, reason } = request;
        await parts.versions.activate(adapterVersion, { expect: before, reason });
        return {} as never;
      },
    },
  };
}

/** A store that fails at its n-th call, before it has done anything, or after: then only the answer is lost. */
function failing(
  store: VersionStore,
  failAt: number,
  when: 'before' | 'after',
): { store: VersionStore; calls: string[] } {
  const calls: string[] = [];
  const wrapped = new Proxy(store, {
    get(target, name) {
      const method = Reflect.get(target, name, target);
      if (typeof method !== 'function') return method;
      return async (...given: unknown[]) => {
        calls.push(String(name));
        const dies = calls.length >= failAt; // and is dead from then on
        const death = new LorakeetError('ERR_STORE_UNAVAILABLE', `dies ${when} call ${failAt}`);
        if (dies && (when === 'before' || calls.length > failAt)) throw death;
        const result = await method.apply(target, given);
        if (dies) throw death;
        return result;
      };
    },
  });
  return { store: wrapped, calls };
}

const last = ({ checkpoints }: TestContext) => checkpoints.at(-1);
const blobsOf = async (store: VersionStore) => {
  const found: string[] = [];
  for await (const { sha256 } of store.listBlobs()) found.push(sha256);
  return found;
};

describe.skipIf(isSlow)(`a job of training${skipped}`, () => {
  it('makes one version, approved and activated once, wherever the attempt before it has died', async () => {
    const rows = [...liked(2), ...liked(1, 40, { daysAgo: 12 })];
    const whole = failing(new MemoryVersionStore(), Number.POSITIVE_INFINITY, 'before');
    const parts = await openDeploying({ 'training.minimumSamples': 1 }, whole.store);
    await parts.feedback.append(rows);
    await createJobHandler(parts, everyStep)(claimed(payload), openContext());
    expect(whole.calls.filter((name) => name === 'setHead')).toHaveLength(3);
    const expected = (await parts.versions.load('v1.0')).files.get('adapter.bin');
    expect(whole.calls.length).toBeGreaterThan(20);

    for (let failAt = 1; failAt <= whole.calls.length; failAt++) {
      const changes = ['putBlob', 'setHead', 'deleteBlob'].includes(whole.calls[failAt - 1]);
      for (const when of changes ? (['before', 'after'] as const) : (['before'] as const)) {
        const memory = new MemoryVersionStore();
        const { store } = failing(memory, failAt, when);
        const dying = { ...parts, versionStore: store, versions: new AdapterVersions(store, 'default') };
        const activate = async ({
          adapterVersion,
          expect: before,
          reason,
        }: Parameters<typeof parts.lora.activate>[0]) => {
          await dying.versions.activate(adapterVersion, { expect: before, reason });
          return {} as never;
        };
        const job = claimed(payload);
        const context = openContext();
        const attempt = createJobHandler({ ...dying, lora: { ...parts.lora, activate } }, everyStep)(job, context);
        const died = await attempt.then(
          () => false,
          () => true,
        );
        const versions = new AdapterVersions(memory, 'default');
        const living = {
          ...parts,
          versionStore: memory,
          versions,
          lora: {
            ...parts.lora,
            activate: async ({ adapterVersion, expect: before, reason }: Parameters<typeof parts.lora.activate>[0]) => {
              await versions.activate(adapterVersion, { expect: before, reason });
              return {} as never;
            },
          },
        };
        // the queue may have heard of the checkpoint, or not
        const checkpoint = failAt % 2 === 0 ? last(context) : undefined;
        if (died) await createJobHandler(living, everyStep)({ ...job, checkpoint } as Job, openContext());
        const where = `call ${failAt} (${whole.calls[failAt - 1]}), ${when}`;
        const state = await versions.state();
        expect(state.versions, where).toMatchObject([{ version: 'v1.0', approved: true }]);
        const operations = (await versions.history()).map(({ operation }) => operation);
        expect(operations, where).toEqual(['activate', 'approve', 'publish']);
        expect((await versions.load('active')).files.get('adapter.bin'), where).toEqual(expected);
        expect((await checkStore(memory)).problems, where).toEqual([]);
      }
    }
  });

  it('goes on from its checkpoint to the very same version, on another machine and days later', async () => {
    const rows = [...liked(12), ...liked(6, 40, { daysAgo: 12 })];
    const settings = {
      'training.deploy': 'never',
      'training.epochs': 3,
      'training.replayShare': 0.5,
      'lora.dropout': 0.1,
      'lora.rank': 4,
    };
    const undisturbed = await openDeploying(settings);
    await undisturbed.feedback.append(rows);
    const wanted = (await createJobHandler(undisturbed)(claimed(payload), openContext())) as unknown as TrainingResult;
    const expected = await undisturbed.versions.load('v1.0');
    expect(wanted.steps).toBeGreaterThan(10);

    const store = new MemoryVersionStore();
    let job = claimed(payload);
    const stops = [0, 2, 3, 9];
    for (const stopAt of stops) {
      const parts = await openDeploying(settings, store);
      parts.clock.jump((stops.indexOf(stopAt) + 1) * 3 * DAY_MS);
      if (stopAt === 0) parts.clock.jump(-3 * DAY_MS);
      await parts.feedback.append([...rows, feedback('something quite new', 'of these days', { daysAgo: -1 })]);
      const context = openContext();
      const stop = () => context.controller.abort(new LorakeetError('ERR_CLOSED', 'the worker stops'));
      const progress = (value: unknown) => {
        const { phase, done } = value as { phase: string; done: number };
        if (phase === 'train' && done >= stopAt) stop();
        if (stopAt === 0 && phase === 'fisher' && done === 6) stop();
      };
      const attempt = createJobHandler(parts, { checkpointEveryMs: 1e9, progressMs: 0 })(job, { ...context, progress });
      await expect(attempt).rejects.toThrow();
      expect(parts.lines.at(-1)).toMatch(/^learning_engine\.training\.interrupted/);
      const { training } = last(context) as unknown as TrainingCheckpoint;
      if (stopAt > 0) expect(training?.step).toBeGreaterThanOrEqual(stopAt);
      job = { ...job, checkpoint: last(context), claims: job.claims + 1 };
    }
    const parts = await openDeploying(settings, store);
    parts.clock.jump(15 * DAY_MS);
    await parts.feedback.append(rows);
    const result = (await createJobHandler(parts)(job, openContext())) as unknown as TrainingResult;
    const got = await parts.versions.load('v1.0');
    expect(got.files.get('adapter.bin')).toEqual(expected.files.get('adapter.bin'));
    const { initialLoss, finalLoss, ewcLoss, steps, importance, datasetSize } = wanted;
    expect(result).toMatchObject({ initialLoss, finalLoss, ewcLoss, steps, importance, datasetSize });
    expect((got.manifest.training.dataSource as { sha256: string }).sha256).toBe(
      (expected.manifest.training.dataSource as { sha256: string }).sha256,
    );
    // three files, the manifest, two changes: of the checkpoints nothing is left
    expect(await blobsOf(store)).toHaveLength(6);
  });

  it('begins anew where its checkpoint is lost or of other examples', async () => {
    const parts = await openDeploying({ 'training.epochs': 3 });
    await parts.feedback.append([...liked(8), ...liked(4, 40, { daysAgo: 12 })]);
    for (const harm of ['lost', 'other examples']) {
      const context = openContext();
      const job = claimed(payload);
      const progress = (value: unknown) => {
        const { phase, done } = value as { phase: string; done: number };
        if (phase === 'train' && done >= 3) context.controller.abort(new LorakeetError('ERR_CLOSED', 'stops'));
      };
      await expect(createJobHandler(parts, everyStep)(job, { ...context, progress })).rejects.toThrow();
      const checkpoint = last(context) as unknown as TrainingCheckpoint;
      if (harm === 'lost')
        await parts.versionStore.deleteBlob(checkpoint.training?.blob as string, new Date(Date.UTC(9999, 0)));
      else await parts.feedback.append([feedback('something late', 'that somebody has imported', { daysAgo: 2 })]);
      const before = (await parts.versions.state()).versions.length;
      const again = { ...job, checkpoint: last(context) };
      const result = (await createJobHandler(parts, everyStep)(again, openContext())) as unknown as TrainingResult;
      expect(result).toMatchObject({ status: 'success', datasetSize: harm === 'lost' ? 8 : 9 });
      expect((await parts.versions.state()).versions).toHaveLength(before + 1);
    }
    expect(parts.lines.filter((line) => line.includes('begins anew'))).toHaveLength(1);
  });

  it('ends at once when it is cancelled, and leaves nothing', async () => {
    const parts = await openDeploying({ 'training.epochs': 50 });
    await parts.feedback.append([...liked(8), ...liked(4, 40, { daysAgo: 12 })]);
    for (const phaseToStopIn of ['load', 'fisher', 'train']) {
      const context = openContext();
      let after = 0;
      const progress = (value: unknown) => {
        const { phase, done } = value as { phase: string; done: number };
        if (context.signal.aborted) after++;
        if (phase === phaseToStopIn && done > 0)
          context.controller.abort(new LorakeetError('ERR_ABORTED', 'cancelled'));
      };
      const job = claimed(payload);
      await expect(createJobHandler(parts, everyStep)(job, { ...context, progress })).rejects.toMatchObject({
        code: 'ERR_ABORTED',
      });
      expect(after).toBe(0);
      expect((await parts.versions.state()).versions).toEqual([]);
      expect(await blobsOf(parts.versionStore)).toEqual([]);
    }
  });

  it('is one version of two workers that have it at the same time', async () => {
    const parts = await openDeploying();
    await parts.feedback.append(liked(6));
    const job = claimed(payload);
    const both = await Promise.all([1, 2].map(() => createJobHandler(parts, everyStep)(job, openContext())));
    expect(both).toMatchObject([{ version: 'v1.0' }, { version: 'v1.0' }]);
    const operations = (await parts.versions.history()).map(({ operation }) => operation);
    expect(operations.filter((name) => name === 'publish')).toHaveLength(1);
  });

  it('is done by whichever worker of a queue is free, one job at a time', async () => {
    const parts: TestParts = await openDeploying({ 'training.deploy': 'never' });
    await parts.feedback.append(liked(6));
    const requests = createTrainingRequests(parts);
    let running = 0;
    let most = 0;
    const handler = createJobHandler(parts);
    const workers = [1, 2].map(
      (n) =>
        new JobWorker(
          parts.queue,
          parts.queueName,
          async (job, context) => {
            most = Math.max(most, ++running);
            return (handler(job, context) as Promise<Json>).finally(() => running--);
          },
          { name: `worker ${n}`, logger: parts.logger, clock: parts.clock },
        ),
    );
    for (const worker of workers) worker.start();
    const jobs = await Promise.all([1, 2, 3].map(() => requests.train({}, caller)));
    const ended = async () => (await parts.queue.counts(parts.queueName)).completed === 3;
    while (!(await ended())) await parts.clock.advance(500);
    await Promise.all(workers.map((worker) => worker.stop()));
    expect(most).toBe(1);
    const results = await Promise.all(jobs.map(({ id }) => parts.queue.get(id)));
    const made = results.map((job) => (job?.result as Partial<TrainingResult> | undefined)?.version).sort();
    expect(made).toEqual(['v1.0', 'v1.1', 'v1.2']);
    expect(await requests.trainingStatus()).toMatchObject({ isTraining: false, queue: { completed: 3 } });
  });
});
