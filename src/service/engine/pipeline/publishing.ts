/** From a trained adapter to a version: published once, approved where the gate has said so, activated where that is wanted. */
import { CONFIG_FILE, WEIGHTS_FILE } from '../../../adapter/formats/peft-reader.js';
import { encodePeft } from '../../../adapter/formats/peft-writer.js';
import { LorakeetError } from '../../../errors.js';
import { encodeLanguageAdapterWithPauses } from '../../../llm/adapter-file.js';
import type { LanguageAdapter } from '../../../llm/index.js';
import type { TrainingResult } from '../operations.js';
import type { ServiceParts } from '../parts.js';
import { evidenceOf } from './gate.js';
import { fisherVersionsOf } from './importance.js';
import { AUTHOR } from './plan.js';
import { type FinishedRun, metricsOf, provenanceOf, type Trained } from './provenance.js';
import { ADAPTER_FILE, activeVersion } from './start.js';

/** The version; the one of an earlier attempt of the job, if there is one. */
export async function publishTrained(parts: ServiceParts, adapter: LanguageAdapter, trained: Trained): Promise<string> {
  const { result, baseModel, plan, payload, importance } = trained;
  const { targets, steps, parameters, fisher, anchor } = await adapter.state();
  const state = { targets, steps, parameters, ...(fisher && { fisher }), ...(anchor && { anchor }) };
  const bytes = await encodeLanguageAdapterWithPauses(state);
  const peft = encodePeft(await adapter.modules(), { baseModel: baseModel.name, taskType: 'CAUSAL_LM' });
  const fisherParent = importance.fisherVersion && `${fisherVersionsOf(parts).adapter}@${importance.fisherVersion}`;
  const given = payload.kind === 'train' ? payload.request.validationMetrics : undefined;
  const { version } = await parts.versions.publish({
    key: trained.job.id,
    files: { [ADAPTER_FILE]: bytes, [CONFIG_FILE]: peft.config, [WEIGHTS_FILE]: peft.weights },
    parents: [result.startVersion, fisherParent].filter((parent) => typeof parent === 'string'),
    training: provenanceOf(parts, trained),
    metrics: metricsOf(result, given),
    baseModel,
    actor: plan.author,
  });
  return version;
}

/** May be repeated: nothing is done twice. */
export async function approveAndDeploy(
  parts: ServiceParts,
  version: string,
  { result, verdict, activeBefore }: FinishedRun,
  signal: AbortSignal,
): Promise<TrainingResult> {
  const { versions } = await parts.versions.state();
  const entry = versions.find((one) => one.version === version);
  const approved = verdict.approved && entry?.quarantined === false;
  if (approved && !entry.approved) {
    signal.throwIfAborted();
    await parts.versions.approve(version, { actor: AUTHOR, evidence: evidenceOf(verdict) });
  }
  const whole = { ...result, version, approved };
  if (!approved || parts.config.training.deploy !== 'approved') return whole;
  signal.throwIfAborted();
  const failure = await deploy(parts, version, activeBefore);
  if (failure === undefined) return { ...whole, deployed: true };
  parts.logger.warn(`${version} is approved but not deployed: ${failure}`);
  return { ...whole, deployed: false, notes: [...(whole.notes ?? []), `not deployed: ${failure}`] };
}

/** What an activation is refused with; everything else is tried again. */
const REFUSED = /^ERR_(VERSION_|SERVING_|ADAPTER_DISABLED|INVALID_STATE)/;

/** Why it is not served; nothing where it is. What somebody has activated meanwhile stays. */
async function deploy(parts: ServiceParts, adapterVersion: string, expect: string | null): Promise<string | undefined> {
  if ((await activeVersion(parts.versions)) === adapterVersion) return undefined;
  try {
    const reason = 'approved by the golden gate (training.deploy)';
    await parts.lora.activate({ adapterVersion, expect, reason }, { name: AUTHOR });
    return undefined;
  } catch (error) {
    if (!(error instanceof LorakeetError) || !REFUSED.test(error.code)) throw error;
    return error.message;
  }
}
