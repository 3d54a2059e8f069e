/** The gate through a real model: it lets good adapters pass and stops bad ones. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { hashSeed, Random } from '../../../src/adapter/random.js';
import { selectDecoder } from '../../../src/llm/decoder/select.js';
import { type LanguageAdapter, type LanguageModel, loadBaseModel } from '../../../src/llm/index.js';
import { sequencesOf } from '../../../src/llm/objectives.js';
import type { TextExample } from '../../../src/llm/text-examples.js';
import { answersByModel } from '../../../src/service/golden/gate.js';
import { readGoldenOutputs } from '../../../src/service/golden/outputs.js';
import { validate } from '../../../src/service/golden/validate.js';
import { root } from '../../support/imports.js';

const suite = join(root, 'examples/golden-set/tiny-shakespeare.ndjson');
const maxNewTokens = 48;

/** Speeches that the model has never seen. */
function speeches(count: number): TextExample[] {
  const text = readFileSync(join(root, 'data/tiny-shakespeare-last-tenth.txt'), 'utf8');
  return text
    .split('\n\n')
    .map((speech) => /^(.+:\n)([\s\S]+)$/.exec(speech))
    .filter((match) => match !== null && match[2].length > 40 && match[2].length < 200)
    .slice(0, count)
    .map((match) => ({ prompt: match?.[1] as string, completion: `${match?.[2]}\n\n` }));
}

const backend = selectDecoder().backend.name;
const skipped = backend === 'js' ? ' (skipped: the JavaScript decoder is slow at it)' : '';

describe.skipIf(backend === 'js')(`the golden gate on a real model${skipped}`, () => {
  let model: LanguageModel;
  let folder: string;
  beforeAll(async () => {
    model = await loadBaseModel(join(root, 'models/tiny-shakespeare-llama'));
    folder = mkdtempSync(join(tmpdir(), 'lorakeet-golden-'));
  });
  afterAll(() => {
    model.close();
    rmSync(folder, { recursive: true, force: true });
  });

  const judge = (adapter?: LanguageAdapter, write?: { folder: string; name: string }) =>
    validate({
      suite,
      candidate: answersByModel(model, { adapter, maxNewTokens }),
      baseline: answersByModel(model, { maxNewTokens }),
      write,
    });

  async function trained(examples: readonly TextExample[], learningRate: number, epochs: number) {
    const adapter = await model.createAdapter({ rank: 8 });
    await model.train(adapter, examples, { learningRate, epochs, batchSize: 8 });
    return adapter;
  }

  it('lets the base pass against itself', async () => {
    const report = await judge();
    expect(report).toMatchObject({ approved: true, objections: [], candidateFailures: [] });
    expect(report.candidateSummary).toEqual({ total: 12, passed: 12, failed: 0, passRate: 1, meanScore: 1 });
  });

  it('lets an adapter pass that has learnt a little text', async () => {
    const examples = speeches(32);
    const adapter = await trained(examples, 5e-3, 6);
    const scored = model.encode('examples', examples).flatMap(sequencesOf);
    const logProbability = async (its?: LanguageAdapter) =>
      (await model.scoreTokens(scored, { adapter: its })).flatMap((each) => [...each]).reduce((a, b) => a + b);
    expect(await logProbability(adapter)).toBeGreaterThan((await logProbability()) * 0.9);
    const report = await judge(adapter);
    expect(report).toMatchObject({ approved: true, objections: [] });
    adapter.close();
  });

  it('stops an adapter that was trained on random tokens, and writes what it answers', async () => {
    const random = new Random(hashSeed(7, 'golden'));
    const { vocabSize } = model.config.shape;
    const garbage = Array.from({ length: 16 }, () => ({
      prompt: 'ROMEO:\n',
      completion: model.tokenizer.decode(Uint32Array.from({ length: 40 }, () => random.nextUint32() % (vocabSize - 2))),
    }));
    const adapter = await trained(garbage, 1e-2, 8);
    const report = await judge(adapter, { folder, name: 'job-1' });
    expect(report.approved).toBe(false);
    expect(report.candidateSummary.passRate).toBeLessThan(0.2);
    expect(report.baselineSummary.passRate).toBe(1);
    expect(report.objections).toContainEqual('critical cases fail: only-characters-it-knows');

    const { candidateOutput, baselineOutput } = report.provenance;
    expect(candidateOutput).toMatchObject({
      source: 'generated',
      path: join(folder, 'job-1_golden_candidate_outputs.json'),
    });
    const written = await readGoldenOutputs(candidateOutput.path as string);
    expect(written.sha256).toBe(candidateOutput.sha256);
    const own = await model.generate('ROMEO:\n', { adapter, maxNewTokens });
    expect(written.texts.get('romeo')).toBe(own.text);

    const offline = await validate({
      suite,
      candidate: written.path as string,
      baseline: baselineOutput.path as string,
    });
    expect(offline.candidateFailures).toEqual(report.candidateFailures);
    expect(offline.provenance.candidateOutput).toEqual({ ...candidateOutput, source: 'file' });
    adapter.close();
  });

  it('stops an adapter that has learnt one word', async () => {
    const dull = speeches(8).map((example) => ({ ...example, completion: ' the'.repeat(30) }));
    const adapter = await trained(dull, 1e-2, 8);
    const report = await judge(adapter);
    expect(report.approved).toBe(false);
    expect(report.objections).toContainEqual('cases of high severity regressed: romeo');
    adapter.close();
  });

  it('is stopped itself by its signal, in the middle', async () => {
    const controller = new AbortController();
    const judging = validate({
      suite,
      candidate: answersByModel(model, { maxNewTokens }),
      baseline: answersByModel(model, { maxNewTokens }),
      signal: controller.signal,
      onProgress: (answered) => answered === 3 && controller.abort(),
    });
    await expect(judging).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
