/** What a run of training does to the model, and what its version says of it. */
import { afterEach, describe, expect, it } from 'vitest';
import { decodeLanguageAdapter, type LanguageAdapter } from '../../../../src/llm/index.js';
import type { TrainingResult, TrainRequest } from '../../../../src/service/engine/operations.js';
import { createJobHandler } from '../../../../src/service/engine/pipeline/handler.js';
import type { FeedbackInput } from '../../../../src/service/feedback/feedback.js';
import { LIBRARY_VERSION } from '../../../../src/versions/publication.js';
import {
  caller,
  claimed,
  feedback,
  isSlow,
  liked,
  loadModel,
  NOW,
  openContext,
  openParts,
  skipped,
  speeches,
  type TestParts,
} from './fixtures.js';

const opened: LanguageAdapter[] = [];
afterEach(() => {
  for (const adapter of opened.splice(0)) adapter.close();
});

async function train(parts: TestParts, request: TrainRequest = {}): Promise<TrainingResult> {
  const context = openContext();
  return (await createJobHandler(parts)(claimed({ kind: 'train', request, caller }), context)) as never;
}

async function adapterOf(parts: TestParts, version: string | undefined): Promise<LanguageAdapter> {
  const { files } = await parts.versions.load(version as string);
  const adapter = await (await loadModel()).loadAdapter(files.get('adapter.bin') as Uint8Array);
  opened.push(adapter);
  return adapter;
}

/** Of the answers of these rows, after their prompts. */
async function logProbability(rows: readonly FeedbackInput[], adapter?: LanguageAdapter): Promise<number> {
  const model = await loadModel();
  let sum = 0;
  for (const { request, response, expectedAnswer } of rows) {
    const [{ role, content }] = request.messages as { role: string; content: string }[];
    const [{ message }] = (response as { choices: { message: { content: string } }[] }).choices;
    const scored = await model.score(`${role}: ${content}\n`, expectedAnswer ?? message.content, { adapter });
    sum += scored.logProbability;
  }
  return sum;
}

