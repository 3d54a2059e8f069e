/** The service with the small real model in its own process: it learns, answers, and is told what to answer with. */
import { join } from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { hashSeed, Random } from '../../../src/adapter/random.js';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { encodeLanguageAdapter, type LanguageModel, loadBaseModel } from '../../../src/llm/index.js';
import { silentLogger } from '../../../src/logger.js';
import { type LearningService, openLearningWorker } from '../../../src/service/index.js';
import type { AdapterVersions } from '../../../src/versions/index.js';
import { coded } from '../../personalization/samples.js';
import { root } from '../../support/imports.js';
import { atEnd, caller, configOf, modulesOf, newFolder, openService, openVersions, peftFiles } from './fixtures.js';

const folderOfModel = join(root, 'models/tiny-shakespeare-llama');
const backend = selectDecoder().backend.name;
const skipped = backend === 'js' ? ' (skipped: the JavaScript decoder is slow at it)' : '';

const prompt = 'ROMEO:\n';
const request = { prompt, maxNewTokens: 12 };
const QUICK = {
  ...{ 'model.folder': folderOfModel, 'model.positions': 256, 'lora.rank': 4, 'lora.dropout': 0 },
  ...{ 'training.minimumSamples': 4, 'training.accumulation': 1, 'training.epochs': 2, 'training.replayShare': 0 },
  ...{ 'training.warmupSteps': 0, 'training.learningRate': 0.005, 'golden.enabled': false, 'ewc.enabled': false },
};

/** An adapter of random numbers, so that every seed answers otherwise. */
async function publishRandom(versions: AdapterVersions, model: LanguageModel, seed: number, sha256 = model.hash) {
  const adapter = await model.createAdapter({ rank: 2, seed, targetModules: ['q_proj', 'v_proj', 'o_proj'] });
  const state = await adapter.state();
  new Random(hashSeed(seed, 'effect')).fillUniform(state.parameters, -0.5, 0.5);
  await adapter.restore(state);
  const files = seed % 2 === 0 ? peftFiles(await adapter.modules()) : { 'adapter.bin': encodeLanguageAdapter(state) };
  adapter.close();
  const { version } = await versions.publish({ files, baseModel: { name: 'tiny', sha256 } });
  await versions.approve(version);
}

async function withVersions(count: number): Promise<{ folder: string; versions: AdapterVersions }> {
  const folder = newFolder();
  const versions = await openVersions(folder);
  const model = await loadBaseModel(folderOfModel);
  atEnd(() => model.close());
  for (let seed = 0; seed < count; seed++) await publishRandom(versions, model, seed);
  return { folder, versions };
}

const textOf = async (service: LearningService) => (await service.generate(request)).text;

