/** The service as a whole: without a model, its health, its beginning and its end. */
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { silentLogger } from '../../../src/logger.js';
import { HealthChecks, type HealthParts } from '../../../src/service/engine/health.js';
import { startHousekeeping } from '../../../src/service/engine/housekeeping.js';
import { openLearningService, SqliteFeedbackStore, SqliteJobQueue } from '../../../src/service/index.js';
import { MemoryVersionStore } from '../../../src/stores/memory.js';
import { AdapterVersions } from '../../../src/versions/index.js';
import { coded } from '../../personalization/samples.js';
import { ManualClock } from '../jobs/manual-clock.js';
import { caller, configOf, modulesOf, newFolder, openService, openVersions, peftFiles } from './fixtures.js';

const row = { type: 'thumbs_up' as const, request: { messages: [] }, response: {} };

describe('without a model', () => {
  it('keeps feedback and versions, has a kill switch, and says what it lacks', async () => {
    const folder = newFolder();
    const service = await openService(await configOf(folder, { 'schedule.enabled': true }));
    expect(await service.appendFeedback([row])).toMatchObject({ added: 1 });
    expect((await service.countFeedback({})).total).toBe(1);
    const versions = await openVersions(folder);
    await versions.publish({ files: peftFiles(modulesOf(1)), metrics: { loss: 2 }, actor: 'anna' });
    await versions.approve('v1.0');
    expect(await service.adapters()).toMatchObject([{ version: 'v1.0', author: 'anna', metrics: { loss: 2 } }]);
    await expect(service.adapter('v9.0')).rejects.toEqual(coded('ERR_VERSION_NOT_FOUND'));
    await expect(service.job('nothing')).rejects.toEqual(coded('ERR_JOB_NOT_FOUND'));
    for (const operation of ['activate', 'enable', 'rollback'] as const) {
      const refused = service[operation]({ adapterVersion: 'v1.0' }, caller);
      await expect(refused, operation).rejects.toEqual(coded('ERR_INVALID_STATE', 'model.folder'));
    }
    await expect(service.generate({ prompt: 'a' })).rejects.toEqual(coded('ERR_INVALID_STATE', 'model.folder'));
    expect((await service.disable({ reason: 'a test' }, caller)).status).toMatchObject({ enabled: false, serving: [] });
    const { status, components } = await service.health();
    expect(status).toBe('healthy');
    expect(Object.entries(components).map(([name, one]) => `${name} ${one.status}`)).toEqual([
      ...['model off', 'feedback ok', 'storage ok', 'jobs ok', 'worker off', 'scheduler ok', 'serving off'],
    ]);
    expect(components.scheduler.detail).toMatch(/^next run at 20\d\d-.*T02:00:00.000Z$/);
    expect((await service.trainingStatus()).schedules).toMatchObject([{ name: 'train:default', cron: '0 2 * * 1' }]);
    expect((await service.overview()).model).toBeNull();
  });
});

describe('opening and closing', () => {
  it('closes what was opened when something else cannot be opened', async () => {
    const closes = [SqliteFeedbackStore, SqliteJobQueue].map((store) => vi.spyOn(store.prototype, 'close'));
    const config = await configOf(newFolder(), { 'model.folder': join(newFolder(), 'nothing-here') });
    await expect(openLearningService(config, { logger: silentLogger })).rejects.toEqual(coded('ERR_FILE_ACCESS'));
    for (const close of closes) {
      expect(close).toHaveBeenCalledTimes(1);
      close.mockRestore();
    }
  });

  it('refuses options that are none', async () => {
    const config = await configOf(newFolder());
    await expect(openLearningService(config, { log: 1 } as never)).rejects.toEqual(coded('ERR_INVALID_CONFIG', 'log'));
  });

  it('ends what is under way, takes nothing more, and may be closed again', async () => {
    const service = await openService(await configOf(newFolder(), { 'jobs.worker': true, 'schedule.enabled': true }));
    const appended = service.appendFeedback([row]);
    const closing = service.close();
    expect((await appended).added).toBe(1);
    await expect(service.appendFeedback([row])).rejects.toEqual(coded('ERR_CLOSED'));
    await expect(service.health()).rejects.toEqual(coded('ERR_CLOSED'));
    await Promise.all([closing, service.close()]);
    await expect(service.loraStatus()).rejects.toEqual(coded('ERR_CLOSED'));
  });
});

