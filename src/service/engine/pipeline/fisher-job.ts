/** POST /fisher/calculate: the importance of a version's parameters, kept as a version of an adapter of its own. */
import { consolidateLanguageAdapter } from '../../../llm/fisher.js';
import { encodeLanguageAdapter } from '../../../llm/index.js';
import { lastDays } from '../../feedback/feedback-store.js';
import type { Job, Json } from '../../jobs/job.js';
import type { JobContext } from '../../jobs/worker.js';
import type { FisherRequest, FisherResult, JobProgress } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { drawExamples, isKept, keptSequences, readTexts } from './examples.js';
import { aliasOf, FISHER_FILE, fisherVersionsOf } from './importance.js';
import { AUTHOR } from './plan.js';
import { openVersion } from './start.js';

/**
 * From feedback of the last ewc.fisherDays days, up to the moment at which the job began; with what is left of the importance
 * that the version itself carries. From then on trainings that start from the version use it.
 */
export async function runFisher(
  parts: ServiceParts,
  job: Job,
  request: FisherRequest,
  { signal, progress, checkpoint }: JobContext,
): Promise<FisherResult> {
  const { config, clock, events } = parts;
  const fisherVersions = fisherVersionsOf(parts);
  const published = await fisherVersions.findPublished(job.id);
  if (published) {
    const result = published.training.result as unknown as FisherResult;
    return point(parts, { ...result, fisherVersion: published.version }, signal);
  }
  const began = clock.now();
  const begunAt = (job.checkpoint as { begunAt: string } | undefined)?.begunAt ?? new Date(began).toISOString();
  checkpoint({ begunAt });
  const window = lastDays(config.ewc.fisherDays, new Date(begunAt));
  const tell = (told: JobProgress) => progress(told as unknown as Json);
  tell({ phase: 'load', done: 0, total: 1 });
  const model = await parts.model.load();
  const { adapter, version } = await openVersion(model, parts.versions, request.adapterVersion ?? 'active', true);
  try {
    const { seed, maxLength } = config.training;
    const count = request.numSamples ?? config.ewc.fisherSamples;
    const { texts } = await readTexts(parts.feedback, window, config, signal);
    const drawing = { model, maxLength, signal };
    const examples = await drawExamples(texts.filter(isKept), count, { seed, purpose: 'fisher' }, drawing);
    const sequences = keptSequences(examples);
    const seconds = () => (clock.now() - began) / 1000;
    const known = { adapterVersion: version, numSamples: sequences.length, numParameters: adapter.parameterCount };
    if (sequences.length === 0) {
      const reason = `there is no feedback of the last ${config.ewc.fisherDays} days to calculate it from`;
      return { status: 'skipped', reason, ...known, durationSeconds: seconds() };
    }
    const { decay } = config.ewc;
    await consolidateLanguageAdapter(model.decoder, adapter, sequences, {
      kind: 'true',
      decay,
      seed,
      signal,
      onProgress: (done, total) => tell({ phase: 'fisher', done, total }),
    });
    signal.throwIfAborted();
    const result: FisherResult = { status: 'success', ...known, durationSeconds: seconds() };
    const { targets, parameters, fisher, anchor } = await adapter.state();
    const manifest = await fisherVersions.publish({
      key: job.id,
      files: { [FISHER_FILE]: encodeLanguageAdapter({ targets, steps: 0, parameters, fisher, anchor }) },
      parents: [`${parts.versions.adapter}@${version}`],
      training: {
        jobId: job.id,
        samples: sequences.length,
        requestedSamples: count,
        since: window.since.toISOString(),
        until: window.until.toISOString(),
        kind: 'true',
        decay,
        seed,
        result: { ...result },
      },
      baseModel: { name: parts.model.name ?? '', sha256: model.hash },
      actor: AUTHOR,
    });
    const sizeBytes = adapter.parameterCount * Float32Array.BYTES_PER_ELEMENT;
    const { numSamples: samples, numParameters: parameters_, durationSeconds } = result;
    events.fisherFinished({ version, samples, parameters: parameters_, sizeBytes, durationSeconds });
    return await point(parts, { ...result, fisherVersion: manifest.version }, signal);
  } finally {
    adapter.close();
  }
}

/** Lets trainings find it. May be repeated. */
async function point(parts: ServiceParts, result: FisherResult, signal: AbortSignal): Promise<FisherResult> {
  const versions = fisherVersionsOf(parts);
  const alias = aliasOf(result.adapterVersion);
  const { aliases } = await versions.state();
  signal.throwIfAborted();
  if (aliases[alias] !== result.fisherVersion) {
    await versions.setAlias(alias, result.fisherVersion ?? null, { actor: AUTHOR });
  }
  return result;
}
