/** What the golden gate lets through after a training, and what becomes of a version that it stops. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadConfig } from '../../../../src/service/config/load.js';
import type { TrainingResult, TrainRequest } from '../../../../src/service/engine/operations.js';
import { gateSettings } from '../../../../src/service/engine/pipeline/gate.js';
import { createJobHandler } from '../../../../src/service/engine/pipeline/handler.js';
import { validateGolden } from '../../../../src/service/engine/pipeline/validation.js';
import { root } from '../../../support/imports.js';
import {
  caller,
  claimed,
  feedback,
  isSlow,
  liked,
  openContext,
  openParts,
  skipped,
  type TestParts,
} from './fixtures.js';

let folder: string;
let quick: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lorakeet-pipeline-'));
  quick = join(folder, 'suite.ndjson');
  const cases = readFileSync(join(root, 'examples/golden-set/tiny-shakespeare.ndjson'), 'utf8').trim().split('\n');
  writeFileSync(quick, cases.slice(0, 4).join('\n'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const settings = () => ({
  'golden.suite': quick,
  'golden.maxNewTokens': 48,
  'golden.outputFolder': join(folder, 'golden'),
  'service.allowedFolders': [folder],
});

async function train(parts: TestParts, request: TrainRequest = {}): Promise<TrainingResult> {
  const context = openContext();
  return (await createJobHandler(parts)(claimed({ kind: 'train', request, caller }), context)) as never;
}

const garbage = () =>
  Array.from({ length: 6 }, (_, i) =>
    feedback(`tell me something, number ${i}`, 'zx qj 77 && 9 9 9 # vvv 4% '.repeat(2)),
  );
const strong = { 'training.learningRate': 0.03, 'training.epochs': 5, 'ewc.enabled': false };

describe.skipIf(isSlow)(`the golden gate of a training${skipped}`, () => {
  it('approves what answers as well as what is served, on the ground of the report', async () => {
    const parts = await openParts({ ...settings(), 'training.learningRate': 0.0005 });
    await parts.feedback.append(liked(6));
    const result = await train(parts);
    expect(result).toMatchObject({ status: 'success', version: 'v1.0', approved: true, golden: { approved: true } });
    expect((await parts.versions.state()).versions).toMatchObject([{ version: 'v1.0', approved: true }]);
    expect((await parts.versions.state()).aliases).toEqual({});
    const [approval] = await parts.versions.history(1);
    expect(approval).toMatchObject({
      operation: 'approve',
      actor: 'learning-engine',
      evidence: { gate: 'approved', report: { approved: true, candidateSummary: { total: 4 } } },
    });
    const { training, metrics } = await parts.versions.manifest('v1.0');
    expect(training.validation).toMatchObject({ approved: true, report: { approved: true } });
    expect(metrics.goldenPassRate).toBe(1);
    expect(result.golden?.provenance.candidateOutput.path).toMatch(/golden\/job-\d+_golden_candidate_outputs\.json$/);
    await parts.versions.activate('v1.0');
  });

  it('stops what was trained on garbage; an override needs a reason, and is told of', async () => {
    const parts = await openParts({ ...settings(), ...strong });
    await parts.feedback.append(garbage());
    const result = await train(parts);
    expect(result).toMatchObject({ status: 'success', version: 'v1.0', approved: false, golden: { approved: false } });
    expect(result.reason).toMatch(/^Golden-set validation failed; adapter promotion blocked: /);
    const { versions } = parts;
    expect((await versions.state()).versions).toMatchObject([{ version: 'v1.0', approved: false }]);
    await expect(versions.activate('v1.0')).rejects.toMatchObject({ code: 'ERR_VERSION_UNAPPROVED' });
    await expect(versions.activate('v1.0', { override: true })).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
    await versions.activate('v1.0', { override: true, reason: 'we want it so', actor: 'boss' });
    expect(await versions.history(1)).toMatchObject([{ override: true, reason: 'we want it so', actor: 'boss' }]);
    // from now on it is what others are compared with
    const again = await validateGolden(parts, { adapterVersion: 'v1.0', thresholds: { minPassRate: 0 } });
    expect(again.comparison.meanScoreDrop).toBe(0);
    expect(again.candidateSummary).toEqual(again.baselineSummary);
  });

  it('only records, where the configuration does not require it', async () => {
    const parts = await openParts({ ...settings(), ...strong, 'golden.required': false });
    await parts.feedback.append(garbage());
    expect(await train(parts)).toMatchObject({ approved: true, golden: { approved: false } });
    const [approval] = await parts.versions.history(1);
    expect(approval.evidence).toMatchObject({ gate: 'only recorded, by configuration', report: { approved: false } });
    expect(await train(parts, { goldenValidationRequired: true })).toMatchObject({ approved: false });
  });

  it('cannot be left out by a request, nor passed by a suite that is not there', async () => {
    const parts = await openParts(settings());
    await parts.feedback.append(liked(4));
    const without = await train(parts, { goldenValidationEnabled: false });
    expect(without).toMatchObject({ approved: false });
    expect(without.reason).toContain('required but no report was produced');
    expect(without.golden).toBeUndefined();
    const missing = await openParts({ ...settings(), 'golden.suite': join(folder, 'none.ndjson') });
    await missing.feedback.append(liked(4));
    expect((await train(missing)).reason).toContain('none.ndjson');
    const broken = join(folder, 'broken.ndjson');
    writeFileSync(broken, '{"id": 7}');
    expect((await train(parts, { goldenSuitePath: broken })).reason).toContain('broken.ndjson');
    const off = await openParts({ ...settings(), 'golden.enabled': false });
    await off.feedback.append(liked(4));
    expect(await train(off)).toMatchObject({ approved: true });
    expect((await off.versions.history(1))[0].evidence).toEqual({ gate: 'off, by configuration' });
  });

  it('takes thresholds and files of the request', async () => {
    const parts = await openParts(settings());
    await parts.feedback.append(liked(4));
    const baseline = join(folder, 'baseline.json');
    const ids = readFileSync(quick, 'utf8').split('\n');
    const outputs = Object.fromEntries(ids.map((line) => [JSON.parse(line).id, 'x']));
    writeFileSync(baseline, JSON.stringify({ outputs }));
    const result = await train(parts, {
      goldenSuitePath: quick,
      goldenBaselineOutputPath: baseline,
      goldenThresholds: { minPassRate: 0.5, maxRegressions: null },
    });
    expect(result.golden).toMatchObject({
      thresholds: { minPassRate: 0.5, maxRegressions: 1 },
      provenance: { baselineOutput: { source: 'file' }, candidateOutput: { source: 'generated' } },
    });
    const outside = train(parts, { goldenSuitePath: join(root, 'package.json') });
    await expect(outside).rejects.toMatchObject({ code: 'ERR_PATH_NOT_ALLOWED' });
  });

  it('deploys what it has approved where that is wanted, and nothing else', async () => {
    const activated: object[] = [];
    const parts = await openParts({ ...settings(), 'training.learningRate': 0.0005, 'training.deploy': 'approved' });
    const lora = {
      ...parts.lora,
      activate: async (request: { adapterVersion: string; expect?: string | null; reason?: string }) => {
        activated.push(request);
        const { expect: before, reason } = request;
        await parts.versions.activate(request.adapterVersion, { expect: before, reason });
        return {} as never;
      },
    };
    await parts.feedback.append(liked(4));
    const deploying = { ...parts, lora };
    expect(await train(deploying)).toMatchObject({ version: 'v1.0', approved: true, deployed: true });
    expect(activated).toEqual([{ adapterVersion: 'v1.0', expect: null, reason: expect.any(String) }]);
    const stopped = await train(deploying, { goldenThresholds: { minPassRate: 1 }, goldenValidationEnabled: false });
    expect(stopped.deployed).toBeUndefined();
    expect(activated).toHaveLength(1);
    // somebody activates another one while the training runs
    await parts.versions.approve('v1.1');
    const context = openContext();
    const progress = (value: unknown) => {
      if ((value as { phase: string }).phase === 'publish') void parts.versions.activate('v1.1');
    };
    const job = claimed({ kind: 'train', request: {}, caller });
    const late = (await createJobHandler(deploying)(job, { ...context, progress })) as unknown as TrainingResult;
    expect(late).toMatchObject({ version: 'v1.2', approved: true, deployed: false });
    expect(late.notes?.at(-1)).toContain('not deployed');
    expect((await parts.versions.state()).aliases.active).toBe('v1.1');
  });
});

describe('what of the gate applies', () => {
  const settingsOf = async (configured: object, asked: object) => {
    const { config } = await loadConfig({ env: {}, overrides: { ...configured } });
    const { judged, required } = gateSettings(config, asked);
    return `${judged ? 'judged' : 'not judged'}, ${required ? 'required' : 'not required'}`;
  };
  const off = { 'golden.enabled': false };
  const recorded = { 'golden.required': false };
  it.each([
    [{}, {}, 'judged, required'],
    [{}, { goldenValidationRequired: false }, 'judged, required'],
    [{}, { goldenValidationEnabled: false }, 'not judged, required'],
    [recorded, {}, 'judged, not required'],
    [recorded, { goldenValidationRequired: true }, 'judged, required'],
    [recorded, { goldenValidationEnabled: false }, 'not judged, not required'],
    [off, {}, 'not judged, not required'],
    [off, { goldenValidationEnabled: true }, 'judged, required'],
    [off, { goldenValidationRequired: true }, 'judged, required'],
    [off, { goldenValidationRequired: true, goldenValidationEnabled: false }, 'judged, required'],
    [{ ...off, ...recorded }, { goldenValidationEnabled: true }, 'judged, not required'],
  ])('with %j and the request %j: %s', async (configured, asked, expected) => {
    expect(await settingsOf(configured, asked)).toBe(expected);
  });
});