describe('health', () => {
  async function checks(changes: Partial<HealthParts>) {
    const config = await configOf(newFolder());
    const fine = {
      ...{ config, queueName: 'train:default', scheduler: undefined, worker: undefined, serving: undefined },
      feedback: { page: async () => ({ rows: [] }) },
      versions: { state: async () => ({ disabled: false, aliases: { active: 'v1.0' }, versions: [] }) },
      queue: { counts: async () => ({ running: 0, queued: 0 }) },
      model: { name: undefined, loaded: undefined },
    };
    return new HealthChecks({ ...fine, ...changes } as unknown as HealthParts);
  }
  const never = () => new Promise<never>(() => {});
  const report = (version: string | null, error?: string) => ({
    ...{ target: 'a server', version, settled: error === undefined },
    ...(error && { error }),
  });

  it('says which store fails, and what that means', async () => {
    const broken = async () => Promise.reject(new Error('disk full'));
    const health = await (await checks({ feedback: { page: broken } as never })).check();
    expect(health.status).toBe('unhealthy');
    expect(health.components.feedback).toMatchObject({ status: 'down', detail: 'disk full' });
    expect((await (await checks({ queue: { counts: broken } as never })).check()).status).toBe('degraded');
    expect((await (await checks({})).check()).status).toBe('healthy');
  });

  it('answers though somebody else does not', async () => {
    const health = await (await checks({ feedback: { page: never } as never })).check();
    expect(health.components.feedback).toMatchObject({ status: 'down', detail: 'no answer within 150 ms' });
    expect(health.components.storage.status).toBe('ok');
  });

  it.each([
    ['all serve it', [report('v1.0'), report('v1.0')], 'ok'],
    ['one serves another', [report('v1.0'), report('v1.1')], 'degraded'],
    ['one is away', [report('v1.0'), report(null, 'away')], 'degraded'],
    ['all are away', [report(null, 'away'), report(null, 'away')], 'down'],
    ['nothing serves', [], 'off'],
  ])('judges replicas: %s', async (_, reports, status) => {
    const health = await (await checks({ serving: async () => reports })).check();
    expect(health.components.serving.status).toBe(status);
    expect(health.status).toBe({ ok: 'healthy', off: 'healthy', degraded: 'degraded', down: 'unhealthy' }[status]);
  });

  it.each([
    [{ running: 'job-1', lastLook: undefined }, 'ok', 'job-1'],
    [{ running: undefined, lastLook: undefined }, 'degraded', 'not looked'],
    [{ running: undefined, lastLook: { at: new Date() } }, 'ok', 'waits'],
    [{ running: undefined, lastLook: { at: new Date(), error: 'no queue' } }, 'down', 'no queue'],
    [{ running: undefined, lastLook: { at: new Date(0) } }, 'down', '1970'],
  ])('sees whether the worker is alive: %o', async (worker, status, text) => {
    const { components } = await (await checks({ worker: worker as never })).check();
    expect(components.worker).toMatchObject({ status, detail: expect.stringContaining(text) });
  });
});

describe('housekeeping', () => {
  it('forgets jobs after jobs.historyDays, every hour, also after a failure', async () => {
    const clock = new ManualClock(Date.UTC(2026, 5, 1));
    const befores: string[] = [];
    const deleteFinished = async (before: Date) => {
      befores.push(before.toISOString());
      if (befores.length === 2) throw new Error('the disk is away');
      return 1;
    };
    const config = await configOf(newFolder(), { 'jobs.historyDays': 31 });
    const parts = {
      config,
      queue: { deleteFinished },
      versionStore: new MemoryVersionStore(),
      clock,
      logger: silentLogger,
    };
    const stop = startHousekeeping(parts as never);
    await clock.advance(2 * 3_600_000);
    await stop();
    await clock.advance(24 * 3_600_000);
    expect(befores).toEqual(['2026-05-01T00:00:00.000Z', '2026-05-01T01:00:00.000Z', '2026-05-01T02:00:00.000Z']);
  });

  it('removes what nothing in the store of versions has pointed to for a week', async () => {
    const store = new MemoryVersionStore();
    const versions = new AdapterVersions(store, 'default');
    const published = await versions.publish({ files: { 'adapter.bin': new Uint8Array(3) } });
    const checkpoint = await store.putBlob(new Uint8Array(5));
    const config = await configOf(newFolder());
    const queue = { deleteFinished: async () => 0 };
    for (const [days, kept] of [
      [6, true],
      [8, false],
    ] as const) {
      const clock = new ManualClock(Date.now() + days * 24 * 3_600_000);
      const stop = startHousekeeping({ config, queue, versionStore: store, clock, logger: silentLogger } as never);
      await clock.advance(3_600_000);
      await stop();
      expect((await store.getBlob(checkpoint)) !== undefined).toBe(kept);
    }
    expect((await versions.load(published.version)).files.size).toBe(1);
  });
});