describe.skipIf(backend === 'js')(`the service in one process${skipped}`, () => {
  it('answers with what is active, from the first request after a restart on', async () => {
    const { folder } = await withVersions(2);
    const config = await configOf(folder, QUICK);
    const service = await openService(config);
    const base = await service.generate(request);
    expect(base).toMatchObject({ version: null, finishReason: 'length', completionTokens: 12 });
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    const first = await service.generate(request);
    expect(first.version).toBe('v1.0');
    await service.activate({ adapterVersion: 'v1.1' }, caller);
    const second = await service.generate(request);
    expect(new Set([base.text, first.text, second.text]).size).toBe(3);
    expect(await service.rollback({ reason: 'worse' }, caller)).toMatchObject({ toVersion: 'v1.0' });
    expect(await service.generate(request)).toEqual(first);
    await service.close();
    const again = await openService(config);
    expect(await again.generate(request)).toEqual(first);
    await again.disable({ reason: 'worse still' }, caller);
    expect(await again.generate(request)).toEqual(base);
    await again.close();
    expect(await (await openService(config)).generate(request)).toEqual(base);
  });

  it('ends an answer with the version that it began with', async () => {
    const { folder } = await withVersions(2);
    const service = await openService(await configOf(folder, QUICK));
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    const whole = await service.generate(request);
    let swapped: Promise<unknown> | undefined;
    let pieces = '';
    const onText = (text: string) => {
      pieces += text;
      swapped ??= service.activate({ adapterVersion: 'v1.1' }, caller);
    };
    expect(await service.generate(request, { onText })).toEqual(whole);
    expect(pieces).toBe(whole.text);
    await swapped;
    expect((await service.generate(request)).version).toBe('v1.1');
  });

  it('refuses wrong requests by their field, and those that were given up', async () => {
    const service = await openService(await configOf(newFolder(), QUICK));
    const wrong: [unknown, string, string][] = [
      [undefined, 'ERR_INVALID_ARGUMENT', 'request'],
      [{ prompt: 1 }, 'ERR_INVALID_ARGUMENT', 'request.prompt'],
      [{ prompt: [{ role: 'user' }] }, 'ERR_INVALID_ARGUMENT', 'request.prompt'],
      [{ prompt, stop: 'x' }, 'ERR_INVALID_ARGUMENT', 'request.stop'],
      [{ prompt, temperature: -1 }, 'ERR_INVALID_CONFIG', 'temperature'],
      [{ prompt, maxTokens: 3 }, 'ERR_INVALID_CONFIG', 'maxTokens'],
      [{ prompt: 'word '.repeat(400) }, 'ERR_CONTEXT_FULL', ''],
    ];
    for (const [bad, code, text] of wrong) {
      await expect(service.generate(bad as never)).rejects.toEqual(coded(code as 'ERR_INVALID_CONFIG', text));
    }
    const given = new AbortController();
    const answer = service.generate({ prompt }, { signal: given.signal, onText: () => given.abort() });
    await expect(answer).rejects.toEqual(coded('ERR_ABORTED'));
  });

  it('refuses an adapter of another model before anything is changed', async () => {
    const { folder, versions } = await withVersions(1);
    const model = await loadBaseModel(folderOfModel);
    atEnd(() => model.close());
    await publishRandom(versions, model, 7, 'ab'.repeat(32));
    const service = await openService(await configOf(folder, QUICK));
    const before = await versions.state();
    await expect(service.activate({ adapterVersion: 'v1.1' }, caller)).rejects.toEqual(coded('ERR_ADAPTER_MISMATCH'));
    expect(await versions.state()).toEqual(before);
  });

  it('takes back what the model cannot take, though the files look right', async () => {
    const { folder, versions } = await withVersions(1);
    await versions.publish({ files: peftFiles(modulesOf(1)) }); // 4 features, which no projection here has
    await versions.approve('v1.1');
    const service = await openService(await configOf(folder, QUICK));
    await service.activate({ adapterVersion: 'v1.0' }, caller);
    const text = await textOf(service);
    await expect(service.activate({ adapterVersion: 'v1.1' }, caller)).rejects.toEqual(coded('ERR_ADAPTER_MISMATCH'));
    expect((await versions.state()).aliases).toEqual({ active: 'v1.0' });
    expect((await versions.history(1))[0].operation).toBe('undo');
    expect(await textOf(service)).toBe(text);
  });

  const rows = Array.from({ length: 8 }, (_, i) => ({
    id: `row-${i}`,
    type: 'thumbs_up' as const,
    request: { messages: [{ role: 'user', content: `Tell me about the number ${i}.` }] },
    response: { choices: [{ message: { role: 'assistant', content: `The number ${i} is a fine number indeed.` } }] },
  }));

  it('learns from feedback by its worker, and deploys what it has learnt', async () => {
    const folder = newFolder();
    const service = await openService(await configOf(folder, { ...QUICK, 'jobs.worker': true }));
    expect(await service.appendFeedback(rows)).toMatchObject({ added: 8 });
    expect((await service.overview()).feedback.total).toBe(8);
    expect((await service.feedback({}, { limit: 3 })).rows.length).toBe(3);
    const job = await service.train({ triggerSource: 'a test' }, caller);
    await vi.waitFor(async () => expect((await service.job(job.id)).state).toBe('completed'), { timeout: 30_000 });
    expect((await service.jobs()).jobs.map(({ id }) => id)).toEqual([job.id]);
    expect(await service.trainingStatus()).toMatchObject({ isTraining: false, lastJob: { id: job.id } });
    const [adapter] = await service.adapters();
    expect(adapter).toMatchObject({ version: 'v1.0', aliases: [], author: expect.any(String) });
    expect(adapter.sizeBytes).toBeGreaterThan(0);
    const details = await service.adapter('v1.0');
    expect(details).toMatchObject({ ...adapter, baseModel: { name: 'tiny-shakespeare-llama' } });
    expect(details.files.map(({ name }) => name)).toContain('adapter.bin');
    const base = await textOf(service);
    await service.activate({ adapterVersion: 'v1.0', override: true, reason: 'tried by hand' }, caller);
    expect(await textOf(service)).not.toBe(base);
    expect(await service.metrics()).toContain('training_runs_total');
    await expect(service.cancelJob(job.id)).rejects.toEqual(coded('ERR_INVALID_STATE'));
  });

  it('leaves jobs to a worker of another process, where jobs.worker is false', async () => {
    const config = await configOf(newFolder(), QUICK);
    const service = await openService(config);
    await service.appendFeedback(rows);
    const job = await service.train({}, caller);
    expect((await service.health()).components.worker).toMatchObject({ status: 'off' });
    const worker = await openLearningWorker(config, { logger: silentLogger });
    atEnd(() => worker.close());
    await vi.waitFor(async () => expect((await service.job(job.id)).state).toBe('completed'), { timeout: 30_000 });
    expect((await service.adapters()).length).toBe(1);
    await Promise.all([worker.close(), worker.close()]);
    expect(worker.running).toBeUndefined();
  });

  it('checkpoints the running job when it is closed, and goes on with it later', async () => {
    const folder = newFolder();
    const long = { ...QUICK, 'jobs.worker': true, 'training.epochs': 400, 'service.shutdownTimeoutSeconds': 0.2 };
    const service = await openService(await configOf(folder, long));
    await service.appendFeedback(rows);
    const job = await service.train({}, caller);
    const phase = async () => ((await service.job(job.id)).progress as { phase?: string } | undefined)?.phase;
    await vi.waitFor(async () => expect(await phase()).toBe('train'), { timeout: 30_000 });
    await service.close();
    const later = await openService(await configOf(folder, { ...long, 'jobs.worker': false }));
    expect(await later.job(job.id)).toMatchObject({ state: 'queued', failures: 0, claims: 1 });
    expect((await later.job(job.id)).checkpoint).toBeDefined();
    expect(await later.cancelJob(job.id)).toMatchObject({ state: 'cancelled' });
  });

  it('tells what it is', async () => {
    const service = await openService(await configOf(newFolder(), { ...QUICK, 'model.name': 'will' }));
    expect((await service.overview()).model).toMatchObject({ name: 'will', backend, sha256: expect.any(String) });
    expect((await service.overview()).model?.parameters).toBeGreaterThan(1e6);
    const { components, status } = await service.health();
    expect(components.model).toMatchObject({ status: 'ok', detail: expect.stringContaining('will on') });
    expect(components.serving).toMatchObject({ status: 'ok', detail: expect.stringContaining('the base model') });
    expect(status).toBe('healthy');
  });
});
