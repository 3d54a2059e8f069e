/** Validation by a golden set, as the service's route and the command line ask for it: files in, report and files out. */
import { join } from 'node:path';
import { writeAtomically } from '../../files/atomic-write.js';
import { type AnswerGenerator, type GoldenReport, type JudgeOptions, judgeAdapter } from './gate.js';
import { encodeGoldenOutputs, readGoldenOutputs } from './outputs.js';
import { readGoldenSuite } from './suite.js';

export interface ValidateOptions extends Omit<JudgeOptions, 'suite' | 'candidate' | 'baseline'> {
  /** File of the cases. Whoever takes paths from elsewhere confines them first: see confinePath. */
  suite: string;
  /** The adapter in question; or a file of answers, which are then judged in its place. */
  candidate: string | AnswerGenerator;
  baseline: string | AnswerGenerator;
  /** An existing folder; answers that are generated go to `<name>_golden_{candidate,baseline}_outputs.json` in it. */
  write?: { folder: string; name: string };
}

/**
 * Reads, judges, writes. Rejects as readGoldenSuite, readGoldenOutputs and judgeAdapter, and with ERR_FILE_ACCESS where
 * answers cannot be written.
 */
export async function validate(options: ValidateOptions): Promise<GoldenReport> {
  const { suite, candidate, baseline, write, ...rest } = options;
  const open = async (source: string | AnswerGenerator) =>
    typeof source === 'string' ? readGoldenOutputs(source) : source;
  const judgement = await judgeAdapter({
    ...rest,
    suite: await readGoldenSuite(suite),
    candidate: await open(candidate),
    baseline: await open(baseline),
  });
  const { provenance } = judgement.report;
  if (write) {
    for (const who of ['baseline', 'candidate'] as const) {
      const answered = provenance[`${who}Output`];
      if (answered.source === 'file') continue;
      const path = join(write.folder, `${write.name}_golden_${who}_outputs.json`);
      await writeAtomically(path, (append) => append(encodeGoldenOutputs(judgement[who])));
      answered.path = path;
    }
  }
  return judgement.report;
}
