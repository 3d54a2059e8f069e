/**
 * Runs the conformance suite on one backend of this machine, without a test framework:
 *
 *   node dist/testing/run-kernels.js --backend cpu [--goldens FILE] [--quick] [--only TEXT] [--json]
 *
 * `--quick` takes smaller sizes, for emulated processors; `--only` runs the cases whose name contains TEXT; `--json`
 * prints one object instead of lines. LORAKEET_ISA forces an instruction set. The exit code is 1 if a case fails, 2 if the
 * backend cannot be had or an option is wrong.
 */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { BackendName } from '../kernels/contract.js';
import { selectBackend } from '../kernels/select.js';
import { kernelConformance } from './kernel-conformance.js';

interface CaseResult {
  name: string;
  ok: boolean;
  timeMs: number;
  error?: string;
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      backend: { type: 'string', default: 'auto' },
      goldens: { type: 'string' },
      only: { type: 'string', default: '' },
      quick: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
    },
  });
  const { backend, reason } = selectBackend(values.backend as BackendName | 'auto');
  const goldens = values.goldens ? JSON.parse(readFileSync(values.goldens, 'utf8')) : undefined;
  const cases = kernelConformance(() => backend, { goldens, quick: values.quick }).filter(({ name }) =>
    name.includes(values.only),
  );
  if (!values.json) console.log(`backend ${backend.name}, ${backend.device} (${reason}): ${cases.length} cases`);

  const results: CaseResult[] = [];
  for (const { name, run } of cases) {
    const start = performance.now();
    let error: string | undefined;
    try {
      await run();
    } catch (thrown) {
      error = thrown instanceof Error ? thrown.message : String(thrown);
    }
    const result = { name, ok: error === undefined, timeMs: Math.round(performance.now() - start), error };
    results.push(result);
    if (!values.json) console.log(result.ok ? `ok   ${name}` : `FAIL ${name}\n     ${error}`);
  }
  const failed = results.filter(({ ok }) => !ok).length;
  const summary = { backend: backend.name, device: backend.device, passed: results.length - failed, failed };
  console.log(values.json ? JSON.stringify({ ...summary, results }) : `${summary.passed} passed, ${failed} failed`);
  return failed > 0 || results.length === 0 ? 1 : 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 2;
  },
);
