/** What is asked of the service about training, importance and validation: what it refuses, and what its jobs do. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ServiceEvents } from '../../../../src/service/engine/events.js';
import { silentEvents } from '../../../../src/service/engine/events.js';
import type { TrainingResult } from '../../../../src/service/engine/operations.js';
import { createJobHandler, isFinalFailure } from '../../../../src/service/engine/pipeline/handler.js';
import { createTrainingRequests } from '../../../../src/service/engine/pipeline/requests.js';
import { encodeGoldenOutputs } from '../../../../src/service/golden/outputs.js';
import type { Job } from '../../../../src/service/jobs/job.js';
import { JobWorker } from '../../../../src/service/jobs/worker.js';
import { root } from '../../../support/imports.js';
import {
  caller,
  claimed,
  isSlow,
  liked,
  loadModel,
  openContext,
  openParts,
  skipped,
  type TestParts,
} from './fixtures.js';

let folder: string;
let outside: string;
const line = (input: string, output: string) => `${JSON.stringify({ input, output })}\n`;
beforeAll(() => {
  const top = mkdtempSync(join(tmpdir(), 'lorakeet-requests-'));
  folder = join(top, 'allowed');
  outside = join(top, 'outside');
  for (const one of [folder, outside, join(folder, 'data')]) mkdirSync(one);
  writeFileSync(join(outside, 'secret.jsonl'), line('a', 'b'));
  symlinkSync(outside, join(folder, 'out'));
  const texts = liked(6).map(
    ({ response }) => (response as { choices: [{ message: { content: string } }] }).choices[0],
  );
  writeFileSync(join(folder, 'data/train.jsonl'), texts.map(({ message }) => line('Speak!', message.content)).join(''));
  writeFileSync(join(folder, 'bad.jsonl'), `${line('a', 'b')}{"input": 7}\n`);
  const cases = readFileSync(join(root, 'examples/golden-set/tiny-shakespeare.ndjson'), 'utf8').split('\n').slice(0, 3);
  writeFileSync(join(folder, 'suite.ndjson'), cases.join('\n'));
});
afterAll(() => rmSync(join(folder, '..'), { recursive: true, force: true }));

const open = (overrides: Record<string, unknown> = {}) =>
  openParts({
    'service.allowedFolders': [folder],
    'golden.suite': join(folder, 'suite.ndjson'),
    'storage.folder': join(folder, 'storage'),
    ...overrides,
  });
const handle = async <T>(parts: TestParts, job: Job) => (await createJobHandler(parts)(job, openContext())) as T;

describe('a request for training', () => {
  it.each([
    ['days', { days: 0 }],
    ['days', { days: 1.5 }],
    ['ewcLambda', { ewcLambda: -1 }],
    ['ewcLambda', { ewcLambda: 99 }],
    ['ewcLambda', { ewcLambda: 1001 }],
    ['ewcLambda', { ewcLambda: Number.NaN }],
    ['force', { force: 'yes' }],
    ['triggerSource', { triggerSource: '' }],
    ['auditContext', { auditContext: [] }],
    ['auditContext', { auditContext: JSON.parse('{"__proto__": 1}') }],
    ['auditContext', { auditContext: { text: 'x'.repeat(70_000) } }],
    ['datasetId', { datasetId: 'x'.repeat(201) }],
    ['author', { author: ' ' }],
    ['validationMetrics.loss', { validationMetrics: { loss: Number.POSITIVE_INFINITY } }],
    ['thresholds.minPassRate', { goldenThresholds: { minPassRate: 2 } }],
    ['thresholds.best', { goldenThresholds: { best: 1 } }],
    ['goldenSuitePath', { goldenSuitePath: '/etc/passwd' }],
    ['goldenBaselineOutputPath', { goldenBaselineOutputPath: 7 }],
    ['request.goldenCandidateOutputPath', { goldenCandidateOutputPath: 'x' }],
    ['idempotencyKey', { idempotencyKey: '' }],
  ])('is refused for its %s (%#)', async (field, request) => {
    const parts = await open();
    const refused = createTrainingRequests(parts).train(request as never, caller);
    const message = expect.stringContaining(field);
    await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^ERR_(INVALID|PATH)_/), message });
    expect((await parts.queue.list()).jobs).toEqual([]);
  });

  it.each([0, 100, 1000])('takes λ %d', async (ewcLambda) => {
    const parts = await open();
    const { payload } = await createTrainingRequests(parts).train({ ewcLambda }, caller);
    expect(payload).toEqual({ kind: 'train', request: { ewcLambda }, caller: { name: 'tester' } });
  });

  it('makes one job of a request that is repeated, and wakes the worker', async () => {
    let woken = 0;
    const parts = { ...(await open()), wakeWorker: () => void woken++ };
    const requests = createTrainingRequests(parts);
    const [one, two] = [
      await requests.train({ idempotencyKey: 'k' }, caller),
      await requests.train({ idempotencyKey: 'k' }, caller),
    ];
    expect(one.id).toBe(two.id);
    expect(one.queue).toBe('train:default');
    expect(woken).toBe(2);
    expect((await requests.trainFile({ datasetPath: join(folder, 'data/train.jsonl') }, caller)).id).not.toBe(one.id);
  });

  it('stays in the folders that are allowed', async () => {
    const parts = await open();
    const { trainFile } = createTrainingRequests(parts);
    const at = (datasetPath: unknown) => trainFile({ datasetPath } as never, caller);
    for (const path of ['/etc/passwd', join(outside, 'secret.jsonl'), join(folder, 'out/secret.jsonl')]) {
      await expect(at(path), path).rejects.toMatchObject({ code: 'ERR_PATH_NOT_ALLOWED' });
    }
    await expect(at(`${folder}/data/../../outside/secret.jsonl`)).rejects.toMatchObject({
      code: 'ERR_PATH_NOT_ALLOWED',
    });
    await expect(at(folder)).rejects.toMatchObject({ code: 'ERR_PATH_NOT_ALLOWED' });
    await expect(at(join(folder, 'data'))).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
    await expect(at(join(folder, 'none.jsonl'))).rejects.toMatchObject({ code: 'ERR_FILE_ACCESS' });
    for (const path of [undefined, '', 7])
      await expect(at(path)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    const { payload } = await at(`${folder}/data/../data/train.jsonl`);
    expect(payload).toMatchObject({ request: { datasetPath: join(folder, 'data/train.jsonl') } });
    const closed = createTrainingRequests(await open({ 'service.allowedFolders': [] }));
    const anywhere = closed.trainFile({ datasetPath: join(folder, 'data/train.jsonl') }, caller);
    await expect(anywhere).rejects.toMatchObject({ code: 'ERR_PATH_NOT_ALLOWED' });
  });

  it('is checked again when its job runs', async () => {
    const parts = await open();
    const path = join(outside, 'secret.jsonl');
    for (const payload of [null, {}, { kind: 'delete', request: {}, caller }, { kind: 'train', request: {} }]) {
      await expect(handle(parts, claimed(payload as object))).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    }
    const smuggled = handle(parts, claimed({ kind: 'train-jsonl', request: { datasetPath: path }, caller }));
    const failure = await smuggled.catch((error) => error);
    expect(failure).toMatchObject({ code: 'ERR_PATH_NOT_ALLOWED' });
    expect(isFinalFailure(failure)).toBe(true);
  });
});

describe.skipIf(isSlow)(`jobs of the service${skipped}`, () => {
  it('train on a file as on feedback', async () => {
    const parts = await open();
    await parts.feedback.append(liked(6, 40, { daysAgo: 3 }));
    const { trainFile } = createTrainingRequests(parts);
    const datasetPath = join(folder, 'data/train.jsonl');
    const { payload } = await trainFile({ datasetPath, epochs: 1, batchSize: 3, learningRate: 0.0005 }, caller);
    const result = await handle<TrainingResult>(parts, claimed(payload as object));
    expect(result).toMatchObject({
      status: 'success',
      version: 'v1.0',
      approved: true,
      datasetSize: 6,
      steps: 2,
      importance: { source: 'computed', samples: 6 },
      golden: { approved: true },
      datasetId: expect.stringMatching(/^jsonl_job-/),
    });
    const { training } = await parts.versions.manifest('v1.0');
    expect(training).toMatchObject({
      dataSource: { type: 'jsonl', path: datasetPath },
      hyperparameters: { epochs: 1, batchSize: 3, learningRate: 0.0005 },
    });
    const strict = await open({ 'training.minimumSamples': 7 });
    expect(await handle(strict, claimed(payload as object))).toMatchObject({ status: 'skipped', datasetSize: 6 });
    const small = await open({ 'feedback.maxImportBytes': 100 });
    await expect(handle(small, claimed(payload as object))).rejects.toMatchObject({ code: 'ERR_FORMAT_CORRUPT' });
    const bad = await trainFile({ datasetPath: join(folder, 'bad.jsonl') }, caller);
    await expect(handle(parts, claimed(bad.payload as object))).rejects.toMatchObject({
      code: 'ERR_FORMAT_CORRUPT',
      message: expect.stringContaining('line 2'),
    });
  });

  it('calculate importance, which the next training from that version takes', async () => {
    const ends: object[] = [];
    const events: ServiceEvents = { ...silentEvents, fisherFinished: (end) => void ends.push(end) };
    const parts = { ...(await open({ 'golden.enabled': false })), events };
    const requests = createTrainingRequests(parts);
    await expect(requests.calculateFisher({}, caller)).rejects.toMatchObject({ code: 'ERR_VERSION_NOT_FOUND' });
    await parts.feedback.append([...liked(6), ...liked(6, 40, { daysAgo: 12 })]);
    await handle(parts, claimed({ kind: 'train', request: {}, caller }));
    await expect(requests.calculateFisher({ adapterVersion: 'v9.9' }, caller)).rejects.toMatchObject({
      code: 'ERR_VERSION_NOT_FOUND',
    });
    await parts.versions.activate('v1.0');
    const job = await requests.calculateFisher({ numSamples: 5 }, caller);
    expect(job.payload).toMatchObject({ kind: 'fisher', request: { adapterVersion: 'v1.0', numSamples: 5 } });
    const again = claimed(job.payload as object);
    const result = await handle(parts, again);
    expect(result).toMatchObject({ status: 'success', adapterVersion: 'v1.0', fisherVersion: 'v1.0', numSamples: 5 });
    expect(await handle(parts, again)).toEqual(result);
    expect(ends).toMatchObject([{ version: 'v1.0', samples: 5, sizeBytes: expect.any(Number) }]);

    const trained = await handle<TrainingResult>(parts, claimed({ kind: 'train', request: {}, caller }));
    expect(trained.importance).toEqual({ source: 'calculated', samples: 5, fisherVersion: 'v1.0' });
    const { parents } = await parts.versions.manifest(trained.version as string);
    expect(parents.map(({ adapter, version }) => `${adapter}@${version}`)).toEqual([
      'default@v1.0',
      'default/fisher@v1.0',
    ]);
    const empty = { ...(await open()), versions: parts.versions, versionStore: parts.versionStore };
    expect(await handle(empty, claimed(job.payload as object))).toMatchObject({ status: 'skipped', numSamples: 0 });
  });

  it('validate versions and files of answers', async () => {
    const parts = await open();
    await parts.feedback.append(liked(6));
    await handle(parts, claimed({ kind: 'train', request: {}, caller }));
    const { validate } = createTrainingRequests(parts);
    const generated = await validate({ adapterVersion: 'v1.0' });
    expect(generated.provenance).toMatchObject({
      candidateOutput: { source: 'generated' },
      baselineOutput: { source: 'generated' },
    });
    const texts = new Map(['romeo', 'juliet'].map((id) => [id, 'x']));
    const candidateOutputPath = join(folder, 'answers.json');
    writeFileSync(candidateOutputPath, encodeGoldenOutputs(texts));
    const judged = await validate({ candidateOutputPath, thresholds: { maxRegressions: 5 } });
    expect(judged).toMatchObject({ approved: false, thresholds: { maxRegressions: 5 } });
    expect(judged.provenance.candidateOutput).toMatchObject({ source: 'file', path: candidateOutputPath });
    const job = claimed({ kind: 'validate', request: { candidateOutputPath }, caller });
    expect(await handle(parts, job)).toMatchObject({ approved: false });
    await expect(validate({})).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await expect(validate({ adapterVersion: 'v1.0', candidateOutputPath })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
    });
    await expect(validate({ adapterVersion: 'v7.0' })).rejects.toMatchObject({ code: 'ERR_VERSION_NOT_FOUND' });
    await expect(validate({ candidateOutputPath: '/etc/passwd' })).rejects.toMatchObject({
      code: 'ERR_PATH_NOT_ALLOWED',
    });
    await expect(validate({ adapterVersion: 'v1.0', suitePath: join(folder, 'none') })).rejects.toMatchObject({
      code: 'ERR_FILE_ACCESS',
    });
    const aborted = validate({ adapterVersion: 'v1.0' }, { signal: AbortSignal.abort() });
    await expect(aborted).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  it('say what runs, and how the last run of training ended, also where it failed', async () => {
    const ends: object[] = [];
    const events: ServiceEvents = { ...silentEvents, trainingFinished: (end) => void ends.push(end) };
    const parts = { ...(await open({ 'golden.enabled': false })), events };
    const requests = createTrainingRequests(parts);
    expect(await requests.trainingStatus()).toMatchObject({
      isTraining: false,
      lastRun: undefined,
      lastJob: undefined,
    });
    await parts.feedback.append(liked(6));
    const { logger, clock } = parts;
    const during: boolean[] = [];
    const handler = createJobHandler(parts);
    const work = async (count: number) => {
      const worker = new JobWorker(
        parts.queue,
        parts.queueName,
        async (job, context) => {
          during.push((await requests.trainingStatus()).isTraining);
          return handler(job, context) as Promise<null>;
        },
        { logger, clock, isFinal: isFinalFailure },
      );
      worker.start();
      const { completed, failed } = await parts.queue.counts();
      const ended = async () => {
        const counts = await parts.queue.counts();
        return counts.completed + counts.failed === completed + failed + count;
      };
      while (!(await ended())) await clock.advance(200);
      await worker.stop();
    };
    const job = await requests.train({}, caller);
    await work(1);
    expect(during).toEqual([true]);
    const after = await requests.trainingStatus();
    expect(after).toMatchObject({ isTraining: false, lastJob: { id: job.id } });
    expect(after.lastRun).toMatchObject({ jobId: job.id, status: 'success', version: 'v1.0', steps: 4 });

    clock.jump(1000);
    const bad = await requests.trainFile({ datasetPath: join(folder, 'bad.jsonl') }, caller);
    await requests.calculateFisher({ adapterVersion: 'v1.0' }, caller);
    await work(2);
    const failed = await requests.trainingStatus();
    expect(failed.lastRun).toMatchObject({ jobId: bad.id, status: 'failed', error: expect.stringContaining('line 2') });
    expect(failed.lastJob?.id).not.toBe(bad.id);
    expect(ends).toMatchObject([{ status: 'success' }, { kind: 'train-jsonl', status: 'failed' }]);
    expect(parts.lines.filter((one) => one.startsWith('learning_engine.training.failed'))).toHaveLength(1);
    const waiting = await requests.train({}, caller);
    await parts.queue.cancel(waiting.id);
    expect((await requests.trainingStatus()).lastRun).toMatchObject({ jobId: waiting.id, status: 'cancelled' });
    expect((await loadModel()).backend.name).not.toBe('js');
  });
});