describe.skipIf(isSlow)(`training from feedback${skipped}`, () => {
  it('makes liked answers and corrections likelier, and disliked answers less likely', async () => {
    const parts = await openParts({ 'training.epochs': 6 });
    const likedRows = liked(8);
    const [bad, wrong] = speeches().slice(30, 32);
    const disliked = [feedback(bad.prompt, bad.answer, { type: 'thumbs_down' })];
    const expectedAnswer = 'I never said a word of that, my lord.';
    const corrected = [feedback(wrong.prompt, wrong.answer, { type: 'thumbs_down', expectedAnswer })];
    await parts.feedback.append([...likedRows, ...disliked, ...corrected]);
    const result = await train(parts);
    expect(result).toMatchObject({ status: 'success', version: 'v1.0', approved: false, datasetSize: 10, steps: 18 });
    expect(result.finalLoss).toBeLessThan(0.95 * (result.initialLoss as number));
    const adapter = await adapterOf(parts, result.version);
    expect(await logProbability(likedRows, adapter)).toBeGreaterThan((await logProbability(likedRows)) + 8);
    expect(await logProbability(corrected, adapter)).toBeGreaterThan((await logProbability(corrected)) + 1);
    expect(await logProbability(disliked, adapter)).toBeLessThan((await logProbability(disliked)) - 1);
  });

  it('holds on to what it knew before, more so with a larger λ', async () => {
    const old = liked(12, 40, { daysAgo: 12 });
    const rows = liked(8);
    const runs: { fell: number; learnt: number; ewcLoss: number }[] = [];
    for (const ewcLambda of [0, 100, 1000]) {
      const parts = await openParts({ 'training.epochs': 6, 'training.learningRate': 0.01 });
      await parts.feedback.append([...old, ...rows]);
      const result = await train(parts, { ewcLambda });
      const adapter = await adapterOf(parts, result.version);
      expect(result.ewcLambda).toBe(ewcLambda);
      expect(result.importance).toEqual(ewcLambda === 0 ? { source: 'none' } : { source: 'computed', samples: 12 });
      runs.push({
        fell: (await logProbability(old)) - (await logProbability(old, adapter)),
        learnt: (await logProbability(rows, adapter)) - (await logProbability(rows)),
        ewcLoss: result.ewcLoss as number,
      });
    }
    const [none, weak, strong] = runs;
    expect(none.ewcLoss).toBe(0);
    expect(none.fell).toBeGreaterThan(5);
    expect(weak.fell).toBeLessThan(none.fell - 2);
    expect(strong.fell).toBeLessThan(weak.fell);
    expect(strong.learnt).toBeGreaterThan(0);
    expect(none.learnt).toBeGreaterThan(strong.learnt);
  });

  it('tells the penalty as it is: (λ/2) Σ F (θ − θ*)²', async () => {
    const parts = await openParts();
    await parts.feedback.append([...liked(8), ...liked(8, 40, { daysAgo: 12 })]);
    const { ewcLoss, version } = await train(parts, { ewcLambda: 300 });
    const { files } = await parts.versions.load(version as string);
    const { state } = await decodeLanguageAdapter(files.get('adapter.bin') as Uint8Array);
    const { parameters, fisher, anchor } = state;
    const sum = parameters.reduce((s, value, i) => s + (fisher?.[i] ?? 0) * (value - (anchor?.[i] ?? 0)) ** 2, 0);
    expect(sum).toBeGreaterThan(0);
    expect(ewcLoss).toBeCloseTo(150 * sum, 6);
    // the anchor is where it started: a new adapter, whose loraB is 0
    const { state: fresh } = await (async () => {
      const { rank, alpha, targetModules } = parts.config.lora;
      const adapter = await (await loadModel()).createAdapter({ rank, alpha, targetModules });
      opened.push(adapter);
      return { state: await adapter.state() };
    })();
    expect(anchor).toEqual(fresh.parameters);
    expect(state.moment1).toBeUndefined();
  });

  it('does not learn from few, unless it is forced to, and says why', async () => {
    const parts = await openParts({ 'training.minimumSamples': 5 });
    await parts.feedback.append([...liked(4), feedback('short', 'no', { id: 'short' })]);
    const skippedRun = await train(parts);
    expect(skippedRun).toMatchObject({
      status: 'skipped',
      datasetSize: 4,
      diagnostics: { rawExamples: 5, keptExamples: 4, dropReasons: { short_input: 1 } },
      decision: { force: false, enoughSamples: false, train: false, minimumSamples: 5 },
    });
    expect(skippedRun.reason).toContain('4 of 5 were kept, 5 are needed');
    expect((await parts.versions.state()).versions).toEqual([]);
    expect(parts.lines.at(-1)).toMatch(/^learning_engine\.training\.skipped \{.*"enough_samples":false/);
    const forced = await train(parts, { force: true });
    expect(forced).toMatchObject({ status: 'success', decision: { force: true, enoughSamples: false, train: true } });
    const empty = await openParts();
    expect(await train(empty, { force: true })).toMatchObject({ status: 'skipped', decision: { train: false } });
  });

  it('takes the feedback of the window, and of the days before it what is replayed', async () => {
    const parts = await openParts({ 'training.replayShare': 0.5, 'ewc.fisherDays': 20 });
    await parts.feedback.append([
      ...liked(5, 0, { daysAgo: 6.99 }),
      feedback('at the very moment', 'of the beginning of the job', { createdAt: new Date(NOW) }),
      feedback('at the very beginning', 'of the window of the job', { daysAgo: 7 }),
      ...liked(6, 40, { daysAgo: 7.01 }),
      ...liked(6, 60, { daysAgo: 20.01 }),
    ]);
    const result = await train(parts);
    expect(result.datasetSize).toBe(6);
    expect(result.importance).toEqual({ source: 'computed', samples: 6 });
    const { training } = await parts.versions.manifest('v1.0');
    expect(training.dataSource).toMatchObject({
      since: '2026-04-27T12:00:00.000Z',
      until: '2026-05-04T12:00:00.000Z',
      sampleCount: 6,
      replayed: 6,
    });
    expect(await train(parts, { days: 2 })).toMatchObject({ status: 'skipped', datasetSize: 0 });
    expect(await train(parts, { days: 3650 })).toMatchObject({ datasetSize: 18, importance: { source: 'none' } });
  });

  it('goes on from the active version, and carries its importance where there is no earlier feedback', async () => {
    const parts = await openParts();
    await parts.feedback.append([...liked(8), ...liked(8, 40, { daysAgo: 12 })]);
    await train(parts);
    await parts.versions.activate('v1.0', { override: true, reason: 'a test' });
    const first = await adapterOf(parts, 'v1.0');
    const history = await train(parts);
    expect(history).toMatchObject({ startVersion: 'v1.0', version: 'v1.1', importance: { source: 'computed' } });
    expect((await parts.versions.manifest('v1.1')).parents).toMatchObject([{ adapter: 'default', version: 'v1.0' }]);
    const second = await (await adapterOf(parts, 'v1.1')).state();
    expect(second.anchor).toEqual((await first.state()).parameters);

    const carried = await train(parts, { days: 3650 });
    expect(carried).toMatchObject({ startVersion: 'v1.0', importance: { source: 'carried' }, ewcLambda: 500 });
    expect(carried.ewcLoss).toBeGreaterThan(0);
    expect((await (await adapterOf(parts, carried.version)).state()).fisher).toEqual((await first.state()).fisher);
  });

  it('begins anew, and says so, where the active version is of another shape or model', async () => {
    const parts = await openParts();
    await parts.feedback.append(liked(8));
    await train(parts);
    await parts.versions.activate('v1.0', { override: true, reason: 'a test' });
    const wider = { ...parts, config: (await openParts({ 'lora.rank': 8 })).config };
    const result = await train(wider);
    expect(result).toMatchObject({ startVersion: null, importance: { source: 'none' }, ewcLambda: 0 });
    expect(result.notes).toHaveLength(2);
    expect(result.notes?.[0]).toBe(
      'v1.0 has another rank, scaling or modules than lora.*: training starts with a new adapter',
    );
    expect(result.notes?.[1]).toContain('without EWC');
    const { versions } = parts;
    const files = Object.fromEntries((await versions.load('v1.0')).files);
    const foreign = await versions.publish({ files, baseModel: { name: 'another', sha256: 'ab'.repeat(32) } });
    await versions.activate(foreign.version, { override: true, reason: 'a test' });
    expect((await train(parts)).notes?.[0]).toContain('is of another base model (another)');
    await versions.disable({ reason: 'a test' });
    expect(await train(parts)).toMatchObject({ startVersion: null, status: 'success' });
  });

  it('leaves out what is too long', async () => {
    const parts = await openParts({ 'training.maxLength': 64 });
    await parts.feedback.append([...liked(6), feedback('a very long story', 'and so on '.repeat(40), { id: 'long' })]);
    const result = await train(parts);
    const { dropReasons, keptExamples = 0 } = result.diagnostics ?? {};
    expect(dropReasons?.too_long).toBeGreaterThanOrEqual(1);
    expect(keptExamples).toBe(7 - (dropReasons?.too_long ?? 0));
    expect(result.datasetSize).toBe(keptExamples);
  });

  it('tells all that is known of where a version comes from', async () => {
    const parts = await openParts({
      'training.commit': '0a1b2c3',
      'training.seed': 7,
      'training.replayShare': 0.25,
      'lora.dropout': 0.1,
    });
    await parts.feedback.append([...liked(8), ...liked(8, 40, { daysAgo: 12 })]);
    await train(parts, {
      triggerSource: 'schedule',
      auditContext: { ticket: 'T-1', nested: { deep: [1, null] } },
      datasetId: 'may',
      author: 'somebody',
      validationMetrics: { accuracy: 0.5, trainingLoss: -1 },
      ewcLambda: 200,
    });
    const manifest = await parts.versions.manifest('v1.0');
    expect(manifest.author).toBe('somebody');
    expect(manifest.metrics).toMatchObject({ accuracy: 0.5, samples: 8, steps: 6 });
    expect(manifest.metrics.trainingLoss).toBeGreaterThan(0);
    expect(manifest.baseModel?.sha256).toBe((await loadModel()).hash);
    expect(manifest.training).toMatchObject({
      jobId: expect.stringMatching(/^job-/),
      datasetId: 'may',
      recordedAt: '2026-05-04T12:00:00.000Z',
      author: 'somebody',
      trigger: { source: 'schedule', caller: 'tester', auditContext: { ticket: 'T-1', nested: { deep: [1, null] } } },
      dataSource: {
        type: 'feedback',
        windowDays: 7,
        sampleCount: 8,
        sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
        diagnostics: { keptExamples: 8 },
        replayed: 4,
      },
      model: {
        name: 'tiny-shakespeare-llama',
        rank: 4,
        alpha: 8,
        dropout: 0.1,
        targetModules: ['q_proj', 'v_proj', 'k_proj', 'o_proj'],
      },
      start: { version: null },
      hyperparameters: {
        learningRate: 0.005,
        epochs: 2,
        batchSize: 4,
        accumulation: 1,
        maxLength: 2048,
        ewcLambda: 200,
        seed: 7,
        replayShare: 0.25,
      },
      ewc: { source: 'computed', samples: 8, decay: 0.5 },
      validation: { enabled: true, required: true, thresholds: { maxRegressions: 1 }, report: null },
      environment: {
        service: 'learning-engine',
        gitCommit: '0a1b2c3',
        libraryVersion: LIBRARY_VERSION,
        backend: { name: (await loadModel()).backend.name },
      },
    });
    expect([...(await parts.versions.load('v1.0')).files.keys()].sort()).toEqual([
      'adapter.bin',
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
  });

  it('tells its progress, with a curve of losses and of the penalty', async () => {
    const parts = await openParts();
    await parts.feedback.append([...liked(8), ...liked(8, 40, { daysAgo: 12 })]);
    const context = openContext();
    await createJobHandler(parts)(claimed({ kind: 'train', request: {}, caller }), context);
    const seen = context.seen as unknown as { phase: string; done: number; total: number; curve?: object }[];
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual(['load', 'fisher', 'train', 'publish']);
    const last = seen.filter(({ phase }) => phase === 'train').at(-1);
    expect(last).toMatchObject({
      done: 4,
      total: 4,
      loss: expect.any(Number),
      ewcLoss: expect.any(Number),
      gradNorm: expect.any(Number),
      curve: { step: [1, 2, 3, 4] },
    });
    const { curve, tokensPerSecond } = last as unknown as { curve: Record<string, number[]>; tokensPerSecond: number };
    expect(tokensPerSecond).toBeGreaterThan(0);
    expect(curve.ewcLoss[3]).toBeGreaterThan(0);
    expect(curve.loss).toHaveLength(4);
    // so that it can be looked at when the job has ended
    expect(seen.at(-1)).toMatchObject({ phase: 'publish', curve });
  });

  it('gives the same version for the same feedback, seed and start', async () => {
    const adapters: Uint8Array[] = [];
    for (const seed of [3, 3, 4]) {
      const parts = await openParts({ 'training.seed': seed, 'lora.dropout': 0.1, 'training.replayShare': 0.5 });
      await parts.feedback.append([...liked(8), ...liked(8, 40, { daysAgo: 12 })]);
      await train(parts);
      adapters.push((await parts.versions.load('v1.0')).files.get('adapter.bin') as Uint8Array);
    }
    expect(adapters[0]).toEqual(adapters[1]);
    expect(adapters[0]).not.toEqual(adapters[2]);
  });
});
